"""``embudo decode``: from codes to samples."""

from __future__ import annotations

from pathlib import Path

import click

from embudo.cli.loading import at_level, level_option, load_autoencoder
from embudo.cli.options import INPUT, PATH, DataSource, data_options, output_option
from embudo.cli.output import ARRAY_ENDINGS, as_it_comes, check_output, check_samples_output, write_samples


@click.command()
@click.argument("model", type=PATH)
@click.argument("codes", type=INPUT)
@output_option(f"{', '.join(ARRAY_ENDINGS)}, or a folder for images.")
@level_option
@data_options
def decode(model: Path, codes: Path, output: Path, level: str | None, source: DataSource) -> None:
    """Write the samples that CODES stand for."""
    check_output(output, [*ARRAY_ENDINGS, ""])

    autoencoder = load_autoencoder(model)
    check_samples_output(output, autoencoder)
    where = at_level(autoencoder, level, model)
    found = source.open(codes)
    out = as_it_comes(found, output)
    samples = autoencoder.inverse_transform(found, out=out, **where)
    if out is None:
        write_samples(output, samples, autoencoder)
    click.echo(f"{samples.shape[0]} samples decoded, written to {output}")
