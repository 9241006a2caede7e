"""Batches: rows of one matrix, cut along a seeded permutation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from embudo.data.arrays import Matrix
from embudo.data.scaling import Scaler
from embudo.errors import InvalidParameter


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


def dense_block(rows: Matrix, scaler: Scaler, dtype: torch.dtype) -> Tensor:
    """Return a few rows, scaled, as a tensor on the CPU; it may share their memory."""
    scaled = scaler.apply(rows.toarray() if scipy.sparse.issparse(rows) else rows)
    with np.errstate(over="ignore"):
        return torch.from_numpy(np.require(scaled, _numpy_type(dtype), ["C", "W"]))


def make_rows(X: Matrix, scaler: Scaler, dtype: torch.dtype, device: torch.device) -> Rows:
    """Return the scaled samples of X: one tensor on `device`, or dense batches of a sparse matrix.

    An array that needs neither scaling nor conversion is shared, not copied.
    """
    if scipy.sparse.issparse(X):
        return SparseRows(X, scaler, dtype)
    with np.errstate(over="ignore"):
        if scaler.kind is None:
            rows = np.require(X, _numpy_type(dtype), ["C", "W"])
        else:
            rows = np.empty(X.shape, _numpy_type(dtype))
            size = block_rows(X.shape[1])
            for start in range(0, len(X), size):
                rows[start : start + size] = scaler.apply(X[start : start + size])
    return TensorRows(torch.from_numpy(rows).to(device))


def _numpy_type(dtype: torch.dtype) -> type[np.floating[Any]]:
    return np.float64 if dtype == torch.float64 else np.float32


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

    def epoch(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of epoch `number` and their targets, in an order that seed and number alone decide."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        order = torch.randperm(len(self.rows), generator=generator)
        for indices in order.split(self.batch_size):
            x = self.rows.take(indices)
            yield x, x if self.targets is None else self.targets.take(indices)


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
