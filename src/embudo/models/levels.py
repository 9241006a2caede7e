"""The levels of a stack: what names them, joins them into one network, and passes codes from one to the next."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from embudo.data.arrays import Matrix, as_dense
from embudo.data.streams import Mapped, Stream
from embudo.errors import InvalidParameter
from embudo.models.autoencoder import Autoencoder
from embudo.models.base import BaseAutoencoder, Pair
from embudo.models.inference import result_dtype
from embudo.nn.network import Affine, Network, unrolled

FINE_TUNING = "fine-tuning"  #: name of the last stage


def check_layers(layers: Any, taken: Iterable[str]) -> None:
    """Refuse what is no list of named autoencoders.

    Raises
    ------
    InvalidParameter
    """
    if not isinstance(layers, list | tuple) or not layers or not all(map(is_named, layers)):
        raise InvalidParameter(
            'StackedAutoencoder.layers must be a list such as [("edges", Autoencoder(500)), ("parts", '
            f"Autoencoder(100))]; got {layers!r}."
        )
    names = [name for name, _ in layers]
    for name in names:
        if not name or "__" in name or name in (*taken, FINE_TUNING):
            raise InvalidParameter(
                f"A level's name must be a word without '__' that is no parameter of the stack; got {name!r}."
            )
        if names.count(name) > 1:
            raise InvalidParameter(f"StackedAutoencoder.layers names {name!r} twice: give each level its own name.")


def is_named(layer: Any) -> bool:
    """Tell whether `layer` is a pair of a name and an autoencoder."""
    match layer:
        case [str(), Autoencoder()]:
            return True
    return False


def unroll(levels: Sequence[Autoencoder]) -> Network:
    """Return one network of the levels' own; no weight is copied."""
    return unrolled([level.module_ for level in levels], [_affine(level) for level in levels[1:]])


def _affine(level: Autoencoder) -> tuple[Affine, Affine] | None:
    """Return the scaling of the codes below a level, and back, as torch modules."""
    weight, scaler = next(level.module_.parameters()), level.scaler_
    if scaler.offset is None or scaler.scale is None:
        return None
    maps = ((1 / scaler.scale, -scaler.offset / scaler.scale), (scaler.scale, scaler.offset))
    into, back = (Affine(*(torch.from_numpy(values).to(weight) for values in pair)) for pair in maps)
    return into, back


def _dense_codes(autoencoder: BaseAutoencoder, rows: np.ndarray) -> np.ndarray:
    return as_dense(autoencoder.transform(autoencoder._in_shape(rows)))


def codes_of(autoencoder: BaseAutoencoder, X: Any) -> Matrix:
    """Return the codes of samples; those of a stream are computed anew whenever they are read."""
    if not isinstance(X, Stream):
        return autoencoder.transform(X)
    dtype = np.dtype(result_dtype(X))
    return Mapped(X, functools.partial(_dense_codes, autoencoder), autoencoder.n_components_, dtype)


def code_pair(level: Autoencoder, pair: tuple[Any, Any]) -> Pair:
    """Return what the next level learns from, and what it shall put out: the codes of the samples."""
    codes = codes_of(level, pair[0])
    return codes, codes
