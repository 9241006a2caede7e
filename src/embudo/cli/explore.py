"""``embudo explore``: a page in the browser in which a model is tried out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from embudo.cli.classify import read_both
from embudo.cli.loading import KINDS, in_columns_of, load_codec, load_denoiser
from embudo.cli.options import PATH, DataSource, data_options, image_shape_option, labels_option
from embudo.cli.watching import browser_option, port_option
from embudo.errors import FileFormatError, InvalidData, InvalidParameter

if TYPE_CHECKING:
    import numpy as np

    from embudo.report.explorer.subject import Subject

#: names of the models that come along
ALONG = {"codec": load_codec, "denoiser": load_denoiser}


@click.command()
@click.argument("model", type=PATH)
@click.argument("data", type=PATH, required=False)
@labels_option("the map is")
@image_shape_option
@port_option
@browser_option
@data_options
def explore(
    model: Path,
    data: Path | None,
    labels: str | None,
    image_shape: tuple[int, int] | None,
    port: int,
    browser: bool,
    source: DataSource,
) -> None:
    """Try MODEL out in the browser, on samples of DATA or on what you draw or open.

    An autoencoder or a stack shows samples, codes under sliders, and a map; a codec shows photographs beside JPEG, a
    denoiser takes noise out of them. "codec" and "denoiser" are those that come with embudo. The page is for the
    browser of this machine alone.
    """
    from embudo.report.explorer.server import serve

    serve(subject_of(model, data, labels, image_shape, source), port=port, browser=browser, say=click.echo)


def subject_of(
    path: Path, data: Path | None, labels: str | None, image_shape: tuple[int, int] | None, source: DataSource
) -> Subject:
    """Return what there is to explore.

    Raises
    ------
    FileFormatError
        If the model is of a kind that is not explored.
    InvalidParameter
        If an option is for another kind of model.
    """
    from embudo.apps.denoising import ImageDenoiser
    from embudo.codec.image_codec import ImageCodec
    from embudo.models.base import BaseAutoencoder
    from embudo.models.persistence import load
    from embudo.report.explorer.codes import CodeExplorer
    from embudo.report.explorer.photographs import CodecExplorer, DenoiserExplorer

    comes_along = str(path) in ALONG and not path.exists()
    model = ALONG[str(path)](None) if comes_along else load(path)
    title = path.name if data is None else f"{path.name} on {data.name}"
    if isinstance(model, BaseAutoencoder):
        if data is None and labels is not None:
            raise InvalidParameter("--labels are of samples: name the DATA too.")
        X, y = (None, None) if data is None else read_both(source, data, labels, model.sample_shape_)
        return CodeExplorer(model, in_columns_of(model, X), y, title=title, image_shape=image_shape)
    for option, given in {"--labels": labels, "--image-shape": image_shape}.items():
        if given is not None:
            raise InvalidParameter(f"{option} is for an autoencoder or a stack, but '{path}' holds none: omit it.")
    if isinstance(model, ImageCodec):
        return CodecExplorer(model, photographs_of(data, source), title=title)
    if isinstance(model, ImageDenoiser):
        return DenoiserExplorer(model, photographs_of(data, source), title=title)
    name = type(model).__name__
    other = f'; "{KINDS[name][1]}" works with it' if name in KINDS else ""
    raise FileFormatError(
        f"'{path}' holds a model of class {name}: expected an autoencoder, a stack, a codec or a denoiser{other}."
    )


def photographs_of(data: Path | None, source: DataSource) -> list[Path] | list[np.ndarray[Any, Any]]:
    """Return the files of a folder, or the images in a file; none without `data`.

    Raises
    ------
    FileFormatError
        If a folder holds none.
    InvalidData
        If a file holds none.
    """
    from embudo.data.images import list_images

    if data is None:
        return []
    if data.is_dir():
        return list_images(data)
    X: Any = source.read(data)
    if getattr(X, "ndim", 0) not in {3, 4} or X.dtype != "uint8":
        raise InvalidData(f"'{data}' holds no images of type uint8, from 0 to 255.")
    return list(X)
