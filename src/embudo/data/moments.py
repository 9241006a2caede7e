"""Where samples lie: range, mean and variance from one pass over blocks of them, and the geometric median."""

from __future__ import annotations

import numpy as np


class Moments:
    """Range, mean and variance of each feature, of samples that are given a block at a time.

    Mean and sum of squares are those of the blocks, joined by Chan's update [1]_. NaN stands for a missing value,
    and counts for nothing.

    Parameters
    ----------
    n_features : int

    References
    ----------
    .. [1] Chan, Golub and LeVeque (1983). Algorithms for computing the sample variance: analysis and
       recommendations. The American Statistician 37.

    Examples
    --------
    >>> moments = Moments(1)
    >>> moments.update(np.array([[1.0], [2.0]]))
    >>> moments.update(np.array([[6.0]]))
    >>> moments.n_samples, moments.low, moments.high, moments.mean, moments.deviation.round(3)
    (3, array([1.]), array([6.]), array([3.]), array([2.16]))
    """

    def __init__(self, n_features: int) -> None:
        self.n_samples, self.n_known = 0, np.zeros(n_features)
        self.low, self.high = np.full(n_features, np.inf), np.full(n_features, -np.inf)
        self.mean, self._squares = np.zeros(n_features), np.zeros(n_features)

    def update(self, rows: np.ndarray) -> None:
        """Add a block of samples, shape (n, n_features)."""
        size = max(16, 2**17 // len(self.mean))  # stays in cache as float64
        for start in range(0, len(rows), size):
            self._add(rows[start : start + size])

    def _add(self, rows: np.ndarray) -> None:
        n: int | np.ndarray = len(rows)
        low, high, mean = rows.min(axis=0), rows.max(axis=0), rows.mean(axis=0, dtype=np.float64)
        self.n_samples += len(rows)
        if np.isnan(mean).any():
            known = ~np.isnan(rows)
            n, low, high = known.sum(axis=0), np.fmin.reduce(rows, axis=0), np.fmax.reduce(rows, axis=0)
            mean = np.where(known, rows, 0).sum(axis=0, dtype=np.float64) / np.maximum(n, 1)
            rows = np.where(known, rows, mean)
        self.low, self.high = np.fmin(self.low, low), np.fmax(self.high, high)
        with np.errstate(over="ignore", invalid="ignore"):  # of great numbers; then the deviation is not finite
            centred = rows - mean
            ahead = mean - self.mean
            share = n / np.maximum(self.n_known + n, 1)
            self._squares += np.einsum("ij,ij->j", centred, centred) + ahead**2 * self.n_known * share
            self.mean += ahead * share
        self.n_known += n

    @property
    def deviation(self) -> np.ndarray:
        """Standard deviation of each feature."""
        deviation: np.ndarray = np.sqrt(self._squares / np.maximum(self.n_known, 1))
        return deviation

    @property
    def has_gaps(self) -> bool:
        """Whether a value is missing."""
        return bool((self.n_known < self.n_samples).any())


def geometric_median(rows: np.ndarray, *, tolerance: float = 1e-6, most: int = 100) -> np.ndarray:
    """Return the point with the least sum of distances to samples, by Weiszfeld's iteration [1]_.

    Unlike the mean, it is not carried off by a few samples that lie far away.

    Parameters
    ----------
    rows : ndarray of shape (n_samples, n_features)
    tolerance : float, default=1e-6
        Share of the mean distance by which the last iteration may move it.
    most : int, default=100
        Iterations.

    References
    ----------
    .. [1] Weiszfeld (1937). Sur le point pour lequel la somme des distances de n points donnés est minimum. Tohoku
       Mathematical Journal 43.

    Examples
    --------
    >>> geometric_median(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.5, 100.0]])).round(2)
    array([0.5 , 0.81])
    """
    median: np.ndarray = rows.mean(axis=0, dtype=np.float64)
    for _ in range(most):
        distances = np.linalg.norm(rows - median, axis=1)
        mean = distances.mean()
        if mean == 0:
            break
        before, median = median, np.average(rows, axis=0, weights=1 / np.maximum(distances, 1e-12 * mean))
        if np.linalg.norm(median - before) <= tolerance * mean:
            break
    return median
