"""Scaling of features, part of every model: what the encoder sees is ``(x - offset) / scale``."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np

from embudo.data.arrays import Matrix, as_dense
from embudo.data.streams import Stream, recut
from embudo.errors import InvalidData, check_choice

#: least maximum of values in [0, 1] that are left as they are: of less, training would see next to nothing
LEAST_REACH = 0.01
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
        """Return ``(rows - offset) / scale``, in float32 where it holds `rows` and the scales, else in float64."""
        if self.offset is None or self.scale is None:
            return rows
        dtype = np.result_type(rows.dtype, self.dtype)
        with np.errstate(over="ignore"):
            scaled: np.ndarray = np.subtract(rows, self.offset.astype(dtype), dtype=dtype)
            scaled /= self.scale.astype(dtype)
        return scaled

    def invert(self, rows: np.ndarray) -> np.ndarray:
        """Return ``rows * scale + offset``, in the type of `rows`."""
        if self.offset is None or self.scale is None:
            return rows
        dtype = np.result_type(rows.dtype, self.dtype)
        with np.errstate(over="ignore"):
            result: np.ndarray = rows * self.scale.astype(dtype) + self.offset.astype(dtype)
            return result.astype(rows.dtype, copy=False)

    @functools.cached_property
    def dtype(self) -> type[np.floating]:
        """float32 where it holds offset and scale, with room for values some way off, else float64."""
        if self.offset is None or self.scale is None:
            return np.float32
        limits = np.finfo(np.float32)
        fits = self.scale.min() >= limits.tiny and (np.abs(self.offset) + self.scale).max() <= limits.max / 16
        return np.float32 if fits else np.float64

    @classmethod
    def restored(cls, kind: Any, arrays: Sequence[np.ndarray], n_features: int) -> Self:
        """Return the scaler of offset and scale as read from a file.

        Raises
        ------
        InvalidParameter, InvalidData
            If they are not what a scaler of `n_features` features holds.
        """
        check_choice("The scaling", kind, ("standard", "minmax", "pixels", None))
        if kind is None and len(arrays):
            raise InvalidData("It holds scales, but no scaling.")
        if kind is None:
            return cls(None)
        if len(arrays) != 2:
            raise InvalidData("'scaler.scale' is missing, or 'scaler.offset'.")
        offset, scale = arrays
        for array in (offset, scale):
            if array.shape not in {(1,), (n_features,)} or array.dtype != np.float64 or not np.isfinite(array).all():
                raise InvalidData(f"The scaling is not {n_features} finite numbers.")
        if not (scale > 0).all():
            raise InvalidData("The scales are not all greater than 0.")
        with np.errstate(over="ignore"):
            if not np.isfinite([1 / scale.min(), *(offset / scale)]).all():
                raise InvalidData("The scales are too small for the offsets.")
        return cls(kind, offset, scale)


def fit_scaler(scale: str | None, X: Matrix, *, unit_interval: bool = False, target: Matrix | None = None) -> Scaler:
    """Choose the scaling of X.

    Parameters
    ----------
    scale : {"auto", "standard", "minmax", None}
        "standard" brings each feature to mean 0 and variance 1, "minmax" to the range 0 to 1. "auto"
        leaves values alone that lie in [0, 1] and reach 0.01, divides 8-bit values by 255, and otherwise is "minmax"
        where the model can only produce values in [0, 1], and else "standard". Constant features are only shifted.
    X : array, CSR matrix or stream of shape (n_samples, n_features)
    unit_interval : bool, default=False
        Whether the model can only produce values in [0, 1].
    target : like X, optional
        What the model shall produce, scaled as X; X itself by default.

    Raises
    ------
    InvalidData
        If the model can only produce values in [0, 1], and the scaled target leaves them.
    InvalidParameter
        If `scale` is unknown.
    """
    check_choice("Autoencoder.scale", scale, SCALES)
    low, high = _ranges(X)
    scaler = _scaler(scale, X, low, high, unit_interval)
    if unit_interval and target is not None:
        _check_reach(scaler, *_ranges(target), "X_clean", "bring X and X_clean to [0, 1] first, or set")
    elif unit_interval:
        _check_reach(scaler, low, high, "X", 'set scale="minmax", or')
    return scaler


def _scaler(scale: str | None, X: Matrix, low: np.ndarray, high: np.ndarray, unit_interval: bool) -> Scaler:
    inside = low.min() >= 0 and LEAST_REACH <= high.max() <= 1
    if scale == "auto":
        if X.dtype == np.uint8 and not inside:
            return Scaler("pixels", np.zeros(1), np.full(1, 255.0))
        scale = None if inside else "minmax" if unit_interval else "standard"
    if scale is None:
        return Scaler(None)
    if scale == "minmax":
        offset, size = low, high - low
    else:
        offset, size = _streamed_mean_and_deviation(X) or _mean_and_deviation(X, low, high)
    return Scaler(scale, offset, usable(size, low, high))


def usable(size: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return the sizes of features to divide by, given their ranges: 1 where one varies by rounding alone."""
    limits = np.finfo(np.float64)
    least = np.maximum(10 * limits.eps * np.maximum(np.abs(low), np.abs(high)), limits.tiny)
    return np.where(size <= least, 1.0, size)


