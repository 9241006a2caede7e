"""Streams: samples that are read a part at a time and never held all at once."""

from __future__ import annotations

import abc
import copy
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self, TypeVar

import numpy as np

from embudo.data.arrays import Matrix, check_finite
from embudo.data.moments import Moments
from embudo.errors import InvalidData, InvalidParameter

WINDOW = 2**27  #: bytes of samples, as they are learnt, that are held and shuffled at a time
PARTS = 128  #: to a window, where the parts can be cut at will

Item = TypeVar("Item")


class Stream(abc.ABC):
    """Samples in parts, each of which is read from its start, a block after the other.

    Made by `embudo.stream`.

    Attributes
    ----------
    n_features : int
    dtype : numpy.dtype
    counts : list of int or None
        Samples in each part; None until the samples have been passed over once, where only that tells.
    sample_shape : tuple of int or None
        Shape of a sample that is not a row, such as an image.
    names : list of str or None
        Of the features.
    window : int
        Bytes of samples, as they are learnt, that are held and shuffled at a time.
    once : bool
        Whether the samples can be read only once.
    moments : Moments or None
        Of the features, once `survey` has passed over the samples.
    """

    n_features: int
    dtype: np.dtype[Any]
    counts: list[int] | None = None
    sample_shape: tuple[int, ...] | None = None
    names: list[str] | None = None
    window: int = WINDOW
    once = False
    moments: Moments | None = None

    def __repr__(self) -> str:
        n_samples = "?" if self.counts is None else f"{self.shape[0]:,}"
        return f"<{type(self).__name__}: {n_samples} samples, {self.n_features:,} features, {self.dtype}>"

    @abc.abstractmethod
    def part(self, number: int) -> Iterator[np.ndarray]:
        """Yield the samples of a part in order, in blocks of shape (n, n_features) that nothing else refers to."""

    @property
    def shape(self) -> tuple[int, int]:
        """Number of samples, -1 where it is not known yet, and of features."""
        return -1 if self.counts is None else sum(self.counts), self.n_features

    @property
    def fits(self) -> bool:
        """Whether a window is known to hold all samples."""
        return self.counts is not None and self.shape[0] * self.row_bytes <= self.window

    @property
    def row_bytes(self) -> int:
        """Bytes that a sample takes."""
        return self.n_features * max(4, self.dtype.itemsize)

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield all samples in order, in blocks of whatever size."""
        for number in range(1 if self.counts is None else len(self.counts)):
            yield from self.part(number)

    def slices(
        self, size: int, subject: str = "X holds", *, allow_nan: bool = False
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield all samples in order, `size` at a time, read ahead and checked: finite, or NaN with `allow_nan`."""
        start = 0
        for block in prefetched(recut(self.blocks(), size)):
            check_finite(block, self.names, subject=subject, allow_nan=allow_nan, first_row=start)
            yield slice(start, start + len(block)), block
            start += len(block)

    def survey(self, *, allow_nan: bool = False) -> Moments:
        """Return the moments of the features, from one pass in which every value is checked to be finite.

        With `allow_nan` it may be NaN, where it is missing.

        Raises
        ------
        InvalidData
            If a value is not, or the samples can be read only once.
        """
        if self.once:
            raise InvalidData(
                "X can be read only once, and fit passes over it once to scale it and again in every epoch: give "
                "embudo.stream a function that returns a new iterator each time, or learn by partial_fit."
            )
        if self.moments is None or (self.moments.has_gaps and not allow_nan):
            moments = Moments(self.n_features)
            for block in prefetched(self.blocks()):
                check_finite(block, self.names, allow_nan=allow_nan, first_row=moments.n_samples)
                moments.update(block)
            self.moments = moments
            if self.counts is None:
                self.counts = [moments.n_samples]
        return self.moments

    def unnamed(self) -> Self:
        """Return the same samples, their features without names."""
        stream = copy.copy(self)
        stream.names = None
        return stream

    def load(self) -> Any:
        """Return all samples as an array, or a frame where the features have names."""
        rows, start = np.empty(self.shape, self.dtype), 0
        for block in self.blocks():
            rows[start : start + len(block)] = block
            start += len(block)
        if self.names is not None:
            import pandas as pd

            return pd.DataFrame(rows, columns=self.names)
        return rows if self.sample_shape is None else rows.reshape(-1, *self.sample_shape)

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        """Return the samples at `indices`, from one pass over the parts that hold them."""
        result, order = np.empty((len(indices), self.n_features), self.dtype), np.argsort(indices, kind="stable")
        start = 0
        for block in Chosen(self, indices[order]).blocks():
            result[order[start : start + len(block)]] = block
            start += len(block)
        return result


