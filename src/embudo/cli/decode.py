"""``embudo decode``: from codes to samples."""

from __future__ import annotations

from pathlib import Path

import click

from embudo.cli.options import DataSource, data_options
from embudo.cli.output import ARRAY_ENDINGS, check_output, check_samples_output, write_samples


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("codes", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help=f"{', '.join(ARRAY_ENDINGS)}, or a folder for images.",
)
@data_options
def decode(model: Path, codes: Path, output: Path, source: DataSource) -> None:
    """Write the samples that CODES stand for."""
    check_output(output, [*ARRAY_ENDINGS, ""])

    from embudo.models.persistence import load

    autoencoder = load(model)
    check_samples_output(output, autoencoder)
    samples = autoencoder.inverse_transform(source.read(codes))
    write_samples(output, samples, autoencoder)
    click.echo(f"{len(samples)} samples decoded, written to {output}")
