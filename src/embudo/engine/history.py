"""The record of a training: one row an epoch."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from embudo.errors import FileFormatError

#: columns by name, all of one length; ``pandas.DataFrame(history)`` is the table
History = dict[str, list[float]]


@dataclasses.dataclass(frozen=True)
class Epoch:
    """What one epoch came to.

    Attributes
    ----------
    number : int
        From 1 on.
    terms : dict of str to float
        Mean of each term of the objective over the epoch, per sample.
    validation : dict of str to float
        Means over the validation samples: "loss", without penalties, and other measures; empty where there are none.
    learning_rate : float
        That of the last step.
    seconds : float
        Time spent on steps and validation.
    samples_per_second : float
        Of the steps alone.
    """

    number: int
    terms: dict[str, float]
    validation: dict[str, float]
    learning_rate: float
    seconds: float
    samples_per_second: float

    @property
    def loss(self) -> float:
        """Sum of the terms."""
        return sum(self.terms.values())


def append(history: History, epoch: Epoch) -> None:
    """Add `epoch` as the last row of `history`."""
    row: dict[str, float] = {"epoch": epoch.number, "loss": epoch.loss}
    if len(epoch.terms) > 1:
        row |= epoch.terms
    row |= {f"validation_{name}": value for name, value in epoch.validation.items()}
    row |= {
        "learning_rate": epoch.learning_rate,
        "seconds": epoch.seconds,
        "samples_per_second": epoch.samples_per_second,
    }
    n_before = max(map(len, history.values()), default=0)
    for name in {**history, **row}:  # what was not measured, such as a validation in other calls of fit, is NaN
        history.setdefault(name, [math.nan] * n_before).append(row.get(name, math.nan))


def restored(table: Any, what: str) -> dict[str, list[Any]]:
    """Return a table that a file holds, called `what`: columns of one length, of numbers and text.

    Raises
    ------
    FileFormatError
        If it is none.
    """
    good = isinstance(table, dict) and all(isinstance(column, list) for column in table.values())
    if not good or len(set(map(len, table.values()))) > 1:
        raise FileFormatError(f"Its {what} is not a table of columns of one length.")
    if not all(isinstance(value, int | float | str) for column in table.values() for value in column):
        raise FileFormatError(f"Its {what} is a table of neither numbers nor text.")
    columns: dict[str, list[Any]] = table
    return columns
