"""From scores to decisions: thresholds, and p-values whose promise holds on new normal samples."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Self

import numpy as np
from sklearn.base import OutlierMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

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


class CalibratedOutlierMixin(OutlierMixin):
    """What scikit-learn wants of an outlier detector, and a threshold whose promise holds on new samples.

    For estimators with `score_samples`, whose `fit` sets `offset_`, and `calibration_` to None.
    """

    offset_: float
    calibration_: Calibration | None

    def score_samples(self, X: Any) -> np.ndarray:
        """Return the score of each sample, shape (n_samples,): greater is more normal."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it scores.")

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the scores less `offset_`: less than 0 is an anomaly.

        Parameters
        ----------
        X : like that of `fit`

        Returns
        -------
        ndarray of shape (n_samples,), float64
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """Return 1 for samples that are normal and -1 for anomalies.

        Parameters
        ----------
        X : like that of `fit`

        Returns
        -------
        ndarray of shape (n_samples,), int
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def calibrate(self, X_normal: Any, false_alarm_rate: float = 0.01) -> Self:
        """Set the threshold by normal samples, for a promise on new ones.

        Of new normal samples, drawn as these are, no more than `false_alarm_rate` are flagged, on average over sets of
        calibration samples, whatever the distribution [1]_: `offset_` is the ``floor(rate (n + 1))``-th least of their
        n scores.

        Parameters
        ----------
        X_normal : like X of `fit`
            Normal samples that the detector has not learnt from, at least ``1 / rate - 1``.
        false_alarm_rate : float, default=0.01
            Between 0 and 1.

        Returns
        -------
        AnomalyDetector

        Raises
        ------
        InvalidData
            If there are too few samples for the rate.

        References
        ----------
        .. [1] Laxhammar and Falkman (2010). Conformal prediction for distribution-independent anomaly detection in
           streaming vessel data. StreamKDD.
        """
        self.calibration_ = Calibration.of(self.score_samples(X_normal), false_alarm_rate)
        self.offset_ = self.calibration_.offset
        return self

    def p_values(self, X: Any) -> np.ndarray:
        """Return how probable it is that a normal sample scores no higher: what `calibrate` flags has at most its rate.

        Parameters
        ----------
        X : like that of `fit`

        Returns
        -------
        ndarray of shape (n_samples,), float64
            ``(1 + number of calibration scores <= score) / (n + 1)``.

        Raises
        ------
        NotFittedError
            If the detector is not calibrated.
        """
        check_is_fitted(self)
        if self.calibration_ is None:
            raise NotFittedError("p_values needs a detector that is calibrated: call calibrate(X_normal) first.")
        return self.calibration_.p_values(self.score_samples(X))
