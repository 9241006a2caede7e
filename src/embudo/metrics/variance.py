"""Measures of how much of the variance of samples their reconstructions hold."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

MOST_FEATURES = 5000  #: beyond which the covariance is too large to hold


class Residuals:
    """Sums over samples x and their reconstructions y, which are given a block at a time.

    Examples
    --------
    >>> x = np.array([[0.0, 0.0], [2.0, 4.0]])
    >>> residuals = Residuals()
    >>> residuals.update(x, x + 1)
    >>> residuals.error, residuals.fvu, residuals.explained_variance
    (2.0, 0.4, 1.0)
    """

    def __init__(self) -> None:
        self.n_samples = 0
        self._centre: Any = None
        self._sums = np.zeros(0)

    def update(self, x: np.ndarray, y: np.ndarray) -> None:
        """Add a block of samples and their reconstructions, each of shape (n, n_features)."""
        if self._centre is None:  # sums of what lies near 0 keep their precision
            self._centre = x.mean(axis=0, dtype=np.float64)
            self._sums = np.zeros((4, x.shape[1]))
        centred, error = x - self._centre, np.subtract(x, y, dtype=np.float64)
        self.n_samples += len(x)
        self._sums += [centred.sum(0), np.square(centred).sum(0), error.sum(0), np.square(error).sum(0)]

    @property
    def _means(self) -> np.ndarray:
        return self._sums / self.n_samples

    @property
    def variance(self) -> float:
        """``mean_n ||x_n - mean x||^2``."""
        mean, square = self._means[:2]
        return float((square - mean**2).sum())

    @property
    def error(self) -> float:
        """``mean_n ||x_n - y_n||^2``."""
        return float(self._means[3].sum())

    @property
    def fvu(self) -> float:
        """Fraction of variance unexplained: ``mean_n ||x_n - y_n||^2 / mean_n ||x_n - mean x||^2``."""
        return ratio(self.error, self.variance)

    @property
    def explained_variance(self) -> float:
        """``1 - mean_n ||e_n - mean e||^2 / mean_n ||x_n - mean x||^2``, e = x - y: a constant error is forgiven."""
        mean, square = self._means[2:]
        return 1 - ratio(float((square - mean**2).sum()), self.variance)

    @property
    def relative_change(self) -> float:
        """``sqrt(mean_n ||x_n - y_n||^2 / mean_n ||x_n - mean x||^2)``: 1 is as far as samples lie from their mean."""
        return float(np.sqrt(self.fvu))


def ratio(part: float, whole: float) -> float:
    """Return ``part / whole``, and NaN where samples do not vary at all."""
    return part / whole if whole > 0 else float("nan")


@dataclasses.dataclass(frozen=True)
class PCA:
    """PCA's reconstruction of samples: ``mean + (x - mean) V V^T``, V the axes of greatest variance.

    Attributes
    ----------
    mean : ndarray of shape (n_features,)
    axes : ndarray of shape (n_features, n_components)
        V.
    residuals : ndarray of shape (n_features,)
        Mean squared error of each feature, on the samples that it is fitted on.
    """

    mean: np.ndarray
    axes: np.ndarray
    residuals: np.ndarray

    def reconstruct(self, x: np.ndarray) -> np.ndarray:
        """Return the reconstructions of samples, each of shape (n, n_features)."""
        y: np.ndarray = (x - self.mean) @ self.axes @ self.axes.T + self.mean
        return y


class Covariance:
    """The covariance of samples, given a block at a time, and PCA of it.

    Parameters
    ----------
    centre : ndarray of shape (n_features,), optional
        A point near their mean, from which they are measured: so sums keep their precision. None is the first block's
        mean.

    Examples
    --------
    >>> covariance = Covariance()
    >>> covariance.update(np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0], [0.0, -2.0]]))
    >>> pca = covariance.pca(1)
    >>> pca.residuals.round(6).tolist(), pca.reconstruct(np.array([[3.0, 4.0]])).round(6).tolist()
    ([0.5, 0.0], [[0.0, 4.0]])
    >>> covariance.spectrum().round(6).tolist()
    [2.0, 0.5]
    """

    def __init__(self, centre: np.ndarray | None = None) -> None:
        self.n_samples = 0
        self._centre: Any = centre
        self._total: Any = 0.0
        self._products: Any = 0.0

    def update(self, x: np.ndarray) -> None:
        """Add a block of samples, shape (n, n_features)."""
        if self._centre is None:
            self._centre = x.mean(axis=0, dtype=np.float64)
        centred = x - self._centre
        self.n_samples += len(x)
        self._total += centred.sum(axis=0)
        self._products += centred.T @ centred

    def spectrum(self) -> np.ndarray:
        """Return the variance along each axis of PCA, the greatest first, shape (n_features,)."""
        values: np.ndarray = np.maximum(np.linalg.eigvalsh(self._matrix())[::-1], 0)
        return values

    def pca(self, n_components: int) -> PCA:
        """Return PCA fitted on the samples.

        Its residuals are ``C_ii - sum_k lambda_k V_ki^2``, over the `n_components` greatest eigenvalues of the
        covariance C.
        """
        mean = self._total / self.n_samples
        values, vectors = np.linalg.eigh(self._matrix())
        left, kept = np.split(np.arange(len(values)), [len(values) - n_components])
        residuals = np.square(vectors[:, left]) @ np.maximum(values[left], 0)
        return PCA(self._centre + mean, vectors[:, kept], residuals)

    def _matrix(self) -> np.ndarray:
        mean = self._total / self.n_samples
        matrix: np.ndarray = self._products / self.n_samples - np.outer(mean, mean)
        return matrix
