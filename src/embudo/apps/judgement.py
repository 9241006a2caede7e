"""Samples judged by autoencoders and what their scores have learnt, a block at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import scipy.sparse

from embudo.apps.scores import Score
from embudo.data.arrays import Matrix
from embudo.data.batches import block_rows
from embudo.data.tables import TableEncoder
from embudo.models.base import BaseAutoencoder


@dataclasses.dataclass(frozen=True)
class Judged:
    """What was measured of a block of samples.

    Attributes
    ----------
    where : slice
        Which samples.
    errors : ndarray of shape (n,)
        The sum of the parts, scaled up by what is missing.
    parts : ndarray of shape (n, n_encoded)
        What each value adds to the error; 0 where it is missing.
    expected : ndarray of shape (n, n_encoded)
        What was reconstructed.
    """

    where: slice
    errors: np.ndarray
    parts: np.ndarray
    expected: np.ndarray


@dataclasses.dataclass(frozen=True)
class Judges:
    """Autoencoders, with a score each, whose judgements are averaged.

    Attributes
    ----------
    autoencoders : sequence of BaseAutoencoder
    scores : sequence of Score
    table : TableEncoder or None
        How samples become what the autoencoders are given.
    """

    autoencoders: Sequence[BaseAutoencoder]
    scores: Sequence[Score]
    table: TableEncoder | None

    def errors(self, rows: Matrix) -> np.ndarray:
        """Return the error of each encoded sample."""
        errors = np.empty(rows.shape[0])
        for judged in self.judge(rows, encoded=True):
            errors[judged.where] = judged.errors
        return errors

    def judge(self, rows: Any, *, encoded: bool) -> Iterator[Judged]:
        """Judge samples, a block at a time.

        Parameters
        ----------
        rows : matrix, or pandas frame that is not encoded
        encoded : bool
            Whether the samples are already what the autoencoders are given.
        """
        size, weights = block_rows(self.autoencoders[0].n_features_in_), self.weights
        for start in range(0, rows.shape[0], size):
            where = slice(start, min(start + size, rows.shape[0]))
            block = rows.iloc[where] if hasattr(rows, "iloc") else rows[where]
            values = dense(block if encoded or self.table is None else self.table.encode(block))
            parts, expected = np.zeros_like(values), np.zeros_like(values)
            for autoencoder, score in zip(self.autoencoders, self.scores, strict=True):
                added, z = score.parts(autoencoder, scaled(autoencoder, values))
                parts += added * weights / len(self.scores)
                expected += autoencoder.scaler_.invert(z) / len(self.scores)
            known = np.where(np.isnan(values), 0, weights).sum(axis=1)
            share = np.where(known > 0, known, 1) / weights.sum()
            yield Judged(where, parts.sum(axis=1) / share, parts, expected)

    @property
    def weights(self) -> np.ndarray:
        """What each encoded value counts."""
        if self.table is None:
            return np.ones(self.autoencoders[0].n_features_in_)
        weights = self.table.weights
        return weights if self.scores[0].equalises else np.sign(weights)


def dense(rows: Matrix) -> np.ndarray:
    """Return samples as an array of float64."""
    array: np.ndarray = (rows.toarray() if scipy.sparse.issparse(rows) else rows).astype(np.float64, copy=False)
    return array


def scaled(autoencoder: BaseAutoencoder, rows: Matrix) -> np.ndarray:
    """Return samples, given as the autoencoder is, as its network is; float64."""
    return autoencoder.scaler_.apply(dense(rows))