class Selection(Stream):
    """Some of the samples of a stream."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.n_features, self.dtype, self.window = stream.n_features, stream.dtype, stream.window
        self.sample_shape, self.names = stream.sample_shape, stream.names
        self.all_counts = stream.counts or [stream.survey().n_samples]


class Drawn(Selection):
    """The samples of a stream that `seed` draws, each with the chance `fraction`; or those that it does not draw."""

    def __init__(self, stream: Stream, fraction: float, seed: int, *, drawn: bool) -> None:
        super().__init__(stream)
        self.fraction, self.seed, self.drawn = fraction, seed, drawn
        self.moments = stream.moments
        self.counts = [self._count(number, n) for number, n in enumerate(self.all_counts)]

    def part(self, number: int) -> Iterator[np.ndarray]:
        """Yield those of a part of the stream."""
        rng = np.random.default_rng((self.seed, number))
        for block in self.stream.part(number):
            chosen = block[self._chosen(rng, len(block))]
            if len(chosen):
                yield chosen

    def _chosen(self, rng: np.random.Generator, n: int) -> np.ndarray:
        chosen: np.ndarray = (rng.random(n) < self.fraction) == self.drawn
        return chosen

    def _count(self, number: int, n: int) -> int:
        rng = np.random.default_rng((self.seed, number))
        return sum(int(self._chosen(rng, min(2**20, n - start)).sum()) for start in range(0, n, 2**20))


class Chosen(Selection):
    """The samples of a stream at `indices`, which ascend."""

    def __init__(self, stream: Stream, indices: np.ndarray) -> None:
        super().__init__(stream)
        self.starts = np.cumsum([0, *self.all_counts])
        self.of_parts = np.split(indices, np.searchsorted(indices, self.starts[1:-1]))
        self.counts = [len(numbers) for numbers in self.of_parts]

    def part(self, number: int) -> Iterator[np.ndarray]:
        """Yield those of a part of the stream, which is read as far as they reach."""
        numbers, start = self.of_parts[number], self.starts[number]
        blocks = self.stream.part(number)
        while len(numbers):
            block = next(blocks)
            n = np.searchsorted(numbers, start + len(block))
            if n:
                yield block[numbers[:n] - start]
            numbers, start = numbers[n:], start + len(block)


class Mapped(Stream):
    """What a function makes of the blocks of a stream, anew at each pass."""

    def __init__(
        self, stream: Stream, function: Callable[[np.ndarray], np.ndarray], n_features: int, dtype: np.dtype[Any]
    ) -> None:
        self.stream, self.function = stream, function
        self.n_features, self.dtype, self.counts, self.window = n_features, dtype, stream.counts, stream.window

    def part(self, number: int) -> Iterator[np.ndarray]:
        """Yield what the function makes of a part of the stream."""
        for block in self.stream.part(number):
            yield self.function(block)


def divided(stream: Stream, fraction: float, seed: int) -> tuple[Stream, Stream]:
    """Return the samples of a stream to learn from, and those, about the share `fraction`, to validate on.

    Raises
    ------
    InvalidParameter
        If too few are left for either.
    """
    learnt, held_out = (Drawn(stream, fraction, seed, drawn=drawn) for drawn in (False, True))
    if held_out.shape[0] < 1 or learnt.shape[0] < 2:
        raise InvalidParameter(
            f"Training.validation_fraction={fraction:g} of {stream.shape[0]} samples leaves {held_out.shape[0]} to "
            f"validate on and {learnt.shape[0]} to learn from: at least 1 and 2 are needed."
        )
    return learnt, held_out


def subset(X: Matrix, indices: np.ndarray) -> Matrix:
    """Return the samples at `indices`, which ascend: of a stream, another one."""
    return Chosen(X, indices) if isinstance(X, Stream) else X[indices]


def check_cut_alike(X: Matrix, target: Matrix) -> None:
    """Refuse pairs of which one is a stream, and the other none, or one in other parts; survey the targets.

    Raises
    ------
    InvalidData
    """
    if not (isinstance(X, Stream) and isinstance(target, Stream)):
        raise InvalidData("X and X_clean must both be streams that do not fit into their windows, or neither.")
    target.survey()
    if target.shape[0] != X.shape[0]:
        raise InvalidData(f"X_clean must have a row for each of the {X.shape[0]} of X; got {target.shape[0]}.")
    if (target.counts, target.row_bytes, target.window) != (X.counts, X.row_bytes, X.window):
        raise InvalidData(
            "X_clean must be a stream that is cut as X is: of the same type of numbers and window, and of Parquet with "
            "row groups, of Zarr with chunks of the same size."
        )


def recut(blocks: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Yield the same rows in blocks of `size`, the last one smaller.

    Examples
    --------
    >>> [block.tolist() for block in recut([np.arange(3), np.arange(3, 5)], 2)]
    [[0, 1], [2, 3], [4]]
    """
    pieces: list[np.ndarray] = []
    for block in blocks:
        while len(block):
            missing = size - sum(map(len, pieces))
            pieces.append(block[:missing])
            block = block[missing:]
            if len(pieces[-1]) == missing:
                yield np.concatenate(pieces) if len(pieces) > 1 else pieces[0]
                pieces = []
    if pieces:
        yield np.concatenate(pieces)


def prefetched(items: Iterator[Item]) -> Iterator[Item]:
    """Yield the same items; while one is in use, a thread makes the next."""
    end = object()
    with ThreadPoolExecutor(1, thread_name_prefix="prefetch") as thread:
        ahead = thread.submit(next, items, end)
        while (item := ahead.result()) is not end:
            ahead = thread.submit(next, items, end)
            yield item  # type: ignore[misc]
