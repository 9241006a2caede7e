"""Model files on their way in: of the kind that a verb works with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from embudo.errors import FileFormatError, InvalidParameter, check_choice

if TYPE_CHECKING:
    from embudo.apps.classification import AutoencoderClassifier
    from embudo.apps.detection import AnomalyDetector
    from embudo.models.base import BaseAutoencoder

#: class of a model: the verb that works with it
VERBS = {
    "AutoencoderClassifier": "embudo classify predict",
    "AnomalyDetector": "embudo detect score",
    "ImageCodec": "embudo compress --model",
    "ImageDenoiser": "embudo denoise --model",
}

level_option = click.option("--level", metavar="NAME", help="Of a stack.  [default: the topmost]")


def load_autoencoder(path: Path) -> BaseAutoencoder:
    """Return the autoencoder or stack in a file.

    Raises
    ------
    FileFormatError
        If it holds another kind of model, or none.
    """
    from embudo.models.base import BaseAutoencoder

    model: BaseAutoencoder = _load(path, BaseAutoencoder, "an autoencoder or a stack")
    return model


def at_level(model: BaseAutoencoder, level: str | None, path: Path) -> dict[str, Any]:
    """Return the argument by which methods of a stack work at a level; none where `level` is None.

    Raises
    ------
    InvalidParameter
        If the model is no stack, or has no such level.
    """
    from embudo.models.stacked import StackedAutoencoder

    if level is None:
        return {}
    if not isinstance(model, StackedAutoencoder):
        raise InvalidParameter(f"--level is for a stack, but '{path}' holds a single autoencoder: omit it.")
    check_choice("--level", level, dict(model.layers_))
    return {"level": level}


def load_classifier(path: Path) -> AutoencoderClassifier:
    """Return the classifier in a file.

    Raises
    ------
    FileFormatError
        If it holds another kind of model, or none.
    """
    from embudo.apps.classification import AutoencoderClassifier

    model: AutoencoderClassifier = _load(path, AutoencoderClassifier, 'a classifier, as "embudo classify train" writes')
    return model


def load_detector(path: Path) -> AnomalyDetector:
    """Return the detector in a file.

    Raises
    ------
    FileFormatError
        If it holds another kind of model, or none.
    """
    from embudo.apps.detection import AnomalyDetector

    model: AnomalyDetector = _load(path, AnomalyDetector, 'a detector, as "embudo detect fit" writes')
    return model


def _load(path: Path, kind: type, expected: str) -> Any:
    from embudo.models.persistence import load

    model = load(path)
    if not isinstance(model, kind):
        name = type(model).__name__
        other = f'; "{VERBS[name]}" works with it' if name in VERBS else ""
        raise FileFormatError(f"'{path}' holds a model of class {name}: expected {expected}{other}.")
    return model
