"""``embudo diagnose``: what a model makes of a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from embudo.cli.loading import in_columns_of, load_autoencoder
from embudo.cli.options import INPUT, PATH, DataSource, data_options
from embudo.cli.output import json_text
from embudo.cli.tables import print_table


@click.command()
@click.argument("model", type=PATH)
@click.argument("data", type=INPUT)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@data_options
def diagnose(model: Path, data: Path, as_json: bool, source: DataSource) -> None:
    """Measure what MODEL makes of DATA, with PCA's figures beside it.

    Error, variance explained, units that speak, saturation, contraction, and what noise changes.
    """
    autoencoder = load_autoencoder(model)
    facts = autoencoder.diagnose(in_columns_of(autoencoder, source.open(data, autoencoder.sample_shape_)))
    if as_json:
        click.echo(json_text(facts))
        return
    noise = facts.pop("noise")
    rows = [_row(name, facts) for name in facts if not name.startswith("pca_")]
    print_table(("measure", "", "PCA's"), rows, text=(0, 1, 2))
    rows = [[name, *(_text(value) for value in measures.values())] for name, measures in noise.items()]
    print_table(("noise", "fvu", "PCA's fvu", "change of x'", "change of h"), rows)


def _row(name: str, facts: dict[str, Any]) -> list[str]:
    value, pca = facts[name], facts.get(f"pca_{name}")
    text = "  ".join(f"{key} {part:.4g}" for key, part in value.items()) if isinstance(value, dict) else _text(value)
    return [name.replace("_", " "), text, "" if pca is None else _text(pca)]


def _text(value: float | None) -> str:
    return "none" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
