"""``embudo encode``: from samples to codes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from embudo.cli.loading import at_level, in_columns_of, level_option, load_autoencoder
from embudo.cli.options import INPUT, PATH, DataSource, Word, data_options, output_option
from embudo.cli.output import ARRAY_ENDINGS, as_it_comes, check_output, write_array
from embudo.errors import InvalidParameter


@click.command()
@click.argument("model", type=PATH)
@click.argument("data", type=INPUT, nargs=-1, required=True)
@output_option(f"{', '.join(ARRAY_ENDINGS)}; with --engine a folder.")
@level_option
@click.option("--engine", type=Word(["dask", "ray"]), help="Let the processes of Dask or Ray encode Parquet files.")
@click.option(
    "--workers", type=click.IntRange(1), help="Processes, with --engine.  [default: one for each core, or GPU]"
)
@click.option(
    "--address", metavar="HOST:PORT", help="Of a cluster that runs, with --engine.  [default: this machine alone]"
)
@data_options
def encode(
    model: Path,
    data: tuple[Path, ...],
    output: Path,
    level: str | None,
    engine: str | None,
    workers: int | None,
    address: str | None,
    source: DataSource,
) -> None:
    """Write the codes of the samples in DATA, which may be several Parquet files.

    Data larger than memory are written as they come, to .npy or .parquet. With --engine, processes of this machine or
    of a cluster write them to a folder of Parquet files, in the order of the samples: one for every 128 MiB of these.
    """
    check_output(output, ARRAY_ENDINGS if engine is None else [""])
    for option, value in {"--workers": workers, "--address": address}.items():
        if engine is None and value is not None:
            raise InvalidParameter(f"{option} is for --engine dask or ray: give one, or omit it.")

    autoencoder = load_autoencoder(model)
    where = at_level(autoencoder, level, model)
    samples: Any
    if engine is not None:
        from embudo.cli.engines import encode_tables
        from embudo.models.bulk import BatchEncoder

        samples, encoder = in_columns_of(autoencoder, source.tables(data)), BatchEncoder(model, level=level)
        n_samples = encode_tables(samples, output, encoder, engine, workers, address)
        click.echo(f"Codes of {n_samples} samples, {len(encoder.names)} units each, written to {output}")
        return
    samples = source.open(data[0], autoencoder.sample_shape_) if len(data) == 1 else source.tables(data)
    samples = in_columns_of(autoencoder, samples)
    out = as_it_comes(samples, output)
    codes = autoencoder.transform(samples, out=out, **where)
    if out is None:
        shown = [f"{level}_{i}" for i in range(codes.shape[1])]
        write_array(output, codes, autoencoder.get_feature_names_out() if level is None else shown, "codes")
    click.echo(f"Codes of {codes.shape[0]} samples, {codes.shape[1]} units each, written to {output}")
