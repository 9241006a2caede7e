"""Model files on their way in: of the kind that a verb works with."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from embudo.cli.options import PATH
from embudo.errors import FileFormatError, InvalidParameter, check_choice

if TYPE_CHECKING:
    from embudo.apps.denoising import ImageDenoiser
    from embudo.codec.image_codec import ImageCodec
    from embudo.models.base import BaseAutoencoder

Model = TypeVar("Model")

#: class of a model: what it is, and the verb that works with it
KINDS = {
    "BaseAutoencoder": ("an autoencoder or a stack", "embudo encode"),
    "AutoencoderClassifier": ('a classifier, as "embudo classify train" writes', "embudo classify predict"),
    "AnomalyDetector": ('a detector, as "embudo detect fit" writes', "embudo detect score"),
    "ImageCodec": ('a codec, as "embudo train-codec" writes', "embudo compress --model"),
    "Exportable": ("an autoencoder, a stack, a classifier, a detector or a denoiser", "embudo export"),
    "ImageDenoiser": ("a denoiser, as ImageDenoiser.save writes", "embudo denoise --model"),
}

DATA_ENDINGS = {".csv", ".tsv", ".npy", ".npz", ".parquet", ".idx"}  #: of files that hold samples

level_option = click.option("--level", metavar="NAME", help="Of a stack.  [default: the topmost]")
codec_option = click.option(
    "--model",
    type=PATH,
    help="A codec that train-codec wrote.  [default: the one that comes with embudo]",
)


def load_as(kind: type[Model], path: Path) -> Model:
    """Return the model in a file.

    Raises
    ------
    FileFormatError
        If it holds another kind of model, or none.
    """
    from embudo.models.persistence import load

    if path.suffix.lower() in DATA_ENDINGS and path.is_file():
        raise FileFormatError(f"'{path}' is not a model file but data: the model comes first, then the data.")
    model = load(path)
    if not isinstance(model, kind):
        expected, name = KINDS[kind.__name__][0], type(model).__name__
        other = f'; "{KINDS[name][1]}" works with it' if name in KINDS else ""
        raise FileFormatError(f"'{path}' holds a model of class {name}: expected {expected}{other}.")
    return model


def in_columns_of(model: Any, X: Any) -> Any:
    """Return a table with the columns that a model knows, found by their names; without names, where it knows none.

    Raises
    ------
    InvalidData
        If a column is missing.
    """
    from embudo.data.parquet import ParquetStream
    from embudo.data.tables import same_columns

    if not hasattr(X, "columns"):
        return X
    names = getattr(model, "feature_names_in_", None)
    if isinstance(X, ParquetStream):
        return X.unnamed() if names is None else X.select(names)
    return X.to_numpy() if names is None else same_columns(X, names)


def load_autoencoder(path: Path) -> BaseAutoencoder:
    """Return the autoencoder or stack in a file, as `load_as` does."""
    from embudo.models.base import BaseAutoencoder

    return load_as(BaseAutoencoder, path)


@functools.cache
def load_codec(path: Path | None) -> ImageCodec:
    """Return the codec in a file, or the one that comes with the package."""
    from embudo.codec.image_codec import ImageCodec

    return ImageCodec.pretrained() if path is None else load_as(ImageCodec, path)


@functools.cache
def load_denoiser(path: Path | None) -> ImageDenoiser:
    """Return the denoiser in a file, or the one that comes with the package."""
    from embudo.apps.denoising import ImageDenoiser

    return ImageDenoiser.pretrained() if path is None else load_as(ImageDenoiser, path)


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