def _ranges(X: Matrix) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the greatest value of each feature, in float64."""
    if isinstance(X, Stream):
        moments = X.survey()
        return moments.low, moments.high
    ranges = [(block.min(axis=0), block.max(axis=0)) for block in _blocks(X)]
    low = np.min([low for low, _ in ranges], axis=0).astype(np.float64)
    high = np.max([high for _, high in ranges], axis=0).astype(np.float64)
    return low, high


def _check_reach(scaler: Scaler, low: np.ndarray, high: np.ndarray, name: str, cure: str) -> None:
    """Refuse samples, given the range of each feature, that leave [0, 1] when scaled by more than rounding."""
    least, most = scaler.apply(low).min(), scaler.apply(high).max()
    if least < -1e-6 or most > 1 + 1e-6:
        scaled = f" after scale={scaler.kind!r}" if scaler.kind else ""
        raise InvalidData(
            f"The output can only be in [0, 1], but {name} ranges from {least:g} to {most:g}{scaled}: {cure} an "
            "output_activation that reaches further."
        )


def scaled_means(X: Matrix, scaler: Scaler) -> np.ndarray:
    """Return the mean of each feature after scaling, in float64."""
    if scaler.kind == "standard":
        return np.zeros(X.shape[1])
    mean = X.survey().mean if isinstance(X, Stream) else np.asarray(X.mean(axis=0, dtype=np.float64)).reshape(-1)
    scaled = scaler.apply(mean)
    # the mean of a constant, great feature is off by its rounding
    return scaled.clip(0, 1) if scaler.kind == "minmax" else scaled


def _streamed_mean_and_deviation(X: Matrix) -> tuple[np.ndarray, np.ndarray] | None:
    """Return mean and standard deviation of each feature of a stream, from the pass that surveyed it.

    None for what is no stream, or has features whose squares are too great or too small for float64.
    """
    if not isinstance(X, Stream):
        return None
    moments = X.survey()
    deviation, varies = moments.deviation, moments.high > moments.low
    return (moments.mean, deviation) if ((deviation > 0) == varies).all() and np.isfinite(deviation).all() else None


def _mean_and_deviation(X: Matrix, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of each feature, given its range.

    They are sums of z = (x - centre) / half range. As z reaches -1 and 1, its variance is at least 2 / n, so
    that E z^2 - (E z)^2 loses no more than n / 2 roundings, and nothing overflows or vanishes.
    """
    centre, half = low / 2 + high / 2, high / 2 - low / 2
    constant = half == 0
    centre[constant], half[constant] = low[constant], 1.0
    total, square = np.zeros_like(centre), np.zeros_like(centre)
    for block in _blocks(X):
        z = (block - centre) / half
        total += z.sum(axis=0)
        square += np.einsum("ij,ij->j", z, z)
    mean = total / X.shape[0]
    return centre + half * mean, half * np.sqrt(np.maximum(square / X.shape[0] - mean**2, 0))


def _blocks(X: Matrix) -> Iterator[np.ndarray]:
    """Yield the rows of X in order, dense, few enough at a time to stay in cache as float64."""
    size = max(16, 2**17 // X.shape[1])
    if isinstance(X, Stream):
        yield from recut(X.blocks(), size)
        return
    for start in range(0, X.shape[0], size):
        yield as_dense(X[start : start + size])
