"""Model files: weights and parts in one safetensors file. Loading runs no code from the file."""

from __future__ import annotations

import contextlib
import json
import math
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import sklearn
import torch
from torch import Tensor

import embudo
from embudo.data.scaling import Scaler
from embudo.engine.runtime import resolve_runtime
from embudo.errors import FileFormatError, InvalidParameter, check_choice, check_number, reason
from embudo.models.autoencoder import Autoencoder
from embudo.models.composed import cpu_weights
from embudo.parts.expression import parse
from embudo.parts.part import Part, plain
from embudo.parts.training import Training

FORMAT_VERSION = 1
ESTIMATORS = {"Autoencoder": Autoencoder}


def save(estimator: Autoencoder, path: str | Path) -> None:
    """Write a fitted estimator to one file, as a whole or not at all.

    A callable loss is not stored; its name is, and `load` asks for it.

    Raises
    ------
    FileFormatError
        If the file cannot be written.
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.
    """
    from sklearn.utils.validation import check_is_fitted

    check_is_fitted(estimator)
    tensors = cpu_weights(estimator.module_)
    scaler = estimator.scaler_
    if scaler.offset is not None and scaler.scale is not None:
        tensors |= {
            "scaler.offset": torch.from_numpy(scaler.offset),
            "scaler.scale": torch.from_numpy(scaler.scale),
        }
    params = estimator.get_params(deep=False)
    callables = {
        name: getattr(value, "__name__", "callable")
        for name, value in params.items()
        if callable(value) and not isinstance(value, Part)
    }
    if not isinstance(params["random_state"], int | np.integer | None):
        params["random_state"] = None  # the state of a generator says nothing about the model
    names = getattr(estimator, "feature_names_in_", None)
    card = {
        "format_version": FORMAT_VERSION,
        "class": type(estimator).__name__,
        "params": {name: repr(plain(value)) for name, value in params.items() if name not in callables},
        "callables": callables,
        "n_features_in": estimator.n_features_in_,
        "feature_names_in": None if names is None else list(map(str, names)),
        "sample_shape": estimator.sample_shape_,
        "scaling": scaler.kind,
        "seed": estimator.seed_,
        "history": estimator.history_,
        "versions": {
            "embudo": embudo.__version__,
            "torch": torch.__version__,
            "scikit-learn": sklearn.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
    write_atomically(path, safetensors.torch.save(tensors, metadata={"embudo": json.dumps(card)}))


def load(path: str | Path, *, device: str = "cpu", **callables: Any) -> Autoencoder:
    """Read a model that `save` wrote.

    Parameters
    ----------
    path : str or Path
        The file.
    device : str, default="cpu"
        Where its weights shall be: "auto", "cpu", "cuda", "mps".
    **callables
        Functions that a file cannot hold, by parameter, for example ``loss=my_loss``; those that the
        model was fitted with.

    Returns
    -------
    Autoencoder
        Fitted; `transform` gives the same bits as that of the model saved, on the same machine.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged, not a model of embudo, or written by a newer version.
    InvalidParameter
        If a callable is missing.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from embudo import Autoencoder, load
    >>> X = np.random.default_rng(0).random((50, 4))
    >>> ae = Autoencoder(2, random_state=0).fit(X)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ae.save(f"{folder}/model.safetensors")
    ...     again = load(f"{folder}/model.safetensors")
    >>> bool((again.transform(X) == ae.transform(X)).all())
    True
    """
    card = read_card(path)
    missing = [f"{name}=..." for name in card["callables"] if name not in callables]
    if missing:
        raise InvalidParameter(
            f"'{path}' holds a model fitted with a function of one's own, which a file cannot hold: give it as "
            f"load(path, {', '.join(missing)})."
        )
    place = str(resolve_runtime(Training(device=device)).device)
    with safetensors.safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    try:
        return _restore(card, tensors, place, callables)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise FileFormatError(f"'{path}' is damaged or not a model of this embudo: {reason(error)}.") from None


def read_card(path: str | Path) -> dict[str, Any]:
    """Return what a model file says of itself: class, parts as text, features, history, versions.

    Raises
    ------
    FileFormatError
        As `load` does.
    """
    path = Path(path)
    if not path.is_file():
        raise FileFormatError(f"No such model file: '{path}'.")
    try:
        with safetensors.safe_open(path, framework="np") as file:
            text = (file.metadata() or {}).get("embudo")
    except (safetensors.SafetensorError, OSError) as error:
        raise FileFormatError(
            f"'{path}' is not a model file, or it is truncated or damaged ({reason(error)})."
        ) from None
    if text is None:
        raise FileFormatError(f"'{path}' is a safetensors file, but not a model that embudo saved.")
    try:
        card: dict[str, Any] = json.loads(text)
        newer, writer = card["format_version"] > FORMAT_VERSION, card["versions"]["embudo"]
        list(card["callables"])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise FileFormatError(f"'{path}' is damaged: its description cannot be read ({reason(error)}).") from None
    if newer:
        raise FileFormatError(
            f"'{path}' was written by embudo {writer}, in a format newer than embudo {embudo.__version__} reads: "
            "upgrade embudo."
        )
    return card


def _restore(card: dict[str, Any], tensors: dict[str, Tensor], device: str, callables: dict[str, Any]) -> Autoencoder:
    check_choice("The class", card["class"], ESTIMATORS)
    params = {name: parse(text) for name, text in card["params"].items()}
    estimator = ESTIMATORS[card["class"]](**params, **{name: callables[name] for name in card["callables"]})
    n, names, shape, history = (card[name] for name in ("n_features_in", "feature_names_in", "sample_shape", "history"))
    check_number("The number of features", n, low=1, integer=True)
    if shape is not None and (not all(isinstance(size, int) for size in shape) or math.prod(shape) != n):
        raise FileFormatError(f"Samples of shape {shape!r} do not have {n} features.")
    if names is not None and (not all(isinstance(name, str) for name in names) or len(names) != n):
        raise FileFormatError(f"It does not name its {n} features.")
    if not all(isinstance(column, list) for column in history.values()):
        raise FileFormatError("Its history is not a table.")
    estimator.n_features_in_ = n
    if names is not None:
        estimator.feature_names_in_ = np.asarray(names, dtype=object)
    estimator.sample_shape_ = None if shape is None else tuple(shape)
    estimator.seed_ = int(card["seed"])
    estimator.history_ = history
    estimator.scaler_ = _restore_scaler(card["scaling"], tensors, n)
    estimator._resolve(estimator.n_features_in_)
    estimator._load_weights(tensors, device)
    return estimator


def _restore_scaler(kind: Any, tensors: dict[str, Tensor], n_features: int) -> Scaler:
    """Take offset and scale out of `tensors`, and check them."""
    check_choice("The scaling", kind, ("standard", "minmax", "pixels", None))
    if kind is None:
        return Scaler(None)
    offset, scale = (tensors.pop(f"scaler.{name}").numpy() for name in ("offset", "scale"))
    for array in (offset, scale):
        if array.shape not in {(1,), (n_features,)} or array.dtype != np.float64 or not np.isfinite(array).all():
            raise FileFormatError(f"Its scaling is not {n_features} finite numbers.")
    if not (scale > 0).all():
        raise FileFormatError("Its scales are not all greater than 0.")
    return Scaler(kind, offset, scale)


def write_atomically(path: str | Path, data: bytes) -> None:
    """Write `data` beside `path` and rename: the file is whole, or as it was before.

    Raises
    ------
    FileFormatError
        If the folder does not exist or cannot be written to.
    """
    path = Path(path)
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o666 & ~_umask())
        Path(temporary).replace(path)
    except OSError as error:
        raise FileFormatError(f"Cannot write '{path}': {error.strerror or error}.") from None
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
