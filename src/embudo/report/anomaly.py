"""How the scores of a detector are distributed, and where its threshold lies."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from embudo.report.display import LINES, Display, check_labels, logarithmic, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from embudo.apps.detection import AnomalyDetector


class AnomalyScoreDisplay(Display):
    """A histogram of errors on a logarithmic axis, with the threshold where there is one.

    Parameters
    ----------
    errors : ndarray of shape (n_samples,)
        Minus the scores.
    threshold : float, optional
        Errors beyond are flagged.
    labels : ndarray of shape (n_samples,), optional
        Kinds of samples, each of which has a histogram of its own.
    """

    def __init__(self, errors: np.ndarray, threshold: float | None = None, labels: np.ndarray | None = None) -> None:
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
        return cls.from_predictions(detector.score_samples(X), y, threshold=detector.offset_, ax=ax)

    @classmethod
    def from_predictions(
        cls, scores: Any, y: Any = None, *, threshold: float | None = None, ax: Axes | None = None
    ) -> Self:
        """Draw scores, of which the greater are the more normal, and the one below which samples are flagged."""
        errors = -np.asarray(scores, dtype=float)
        return cls(errors, None if threshold is None else -threshold, check_labels(y, len(errors))).plot(ax)

    def plot(self, ax: Axes | None = None, *, bins: int = 40) -> Self:
        """Draw on `ax`, or on new axes."""
        ax = self._begin(ax)
        most = max(float(self.errors.max()), self.threshold or 0.0) or 1.0
        errors = np.maximum(self.errors, most * 1e-6)
        edges = np.geomspace(errors.min(), most * 1.01, bins + 1)
        kinds = np.zeros(len(errors)) if self.labels is None else self.labels
        for kind, color in zip(np.unique(kinds), itertools.cycle(LINES)):
            name = None if self.labels is None else plain(kind)
            chosen = errors[kinds == kind]
            ax.hist(
                chosen, list(edges), weights=np.full(len(chosen), 1 / len(chosen)), alpha=0.6, label=name, color=color
            )
        if self.threshold is not None:
            ax.axvline(self.threshold, color="black", linestyle="--", label="threshold")
        logarithmic(ax.xaxis)
        ax.set(
            xlabel="error" if self.threshold is None else "error (minus the score)",
            ylabel="share of the samples",
        )
        if ax.get_legend_handles_labels()[0]:
            ax.legend(frameon=False)
        return self
