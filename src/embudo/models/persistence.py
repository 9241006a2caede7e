"""Model files: weights and parts in one safetensors file. Loading runs no code from the file."""

from __future__ import annotations

import json
import math
import platform
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import sklearn
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

import embudo
from embudo.data.files import checksum, utf8_name, write_atomically
from embudo.engine.history import restored
from embudo.engine.runtime import resolve_runtime
from embudo.errors import UNREADABLE, FileFormatError, InvalidParameter, check_choice, check_number, reason
from embudo.models.composed import Composed
from embudo.parts.expression import parse
from embudo.parts.part import Part, plain
from embudo.parts.training import Training

FORMAT_VERSION = 2  #: from 2 on, files have a checksum
IN_FOLDERS = "model.safetensors"  #: name of the model file in a folder of its own
#: estimators that a file may hold, by their public names
ESTIMATORS = ("Autoencoder", "StackedAutoencoder", "AutoencoderClassifier", "AnomalyDetector", "ImageDenoiser")


def save(estimator: Composed, path: str | Path) -> None:
    """Write a fitted estimator to one file, as a whole or not at all.

    A callable loss is not stored; its name is, and `load` asks for it.

    Raises
    ------
    FileFormatError
        If the file cannot be written.
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.
    """
    check_is_fitted(estimator)
    card, tensors = _describe(estimator)
    card["versions"] = {
        "embudo": embudo.__version__,
        "torch": torch.__version__,
        "scikit-learn": sklearn.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
    write(path, card, tensors)


def write(
    path: str | Path,
    card: dict[str, Any],
    tensors: Mapping[str, Any],
    save: Callable[..., bytes] = safetensors.torch.save,
) -> None:
    """Write a description, which JSON can hold, and tensors to one file, with a checksum of both.

    Parameters
    ----------
    path : str or Path
    card : dict
    tensors : dict of str to Tensor, or to ndarray
    save : callable, default=safetensors.torch.save
        What makes bytes of such tensors.

    Raises
    ------
    FileFormatError
        If the file cannot be written.
    """
    card = {"format_version": FORMAT_VERSION, **card}
    text = json.dumps(card | {"checksum": checksum(card, tensors)})
    write_atomically(path, save(tensors, metadata={"embudo": text}))


def _describe(estimator: Composed) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return what there is to say of a fitted estimator and those within it, and their weights by name."""
    learnt, tensors = estimator._learnt()
    inner = []
    for number, (name, within) in enumerate(estimator._inner().items()):
        card, weights = _describe(within)
        inner.append([name, card])
        tensors |= {f"{number}/{key}": weight for key, weight in weights.items()}
    card = {
        **_as_text(estimator),
        "callables": {
            name: getattr(value, "__name__", "callable")
            for name, value in estimator.get_params().items()
            if _is_function(value)
        },
        **(_describe_rows(estimator) if estimator._takes_rows else {}),
        "seed": estimator.seed_,
        "history": estimator.history_,
        **learnt,
    }
    return card | ({"inner": inner} if inner else {}), tensors


def _describe_rows(estimator: Composed) -> dict[str, Any]:
    names = getattr(estimator, "feature_names_in_", None)
    return {
        "n_features_in": estimator.n_features_in_,
        "feature_names_in": None if names is None else list(map(str, names)),
        "sample_shape": estimator.sample_shape_,
    }


def _as_text(value: Any) -> Any:
    """Return a parameter as text, an estimator as its class and its parameters, a list of named ones as pairs."""
    if isinstance(value, Composed):
        params = value.get_params(deep=False)
        if not isinstance(params["random_state"], int | np.integer | None):
            params["random_state"] = None  # the state of a generator says nothing about the model
        left_out = {name for name, param in params.items() if _is_function(param) or isinstance(param, FrozenEstimator)}
        kept = {name: _as_text(param) for name, param in params.items() if name not in left_out}
        return {"class": type(value).__name__, "params": kept}
    if isinstance(value, list | tuple) and any(isinstance(element, Composed) for pair in value for element in pair):
        return [[name, _as_text(level)] for name, level in value]
    return repr(plain(value))


def _from_text(value: Any) -> Any:
    """Return the parameter that `_as_text` made `value` of."""
    if isinstance(value, dict):
        check_choice("The class", value["class"], ESTIMATORS)
        kind = getattr(embudo, value["class"])
        return kind(**{name: _from_text(param) for name, param in value["params"].items()})
    return [(name, _from_text(level)) for name, level in value] if isinstance(value, list) else parse(value)


def _is_function(value: Any) -> bool:
    return callable(value) and not isinstance(value, Part)


def load(path: str | Path, *, device: str = "cpu", **callables: Any) -> Any:
    """Read a model that `save` wrote.

    Parameters
    ----------
    path : str or Path
        The file, or a folder that `write_folder` wrote.
    device : str, default="cpu"
        Where its weights shall be: "auto", "cpu", "cuda", "mps".
    **callables
        Functions that a file cannot hold, by parameter, for example ``loss=my_loss``; those that the
        model was fitted with.

    Returns
    -------
    Autoencoder, StackedAutoencoder, AutoencoderClassifier, AnomalyDetector, ImageDenoiser or ImageCodec
        What was saved, fitted; `transform` gives the same bits as that of the model saved, on the same machine.

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
    if read_card(path).get("class") == "ImageCodec":
        return embudo.ImageCodec.load(path)
    card, tensors = read(path)
    missing = [f"{name}=..." for name in card["callables"] if name not in callables]
    if missing:
        raise InvalidParameter(
            f"'{path}' holds a model fitted with a function of one's own, which a file cannot hold: give it as "
            f"load(path, {', '.join(missing)})."
        )
    place = str(resolve_runtime(Training(device=device)).device)
    try:
        return _restore(card, tensors, place, callables)
    except UNREADABLE as error:
        raise FileFormatError(f"'{path}' is damaged or not a model of this embudo: {reason(error)}.") from None


def read_card(path: str | Path) -> dict[str, Any]:
    """Return what a model file says of itself: class, parts as text, features, history, versions.

    Raises
    ------
    FileFormatError
        If the file is missing, not a model of embudo, or written by a newer version.
    """
    file_path = _model_file(path)
    try:
        with utf8_name(file_path) as name, safetensors.safe_open(name, framework="np") as file:
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
        if not all(name.isidentifier() and len(name) < 50 for name in dict.keys(card["callables"])):
            raise ValueError("its callables have no names")
        if not re.fullmatch(r"[\w.+-]{1,40}", writer):
            raise ValueError("its version is none")
    except UNREADABLE as error:
        raise FileFormatError(f"'{path}' is damaged: its description cannot be read ({reason(error)}).") from None
    if newer:
        raise FileFormatError(
            f"'{path}' was written by embudo {writer}, in a format newer than embudo {embudo.__version__} reads: "
            "upgrade embudo."
        )
    return card


def read(path: str | Path, framework: str = "pt") -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what `write` was given: torch's tensors, or with the framework "np" NumPy's.

    Raises
    ------
    FileFormatError
        As of `read_card`, or if the file does not hold what was written.
    """
    card = read_card(path)
    written = card.pop("checksum", None)
    try:
        with utf8_name(_model_file(path)) as name, safetensors.safe_open(name, framework=framework) as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
        intact = card["format_version"] == 1 or written == checksum(card, tensors)
    except (safetensors.SafetensorError, OSError, *UNREADABLE) as error:
        raise FileFormatError(f"'{path}' is damaged: its tensors cannot be read ({reason(error)}).") from None
    if not intact:
        raise FileFormatError(f"'{path}' is damaged: it does not hold what was saved.")
    return card, tensors


def _model_file(path: str | Path) -> Path:
    """Return the path of a model file, or of that in a folder.

    Raises
    ------
    FileFormatError
        If there is none.
    """
    place = Path(path)
    file = place / IN_FOLDERS if place.is_dir() else place
    if not file.is_file():
        raise FileFormatError(f"No such model file: '{place}'.")
    return file


def _restore(card: dict[str, Any], tensors: dict[str, Tensor], device: str, callables: dict[str, Any]) -> Composed:
    estimator: Composed = _from_text({"class": card["class"], "params": card["params"]})
    estimator.set_params(**{name: callables[name] for name in card["callables"]})
    if estimator._takes_rows:
        _restore_rows(estimator, card)
    estimator.seed_ = int(card["seed"])
    estimator.history_ = restored(card["history"], "history")
    inner = {}
    for number, (name, within) in enumerate(card.get("inner", [])):
        own = {key: tensors.pop(key) for key in list(tensors) if key.startswith(f"{number}/")}
        parameter = name.partition(" ")[0]  # where there are several of one kind, a number follows
        functions = {key: callables[f"{parameter}__{key}"] for key in within["callables"]}
        inner[name] = _restore(within, {key.partition("/")[2]: value for key, value in own.items()}, device, functions)
    estimator._relearn(card, tensors, inner, device)
    return estimator


def _restore_rows(estimator: Composed, card: dict[str, Any]) -> None:
    """Set number, names and shape of the features, checked."""
    n, names, shape = (card[name] for name in ("n_features_in", "feature_names_in", "sample_shape"))
    check_number("The number of features", n, low=1, integer=True)
    if shape is not None and not (
        isinstance(shape, list) and all(type(size) is int and size > 0 for size in shape) and math.prod(shape) == n
    ):
        raise FileFormatError(f"Samples of shape {shape!r} do not have {n} features.")
    if names is not None and not (
        isinstance(names, list) and len(names) == n and all(isinstance(name, str) for name in names)
    ):
        raise FileFormatError(f"It does not name its {n} features.")
    estimator.n_features_in_ = n
    if names is not None:
        estimator.feature_names_in_ = np.asarray(names, dtype=object)
    estimator.sample_shape_ = None if shape is None else tuple(shape)
