"""``embudo diagnose``: what a model makes of a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from embudo.cli.loading import load_autoencoder
from embudo.cli.options import DataSource, data_options
from embudo.cli.output import json_text

if TYPE_CHECKING:
    from rich.table import Table


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@data_options
def diagnose(model: Path, data: Path, as_json: bool, source: DataSource) -> None:
    """Measure what MODEL makes of DATA, with PCA's figures beside it.

    Error, variance explained, units that speak, saturation, contraction, and what noise changes.
    """
    autoencoder = load_autoencoder(model)
    facts = autoencoder.diagnose(source.read(data, autoencoder.sample_shape_))
    if as_json:
        click.echo(json_text(facts))
        return
    from rich.console import Console

    console = Console(soft_wrap=False, markup=False)
    noise = facts.pop("noise")
    console.print(_table(("", "", ""), [_row(name, facts) for name in facts if not name.startswith("pca_")]))
    rows = [[name, *(_text(value) for value in measures.values())] for name, measures in noise.items()]
    console.print(_table(("noise", "fvu", "PCA's fvu", "reconstruction change", "code change"), rows))


def _row(name: str, facts: dict[str, Any]) -> list[str]:
    value, pca = facts[name], facts.get(f"pca_{name}")
    text = "  ".join(f"{key} {part:.4g}" for key, part in value.items()) if isinstance(value, dict) else _text(value)
    return [name.replace("_", " "), text, "" if pca is None else f"PCA {_text(pca)}"]


def _text(value: float | None) -> str:
    return "none" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _table(names: tuple[str, ...], rows: list[list[str]]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=any(names), header_style="bold")
    for i, name in enumerate(names):
        table.add_column(name, style=None if i else "bold", no_wrap=not i, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table
