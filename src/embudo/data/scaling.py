"""Scaling of features, part of every model: what the encoder sees is ``(x - offset) / scale``."""

from __future__ import annotations

import dataclasses

import numpy as np
import scipy.sparse

from embudo.data.arrays import Matrix
from embudo.errors import InvalidData, check_choice

SCALES = ("auto", "standard", "minmax", None)


@dataclasses.dataclass(frozen=True)
class Scaler:
    """Offset and scale of each feature, in float64; None where nothing is to be done.

    Attributes
    ----------
    kind : {"standard", "minmax", "pixels", None}
        What ``scale="auto"`` came to; "pixels" is 0 to 255 onto 0 to 1.
    offset, scale : ndarray of shape (n_features,) or (1,), or None
    """

    kind: str | None
    offset: np.ndarray | None = None
    scale: np.ndarray | None = None

    def apply(self, rows: np.ndarray) -> np.ndarray:
        """Return ``(rows - offset) / scale``, in float64 where `rows` are, else in float32."""
        if self.offset is None or self.scale is None:
            return rows
        dtype = np.float64 if rows.dtype == np.float64 else np.float32
        scaled: np.ndarray = np.subtract(rows, self.offset.astype(dtype), dtype=dtype)
        scaled /= self.scale.astype(dtype)
        return scaled

    def invert(self, rows: np.ndarray) -> np.ndarray:
        """Return ``rows * scale + offset``, in the type of `rows`."""
        if self.offset is None or self.scale is None:
            return rows
        result: np.ndarray = rows * self.scale.astype(rows.dtype) + self.offset.astype(rows.dtype)
        return result


def fit_scaler(scale: str | None, X: Matrix, *, unit_interval: bool = False) -> Scaler:
    """Choose the scaling of X.

    Parameters
    ----------
    scale : {"auto", "standard", "minmax", None}
        "standard" brings each feature to mean 0 and variance 1, "minmax" to the range 0 to 1. "auto"
        leaves values that lie in [0, 1] alone, divides 8-bit values by 255, and otherwise is "minmax" where
        the model can only produce values in [0, 1], and else "standard". Constant features are only shifted.
    X : array or CSR matrix of shape (n_samples, n_features)
    unit_interval : bool, default=False
        Whether the model can only produce values in [0, 1].

    Raises
    ------
    InvalidData
        If nothing is scaled although the model needs values in [0, 1].
    InvalidParameter
        If `scale` is unknown.
    """
    check_choice("Autoencoder.scale", scale, SCALES)
    low, high = float(X.min()), float(X.max())
    inside = low >= 0 and high <= 1
    if scale == "auto":
        if X.dtype == np.uint8 and not inside:
            return Scaler("pixels", np.zeros(1), np.full(1, 255.0))
        scale = None if inside else "minmax" if unit_interval else "standard"
    if scale is None:
        if unit_interval and not inside:
            raise InvalidData(
                f"The loss needs values in [0, 1], but X ranges from {low:g} to {high:g}: "
                'set scale="minmax", or another loss.'
            )
        return Scaler(None)
    offset, size = _mean_and_deviation(X) if scale == "standard" else _low_and_range(X)
    # below this, a feature varies by rounding alone
    size[size <= 10 * np.finfo(np.float64).eps * np.abs(offset)] = 1.0
    return Scaler(scale, offset, size)


def _mean_and_deviation(X: Matrix) -> tuple[np.ndarray, np.ndarray]:
    if scipy.sparse.issparse(X):
        mean = np.asarray(X.mean(axis=0, dtype=np.float64)).ravel()
        square = np.asarray(X.multiply(X).mean(axis=0, dtype=np.float64)).ravel()
        return mean, np.sqrt(np.maximum(square - mean**2, 0))
    # the greatest magnitude is taken out first, so that squares neither overflow nor vanish
    unit = np.maximum(np.abs(X).max(axis=0).astype(np.float64), np.finfo(np.float64).tiny)
    mean = X.mean(axis=0, dtype=np.float64)
    square = np.zeros(X.shape[1])
    for start in range(0, len(X), 4096):
        square += np.square((X[start : start + 4096] - mean) / unit).sum(axis=0)
    return mean, np.sqrt(square / len(X)) * unit


def _low_and_range(X: Matrix) -> tuple[np.ndarray, np.ndarray]:
    low, high = X.min(axis=0), X.max(axis=0)
    if scipy.sparse.issparse(X):
        low, high = low.toarray().ravel(), high.toarray().ravel()
    low = low.astype(np.float64)
    return low, high.astype(np.float64) - low
