"""Tables on the terminal: rows under a head, or facts beside their names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


def print_table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, text: Collection[int] = (0,), title: str | None = None
) -> None:
    """Print rows under a head; the columns of numbers `text` hold text, the others numbers."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    for i, name in enumerate(head):
        if i in text:
            table.add_column(name, overflow="fold")
        else:
            table.add_column(name, justify="right", no_wrap=True)
    _print(table, rows)


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Print each fact beside its name."""
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    _print(table, facts)


def _print(table: Table, rows: Iterable[Sequence[str]]) -> None:
    from rich.console import Console

    for row in rows:
        table.add_row(*row)
    Console(markup=False).print(table)
