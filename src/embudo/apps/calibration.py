"""From scores to decisions: thresholds, and p-values whose promise holds on new normal samples."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Self

import numpy as np

from embudo.errors import InvalidData, InvalidParameter, check_number


def check_contamination(name: str, contamination: Any) -> None:
    """Refuse a contamination that is neither "auto" nor a share from 0 to 0.5.

    Raises
    ------
    InvalidParameter
    """
    if isinstance(contamination, str) and contamination == "auto":
        return
    try:
        check_number(name, contamination, low=0, high=0.5)
    except InvalidParameter:
        raise InvalidParameter(
            f'{name} must be "auto", 0 for clean data, or a share of the samples up to 0.5; got {contamination!r}.'
        ) from None


def threshold(scores: np.ndarray, contamination: float | str) -> float:
    """Return the score below which a sample is taken for an anomaly.

    Parameters
    ----------
    scores : ndarray of shape (n_samples,)
        Minus the errors of the training samples.
    contamination : "auto" or float
        The share of the training samples that lies below; 0 is none. "auto" is Tukey's fence over the roots of the
        errors, which are distances: the upper quartile and 3 times the range between the quartiles; but at least
        one of a hundred lies below.
    """
    if contamination == "auto":
        low, high = np.percentile(np.sqrt(-scores), (25, 75))
        return max(float(np.percentile(scores, 1)), -(float(high + 3 * (high - low)) ** 2))
    return float(np.percentile(scores, 100 * float(contamination)))


def check_enough(n_samples: int, false_alarm_rate: Any) -> None:
    """Refuse fewer normal samples than a rate of false alarms needs.

    Raises
    ------
    InvalidParameter
        If the rate is not between 0 and 1.
    InvalidData
        If there are too few samples for it.
    """
    check_number("false_alarm_rate", false_alarm_rate, low=0, high=1, open_low=True, open_high=True)
    needed = math.ceil(1 / false_alarm_rate - 1e-9) - 1
    if n_samples < needed:
        raise InvalidData(
            f"false_alarm_rate={false_alarm_rate:g} needs at least {needed} normal samples to calibrate by; got "
            f"{n_samples}: bring more, or ask for {1 / (n_samples + 1):.2g} or more."
        )


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Scores of normal samples that were not learnt from, by which new ones are judged.

    Attributes
    ----------
    scores : ndarray of shape (n_samples,), float64
        In ascending order.
    false_alarm_rate : float
        Share of new normal samples that may be flagged.
    """

    scores: np.ndarray
    false_alarm_rate: float

    @classmethod
    def of(cls, scores: np.ndarray, false_alarm_rate: float) -> Self:
        """Return the calibration by `scores`.

        Raises
        ------
        InvalidParameter, InvalidData
            As `check_enough` does.
        """
        check_enough(len(scores), false_alarm_rate)
        return cls(np.sort(scores), float(false_alarm_rate))

    @property
    def offset(self) -> float:
        """The score below which a sample is flagged: a new normal one is with probability at most the rate."""
        rank = math.floor(self.false_alarm_rate * (len(self.scores) + 1) + 1e-9)
        return float(self.scores[rank - 1])

    def p_values(self, scores: np.ndarray) -> np.ndarray:
        """Return ``(1 + number of calibration scores <= score) / (n + 1)``."""
        p: np.ndarray = (1 + np.searchsorted(self.scores, scores, side="right")) / (len(self.scores) + 1)
        return p
