"""Counting: from values and what was expected of them, to tables."""

from __future__ import annotations

import numpy as np

from embudo.codec.entropy import (
    BELOW,
    N_SYMBOLS,
    N_TABLES,
    PER_OCTAVE,
    REACH,
    TOTAL,
    Tables,
    split_index,
    symbols_of,
)

PRIOR_COUNT = 64  #: values' worth of belief that a table is that of a Laplace distribution


class Census:
    """Counts how often each value occurs under each table, and sums what was rounded to it."""

    def __init__(self) -> None:
        self.counts = np.zeros((N_TABLES, N_SYMBOLS))
        self.rounded = np.zeros((2, N_TABLES, 4))  # how many, and the sum of how far the integer lies above

    def add(self, values: np.ndarray, scaled: np.ndarray, index: np.ndarray) -> None:
        """Add integers, what was rounded to them, and the indices of their tables."""
        codes, index = values.astype(np.int32), np.broadcast_to(index, values.shape)
        table, shift = split_index(index)
        symbols = symbols_of(codes, shift)
        self.counts += np.bincount((table * N_SYMBOLS + symbols).ravel(), minlength=self.counts.size).reshape(
            self.counts.shape
        )
        plain = (codes != 0) & (shift == 0)
        size = np.abs(codes[plain])
        cell = table[plain] * 4 + np.minimum(size, 3)
        for sums, weights in zip(self.rounded, (None, size - scaled[plain] * np.sign(codes[plain])), strict=True):
            sums += np.bincount(cell, weights, minlength=sums.size).reshape(sums.shape)

    def tables(self) -> Tables:
        """Return the tables of what was counted, symmetric, each drawn a little towards a Laplace distribution."""
        values = self.counts[:, :-1]
        counts = np.column_stack([(values + values[:, ::-1]) / 2, self.counts[:, -1]])
        prior = laplace_tables().frequencies / TOTAL
        return Tables(_integers(counts + PRIOR_COUNT * prior))

    def shrinkage(self) -> np.ndarray:
        """Return how far the mean of what was rounded to 1, 2, and 3 or more lies below it, shape (N_TABLES, 4)."""
        n, total = self.rounded
        mean: np.ndarray = (total / (n + PRIOR_COUNT)).astype(np.float32)
        return mean


def laplace_tables() -> Tables:
    """Return the tables of rounded Laplace distributions.

    With b = std / sqrt(2), ``P(0) = 1 - exp(-1 / 2b)`` and ``P(q) = exp(-|q| / b) sinh(1 / 2b)``.
    """
    b = 2 ** ((np.arange(N_TABLES)[:, None] + 0.5) / PER_OCTAVE - BELOW) / np.sqrt(2)
    size = np.abs(np.arange(-REACH, REACH + 1))
    inner = np.exp(-np.maximum(size - 0.5, 0) / b)
    p = np.where(size == 0, 1 - np.exp(-0.5 / b), (inner - np.exp(-(size + 0.5) / b)) / 2)
    return Tables(_integers(np.column_stack([p, np.exp(-(REACH + 0.5) / b)])))


def _integers(weights: np.ndarray) -> np.ndarray:
    """Return positive integers that are nearly proportional to `weights` and sum to `TOTAL` in each row."""
    share = weights / weights.sum(axis=1, keepdims=True)
    frequencies: np.ndarray = 1 + np.floor(share * (TOTAL - weights.shape[1])).astype(np.int64)
    rows = np.arange(len(weights))
    frequencies[rows, frequencies.argmax(axis=1)] += TOTAL - frequencies.sum(axis=1)
    return frequencies
