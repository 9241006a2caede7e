"""``embudo encode``: from samples to codes."""

from __future__ import annotations

from pathlib import Path

import click

from embudo.cli.loading import at_level, in_columns_of, level_option, load_autoencoder
from embudo.cli.options import PATH, DataSource, data_options, output_option
from embudo.cli.output import ARRAY_ENDINGS, as_it_comes, check_output, write_array


@click.command()
@click.argument("model", type=PATH)
@click.argument("data", type=PATH)
@output_option(f"{', '.join(ARRAY_ENDINGS)}.")
@level_option
@data_options
def encode(model: Path, data: Path, output: Path, level: str | None, source: DataSource) -> None:
    """Write the codes of the samples in DATA.

    Data larger than memory are written as they come, to .npy or .parquet.
    """
    check_output(output, ARRAY_ENDINGS)

    autoencoder = load_autoencoder(model)
    where = at_level(autoencoder, level, model)
    samples = in_columns_of(autoencoder, source.open(data, autoencoder.sample_shape_))
    out = as_it_comes(samples, output)
    codes = autoencoder.transform(samples, out=out, **where)
    if out is None:
        shown = [f"{level}_{i}" for i in range(codes.shape[1])]
        write_array(output, codes, autoencoder.get_feature_names_out() if level is None else shown, "codes")
    click.echo(f"Codes of {codes.shape[0]} samples, {codes.shape[1]} units each, written to {output}")
