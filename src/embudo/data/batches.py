"""Batches: rows of one matrix, cut along a seeded permutation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from embudo.data.arrays import Matrix, as_dense
from embudo.data.scaling import Scaler
from embudo.data.streams import Stream, prefetched, recut
from embudo.errors import InvalidParameter

#: samples that are gathered at a time where batches are smaller: a small one costs more to call for than to copy
GATHERED = 256


def block_rows(n_features: int) -> int:
    """Return how many rows are scaled, encoded or decoded at a time: few enough to stay in cache."""
    return max(1, min(1000, 2**25 // max(1, n_features)))


class Rows(Protocol):
    """Scaled samples that can be taken by index and in order."""

    def __len__(self) -> int:
        """Return the number of samples."""
        ...

    def take(self, indices: Tensor) -> Tensor:
        """Return the samples at `indices`, shape (len(indices), n_features)."""
        ...

    def blocks(self) -> Iterator[Tensor]:
        """Yield all samples in order, a block at a time."""
        ...


class TensorRows:
    """Samples of one tensor, on its device."""

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, indices: Tensor) -> Tensor:
        """Return the samples at `indices`."""
        return self.rows.index_select(0, indices.to(self.rows.device))

    def blocks(self) -> Iterator[Tensor]:
        """Yield all samples in order."""
        yield from self.rows.split(block_rows(self.rows.shape[1]))


class SparseRows:
    """Samples of a CSR matrix, made dense and scaled a batch at a time."""

    def __init__(self, rows: Matrix, scaler: Scaler, dtype: torch.dtype) -> None:
        self.rows, self.scaler, self.dtype = rows, scaler, dtype

    def __len__(self) -> int:
        return int(self.rows.shape[0])

    def take(self, indices: Tensor) -> Tensor:
        """Return the samples at `indices`, dense."""
        return dense_block(self.rows[indices.numpy()], self.scaler, self.dtype)

    def blocks(self) -> Iterator[Tensor]:
        """Yield all samples in order, dense."""
        size = block_rows(self.rows.shape[1])
        for start in range(0, len(self), size):
            yield dense_block(self.rows[start : start + size], self.scaler, self.dtype)


class StreamRows:
    """Scaled samples of a stream, a window of them at a time."""

    def __init__(self, stream: Stream, scaler: Scaler, dtype: torch.dtype, device: torch.device) -> None:
        self.stream, self.scaler, self.dtype, self.device = stream, scaler, dtype, device

    def __len__(self) -> int:
        return self.stream.shape[0]

    def take(self, indices: Tensor) -> Tensor:
        """Return the samples at `indices`, from one pass over the parts that hold them."""
        return dense_block(self.stream[indices.numpy()], self.scaler, self.dtype)

    def blocks(self) -> Iterator[Tensor]:
        """Yield all samples in order."""
        for block in prefetched(recut(self.stream.blocks(), block_rows(self.stream.n_features))):
            yield dense_block(block, self.scaler, self.dtype)

    def windows(self, order: Sequence[int], multiple: int, n_processes: int = 1) -> Iterator[Tensor]:
        """Yield the samples of the parts in the given order, in windows of about equal size.

        Parameters
        ----------
        order : sequence of int
            Numbers of the parts.
        multiple : int
            Of which the size of each window is one, but for the last.
        n_processes : int, default=1
            How many read at a time, each a share of a window.
        """
        counts = self.stream.counts or [len(self)]
        n, width = sum(counts[number] for number in order), self.stream.n_features
        most = max(1, self.stream.window // (width * self.dtype.itemsize) // n_processes)
        size = -(-n // -(-n // most))  # of so many windows as are needed
        size = -(-size // multiple) * multiple
        left, filled = n, 0
        window = torch.empty((min(size, left), width), dtype=self.dtype)
        for number in order:
            for block in self.stream.part(number):
                while len(block):
                    rows, block = np.split(block, [len(window) - filled])
                    window[filled : filled + len(rows)] = dense_block(rows, self.scaler, self.dtype)
                    filled += len(rows)
                    if filled == len(window):
                        yield window
                        left, filled = left - filled, 0
                        window = torch.empty((min(size, left), width), dtype=self.dtype)


class PlacedRows:
    """Samples, and to the right of the features of each a place, of shape (n_samples, n_components)."""

    def __init__(self, rows: Rows, places: Tensor) -> None:
        self.rows, self.places = rows, TensorRows(places)

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, indices: Tensor) -> Tensor:
        """Return the samples at `indices` with their places."""
        return torch.cat([self.rows.take(indices), self.places.take(indices)], 1)

    def blocks(self) -> Iterator[Tensor]:
        """Yield all samples in order, with their places."""
        size = block_rows(self.places.rows.shape[1])
        for start in range(0, len(self), size):
            yield self.take(torch.arange(start, min(start + size, len(self))))


def slices(
    X: Matrix, size: int, subject: str = "X holds", *, allow_nan: bool = False
) -> Iterator[tuple[slice, Matrix]]:
    """Yield slices of the samples, of an array, CSR matrix, frame or stream, and the samples in each, `size` at a time.

    Those of a stream are checked to be finite, or with `allow_nan` NaN; `subject` is how the error sentence begins.
    """
    if isinstance(X, Stream):
        yield from X.slices(size, subject, allow_nan=allow_nan)
        return
    rows: Any = getattr(X, "iloc", X)
    for start in range(0, X.shape[0], size):
        where = slice(start, min(start + size, X.shape[0]))
        yield where, rows[where]


def dense_block(rows: Matrix, scaler: Scaler, dtype: torch.dtype) -> Tensor:
    """Return a few rows, scaled, as a tensor on the CPU; it may share their memory."""
    scaled = scaler.apply(as_dense(rows))
    with np.errstate(over="ignore"):
        return torch.from_numpy(np.require(scaled, _numpy_type(dtype), ["C", "W"]))


def make_rows(X: Matrix, scaler: Scaler, dtype: torch.dtype, device: torch.device) -> Rows:
    """Return the scaled samples of X: one tensor, on `device` if it has room; of what is sparse, or a stream, batches.

    An array that needs neither scaling nor conversion is shared, not copied. A stream that fits into its window is
    read into one tensor.
    """
    if scipy.sparse.issparse(X):
        return SparseRows(X, scaler, dtype)
    if isinstance(X, Stream):
        streamed = StreamRows(X, scaler, dtype, device)
        return on_device(torch.cat(list(streamed.blocks())), device) if X.fits else streamed
    with np.errstate(over="ignore"):
        if scaler.kind is None:
            rows = np.require(X, _numpy_type(dtype), ["C", "W"])
        else:
            rows = np.empty(X.shape, _numpy_type(dtype))
            size = block_rows(X.shape[1])
            for start in range(0, len(X), size):
                rows[start : start + size] = scaler.apply(X[start : start + size])
    return on_device(torch.from_numpy(rows), device)


def on_device(rows: Tensor, device: torch.device) -> TensorRows:
    """Return samples on `device`; on the CPU where they would fill more than half of what memory a GPU has left."""
    full = device.type == "cuda" and rows.nbytes > torch.cuda.mem_get_info(device)[0] / 2
    return TensorRows(rows if full else rows.to(device))


def _numpy_type(dtype: torch.dtype) -> type[np.floating[Any]]:
    return np.float64 if dtype == torch.float64 else np.float32


class Share(Protocol):
    """Which rows of each batch a process is given, where several learn from it."""

    rank: int
    size: int

    def share(self, n: int) -> slice:
        """Return the share of this process in a batch of `n` samples, which comes next."""
        ...

    def take(self, mine: slice, n: int) -> None:
        """Say that what comes next is that share of a batch of `n` samples."""
        ...


class Batches:
    """Batches of rows in an order that seed and epoch decide.

    Parameters
    ----------
    rows : Rows
    batch_size : int
        Samples in a batch; the last one of an epoch may be smaller.
    seed : int
        Decides the order.
    targets : Rows, optional
        What shall come out for each sample; the sample itself by default.
    """

    def __init__(self, rows: Rows, batch_size: int, seed: int, targets: Rows | None = None) -> None:
        self.rows, self.batch_size, self.seed, self.targets = rows, batch_size, seed, targets

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    @property
    def n_samples(self) -> int:
        """Samples in an epoch."""
        return len(self.rows)

    def epoch(self, number: int, share: Share | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of epoch `number`, or a share of each, and their targets.

        Their order seed and number alone decide.
        """
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        order = torch.randperm(len(self.rows), generator=generator)
        yield from self._cut(self.rows, self.targets, order, share)

    def _cut(
        self, rows: Rows, targets: Rows | None, order: Tensor, share: Share | None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of `rows` in the given order, or a share of each; several are gathered at a time."""
        n_batches = max(1, GATHERED // self.batch_size) if share is None else 1
        for indices in order.split(n_batches * self.batch_size):
            if share is not None:
                indices = indices[share.share(len(indices))]
            parts = rows.take(indices).split(self.batch_size)
            wanted = parts if targets is None else targets.take(indices).split(self.batch_size)
            yield from zip(parts, wanted, strict=True)


class StreamBatches(Batches):
    """Batches of a stream: its parts in random order, their samples shuffled within a window.

    Targets are in memory, or of a stream whose parts hold as many samples each.
    """

    rows: StreamRows

    def epoch(self, number: int, share: Share | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of epoch `number`, or a share of each, and their targets.

        Their order seed and number decide; and, where each process reads parts of its own, how many there are.
        """
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        order = torch.randperm(len(self.rows.stream.counts or ()), generator=generator).tolist()
        sizes = None if share is None else self._own_parts(order, share.size)
        if share is not None and sizes is not None:
            yield from self._read_apart(order, sizes, generator, share)
            return
        for window in self._windows(order, self.batch_size):
            rows, *targets = (TensorRows(part.to(self.rows.device)) for part in window)
            mixed = torch.randperm(len(rows), generator=generator)
            yield from self._cut(rows, targets[0] if targets else None, mixed, share)

    def _windows(self, order: list[int], multiple: int, n_processes: int = 1) -> Iterator[list[Tensor]]:
        """Yield windows of the samples, each with that of the targets where they are others."""
        windows = prefetched(self.rows.windows(order, multiple, n_processes))
        if self.targets is None:
            yield from ([window] for window in windows)
        elif isinstance(self.targets, StreamRows):
            targets = prefetched(self.targets.windows(order, multiple, n_processes))
            yield from map(list, zip(windows, targets, strict=True))
        else:
            parts = torch.arange(len(self.rows)).split(self.rows.stream.counts or [len(self.rows)])
            numbers, start = torch.cat([parts[number] for number in order]), 0
            for window in windows:
                yield [window, self.targets.take(numbers[start : start + len(window)])]
                start += len(window)

    def _own_parts(self, order: list[int], n_processes: int) -> np.ndarray | None:
        """Return how many samples each process gives to each batch, shape (n_processes, n_batches).

        None where there are too few parts for each process to read some that no other one does.
        """
        counts = np.array(self.rows.stream.counts or ())[order]
        n_own = np.array([counts[rank::n_processes].sum() for rank in range(n_processes)])
        if n_own.min() < len(self):
            return None
        ends = n_own[:, np.newaxis] * np.arange(len(self) + 1) // len(self)
        return np.diff(ends)

    def _read_apart(
        self, order: list[int], sizes: np.ndarray, generator: torch.Generator, share: Share
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the share in each batch of a process that reads its own parts, about as many samples in each."""
        windows = self._windows(order[share.rank :: share.size], 1, share.size)
        left: list[Tensor] = []
        for column in sizes.T:
            n, start = int(column[share.rank]), int(column[: share.rank].sum())
            while not left or len(left[0]) < n:
                window = next(windows)
                mixed = torch.randperm(len(window[0]), generator=generator)
                window = [part[mixed].to(self.rows.device) for part in window]
                left = [torch.cat(both) for both in zip(left, window, strict=True)] if left else window
            batch, left = [part[:n] for part in left], [part[n:] for part in left]
            share.take(slice(start, start + n), int(column.sum()))
            yield batch[0], batch[-1]


def make_batches(rows: Rows, targets: Rows, batch_size: int, seed: int) -> Batches:
    """Return the batches of samples and their targets, which may be the same."""
    kind = StreamBatches if isinstance(rows, StreamRows) else Batches
    return kind(rows, batch_size, seed, None if targets is rows else targets)


def with_targets(rows: Rows, targets: Rows) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield all samples in order, a block at a time, with their targets, which may be the same."""
    if targets is rows:
        yield from ((x, x) for x in rows.blocks())
    elif isinstance(rows, StreamRows) and isinstance(targets, StreamRows):
        yield from zip(rows.blocks(), targets.blocks(), strict=True)
    else:
        start = 0
        for x in rows.blocks():
            yield x, targets.take(torch.arange(start, start + len(x)))
            start += len(x)


def split(n_samples: int, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of samples to learn from, and of the share `fraction` to validate on, drawn by `seed`.

    Raises
    ------
    InvalidParameter
        If too few are left for either.
    """
    n_held_out = round(n_samples * fraction)
    if not 0 < n_held_out < n_samples - 1:
        raise InvalidParameter(
            f"Training.validation_fraction={fraction:g} of {n_samples} samples leaves {n_held_out} to validate on "
            f"and {n_samples - n_held_out} to learn from: at least 1 and 2 are needed."
        )
    order = np.random.default_rng(seed).permutation(n_samples)
    return np.sort(order[n_held_out:]), np.sort(order[:n_held_out])
