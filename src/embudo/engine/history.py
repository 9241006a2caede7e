"""The record of a training: one row an epoch."""

from __future__ import annotations

import dataclasses

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
    for name, value in row.items():
        history.setdefault(name, []).append(value)
