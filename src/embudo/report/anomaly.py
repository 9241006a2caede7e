"""How the scores of a detector are distributed, and where its threshold lies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from embudo.errors import InvalidData

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from embudo.apps.detection import AnomalyDetector


class AnomalyScoreDisplay:
    """A histogram of errors on a logarithmic axis, with the threshold.

    Parameters
    ----------
    errors : ndarray of shape (n_samples,)
        Minus the scores.
    threshold : float
        Errors beyond are flagged.
    labels : ndarray of shape (n_samples,), optional
        Kinds of samples, each of which has a histogram of its own.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Set by `plot`.
    """

    def __init__(self, errors: np.ndarray, threshold: float, labels: np.ndarray | None = None) -> None:
        self.errors, self.threshold, self.labels = errors, threshold, labels

    @classmethod
    def from_estimator(cls, detector: AnomalyDetector, X: Any, y: Any = None, *, ax: Axes | None = None) -> Self:
        """Score samples, and draw.

        Parameters
        ----------
        detector : AnomalyDetector
            Fitted.
        X : like that of its `fit`
        y : array of shape (n_samples,), optional
            What the samples are, such as 1 for normal and -1 for abnormal.
        ax : matplotlib.axes.Axes, optional
            A new one by default.
        """
        errors, labels = -detector.score_samples(X), None if y is None else np.asarray(y)
        if labels is not None and labels.shape != errors.shape:
            raise InvalidData(f"y must have one label for each of the {len(errors)} samples; got {labels.shape}.")
        return cls(errors, -detector.offset_, labels).plot(ax)

    def plot(self, ax: Axes | None = None, *, bins: int = 40) -> Self:
        """Draw on `ax`, or on a new one."""
        if ax is None:
            import matplotlib.pyplot as plt

            ax = plt.subplots()[1]
        least = max(self.errors.max(), self.threshold) * 1e-6
        errors = np.maximum(self.errors, least)
        edges = np.geomspace(errors.min(), max(errors.max(), self.threshold) * 1.01, bins + 1)
        kinds = np.zeros(len(errors)) if self.labels is None else self.labels
        for kind in np.unique(kinds):
            name = None if self.labels is None else str(kind)
            ax.hist(errors[kinds == kind], list(edges), density=True, alpha=0.6, label=name)
        ax.axvline(self.threshold, color="black", linestyle="--", label="threshold")
        ax.set(xscale="log", xlabel="error (minus the score)", ylabel="density")
        ax.legend()
        self.ax_ = ax
        return self
