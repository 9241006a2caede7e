"""``embudo reconstruct``: samples through encoder and decoder."""

from __future__ import annotations

from pathlib import Path

import click

from embudo.cli.loading import load_autoencoder
from embudo.cli.options import PATH, DataSource, data_options, output_option
from embudo.cli.output import ARRAY_ENDINGS, check_output, check_samples_output, write_samples
from embudo.errors import InvalidParameter


@click.command()
@click.argument("model", type=PATH)
@click.argument("data", type=PATH)
@output_option(f"{', '.join(ARRAY_ENDINGS)}, or a folder for images, which keep their names.")
@data_options
def reconstruct(model: Path, data: Path, output: Path, source: DataSource) -> None:
    """Encode and decode DATA, write what comes back."""
    check_output(output, [*ARRAY_ENDINGS, ""])
    if output.resolve() == data.resolve():
        raise InvalidParameter(f"The output '{output}' is the data themselves: name another.")

    autoencoder = load_autoencoder(model)
    check_samples_output(output, autoencoder)
    samples = source.read(data, autoencoder.sample_shape_)
    reconstructions = autoencoder.reconstruct(samples)
    if not output.suffix:
        reconstructions = reconstructions.reshape(-1, *(autoencoder.sample_shape_ or ()))
    write_samples(output, reconstructions, autoencoder, _image_names(data))
    error = autoencoder.reconstruction_error(samples).mean()
    click.echo(f"{samples.shape[0]} samples reconstructed, mean error {error:.5g}, written to {output}")


def _image_names(data: Path) -> list[Path] | None:
    """Return names for the reconstructions of a folder of images, or None where DATA is not one."""
    from embudo.data.images import list_images

    if not data.is_dir():
        return None
    originals = [path.relative_to(data) for path in list_images(data)]
    names = [path.with_suffix(".png") for path in originals]
    if len(set(names)) < len(names):  # a.png beside a.jpg
        names = [path.with_name(f"{path.name}.png") for path in originals]
    return names
