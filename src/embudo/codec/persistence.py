"""Files of codecs: one safetensors file, no code in it; and the name that a codec goes by."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.numpy
import torch

import embudo
from embudo.codec.context import NetworkPrior
from embudo.codec.entropy import N_TABLES, Tables
from embudo.codec.prior import Prior
from embudo.codec.quantize import Quantizer
from embudo.codec.streams import StreamCoder
from embudo.engine.history import restored
from embudo.errors import UNREADABLE, FileFormatError, check_choice, check_number, reason
from embudo.models.composed import cpu_weights
from embudo.models.persistence import read, write
from embudo.parts.expression import parse

if TYPE_CHECKING:
    from embudo.codec.image_codec import ImageCodec


def tensors_of(codec: ImageCodec) -> dict[str, np.ndarray]:
    """Return all that decodes a file, by name: weights, kernels as float16, and integer tables."""
    weights = {name: tensor.numpy() for name, tensor in cpu_weights(codec.module_).items()}
    coder = codec.coder_
    return {
        **{f"module.{name}": w.astype(np.float16) if w.ndim > 1 else w for name, w in weights.items()},
        **{f"prior.{name}": tensor for name, tensor in coder.prior.tensors().items()},
        "tables": coder.quantizer.tables.frequencies.astype(np.uint16),
        "shrinkage": coder.quantizer.shrinkage,
    }


def model_id(tensors: dict[str, np.ndarray]) -> str:
    """Return 8 hexadecimal digits of the SHA-256 of tensors, with their names and shapes."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype.str} {tensor.shape}\n".encode())
        digest.update(np.ascontiguousarray(tensor).astype(tensor.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()[:8]


def save(codec: ImageCodec, path: str | Path) -> None:
    """Write a fitted codec to one file, as a whole or not at all."""
    card = {
        "class": "ImageCodec",
        "params": {name: repr(value) for name, value in codec.get_params(deep=False).items()},
        "callables": {},
        "channels": codec.channels_,
        "n_components": codec.n_components_,
        "model_id": codec.model_id_,
        "history": codec.history_,
        "training_history": codec.training_history_,
        "versions": {"embudo": embudo.__version__, "torch": torch.__version__, "numpy": np.__version__},
    }
    write(path, card, tensors_of(codec), safetensors.numpy.save)


def load(path: str | Path) -> ImageCodec:
    """Read a codec that `save` wrote.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged, not a codec, or written by a newer version.
    """
    card, tensors = read(path, "np")
    try:
        codec = _restore(card, tensors)
    except UNREADABLE as error:
        raise FileFormatError(f"'{path}' is damaged or not a codec of this embudo: {reason(error)}.") from None
    if card.get("model_id") != codec.model_id_:
        raise FileFormatError(f"'{path}' is damaged: its weights are not those that it was saved with.")
    return codec


def _restore(card: dict[str, Any], tensors: dict[str, np.ndarray]) -> ImageCodec:
    from embudo.codec.image_codec import ImageCodec

    check_choice("The class", card["class"], ["ImageCodec"])
    codec = ImageCodec(**{name: parse(text) for name, text in card["params"].items()})
    codec.channels_, codec.n_components_ = card["channels"], card["n_components"]
    check_choice("channels", codec.channels_, (1, 3))
    codec.check_sizes(codec.channels_)
    check_number("n_components", codec.n_components_, low=1, high=codec.channels_ * codec.block**2, integer=True)
    weights = {
        name.removeprefix("module."): torch.from_numpy(tensor.astype(np.float32))
        for name, tensor in tensors.items()
        if name.startswith("module.")
    }
    if not all(bool(weight.isfinite().all()) for weight in weights.values()):
        raise ValueError("a weight is not finite")
    codec._load_weights(weights)
    known = {name.removeprefix("prior."): tensor for name, tensor in tensors.items() if name.startswith("prior.")}
    prior = (NetworkPrior if "networks.0.0.weight" in known else Prior).from_tensors(known)
    prior.check(codec.n_components_)
    shrinkage = tensors["shrinkage"]
    if shrinkage.shape != (N_TABLES, 4) or shrinkage.dtype != np.float32 or not (np.abs(shrinkage) <= 1).all():
        raise ValueError("its reconstruction points are not numbers from -1 to 1")
    codec.coder_ = StreamCoder(prior, Quantizer(Tables(tensors["tables"]), shrinkage))
    codec.history_ = restored(card["history"], "curve")
    if list(codec.history_) not in ([], ["quality", "bits_per_pixel", "psnr"]):
        raise ValueError("its curve is of something else")
    codec.training_history_ = {stage: restored(table, "history") for stage, table in card["training_history"].items()}
    codec.model_id_ = model_id(tensors)
    return codec
