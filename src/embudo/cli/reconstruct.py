"""``embudo reconstruct``: samples through encoder and decoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from embudo.cli.loading import in_columns_of, load_autoencoder
from embudo.cli.options import INPUT, PATH, DataSource, data_options, output_option
from embudo.cli.output import ARRAY_ENDINGS, as_it_comes, check_output, check_samples_output, write_samples
from embudo.errors import InvalidParameter

if TYPE_CHECKING:
    from embudo.models.base import BaseAutoencoder


@click.command()
@click.argument("model", type=PATH)
@click.argument("data", type=INPUT)
@output_option(f"{', '.join(ARRAY_ENDINGS)}, or a folder for images, which keep their names.")
@data_options
def reconstruct(model: Path, data: Path, output: Path, source: DataSource) -> None:
    """Encode and decode DATA, write what comes back."""
    check_output(output, [*ARRAY_ENDINGS, ""])
    if output.resolve() == data.resolve():
        raise InvalidParameter(f"The output '{output}' is the data themselves: name another.")

    autoencoder = load_autoencoder(model)
    check_samples_output(output, autoencoder)
    samples = in_columns_of(autoencoder, source.open(data, autoencoder.sample_shape_))
    if out := as_it_comes(samples, output):
        autoencoder.reconstruct(samples, out=out)
    elif output.suffix:
        write_samples(output, autoencoder.reconstruct(samples), autoencoder)
    else:
        _reconstruct_images(autoencoder, samples, output, _image_names(data))
    error = autoencoder.reconstruction_error(samples).mean()
    click.echo(f"{samples.shape[0]} samples reconstructed, mean error {error:.5g}, written to {output}")


def _reconstruct_images(autoencoder: BaseAutoencoder, samples: Any, folder: Path, names: Sequence[Path] | None) -> None:
    """Write images, those of a stream a few at a time."""
    from embudo.data.streams import Stream

    pieces = samples.slices(100) if isinstance(samples, Stream) else [(slice(None), samples)]
    names = names or [Path(f"{i:06}.png") for i in range(samples.shape[0])]
    for where, rows in pieces:
        images = autoencoder.reconstruct(rows).reshape(-1, *(autoencoder.sample_shape_ or ()))
        write_samples(folder, images, autoencoder, names[where])


def _image_names(data: Path) -> list[Path] | None:
    """Return names for the reconstructions of an image or a folder of images, or None where DATA is neither."""
    from embudo.data.images import image_endings, list_images
    from embudo.data.sources import is_data_folder

    if data.is_file() and data.suffix.lower() in image_endings():
        return [Path(data.stem + ".png")]
    if not data.is_dir() or is_data_folder(data):
        return None
    originals = [path.relative_to(data) for path in list_images(data)]
    names = [path.with_suffix(".png") for path in originals]
    if len(set(names)) < len(names):  # a.png beside a.jpg
        names = [path.with_name(f"{path.name}.png") for path in originals]
    return names
