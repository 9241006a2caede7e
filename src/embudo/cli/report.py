"""``embudo report``: a page on a model, and what a doctor says of it."""

from __future__ import annotations

from pathlib import Path

import click

from embudo.cli.loading import in_columns_of, load_autoencoder
from embudo.cli.options import INPUT, PATH, DataSource, data_options, image_shape_option, labels_option, output_option
from embudo.cli.output import check_output, size_text


@click.command()
@click.argument("model", type=PATH)
@click.argument("data", type=INPUT)
@output_option("The page: .html.")
@labels_option("codes are")
@image_shape_option
@data_options
def report(
    model: Path,
    data: Path,
    output: Path,
    labels: str | None,
    image_shape: tuple[int, int] | None,
    source: DataSource,
) -> None:
    """Write a page on what MODEL is, what it makes of DATA, what is wrong with it, and what to try.

    The page is one file, for any browser and for printing. The same is told in a few lines here.
    """
    check_output(output, [".html"])

    from embudo import Report
    from embudo.cli.classify import read_both

    autoencoder = load_autoencoder(model)
    X, y = read_both(source, data, labels, autoencoder.sample_shape_)
    X = in_columns_of(autoencoder, X)
    page = Report(autoencoder, X, y, title=f"{model.name} on {data.name}", image_shape=image_shape)
    page.save(output)
    click.echo(repr(page))
    if page.findings:
        click.echo('Arguments in Python are options of the verbs: init="pca" is --init pca.')
    click.echo(f"Report written to {output}, {size_text(len(page.html))}")
