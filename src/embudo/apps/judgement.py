"""Samples judged by autoencoders and what their scores have learnt, a block at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from sklearn.base import clone

from embudo.apps.scores import Score
from embudo.data.arrays import Matrix
from embudo.data.batches import block_rows
from embudo.data.tables import TableEncoder
from embudo.models.base import BaseAutoencoder
from embudo.parts.training import Training

PARTS = 5  #: of the samples, of which a single autoencoder does not learn one, where its score needs some


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


def partitions(n_samples: int, n_estimators: int, seed: int, *, apart: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield for each autoencoder the samples that it learns, and those, in random order, that its score learns.

    Without `apart`, or with too few samples, both are all of them.
    """
    order = np.random.default_rng(seed).permutation(n_samples)
    n_parts = n_estimators if n_estimators > 1 else PARTS
    apart &= n_samples >= 2 * n_parts
    for i in range(n_estimators):
        yield (np.sort(np.delete(order, np.s_[i::n_parts])), order[i::n_parts]) if apart else (np.sort(order), order)


def variant(
    autoencoder: BaseAutoencoder, number: int, stage: str, seed: int, *, scaled_already: bool
) -> BaseAutoencoder:
    """Return a clone of an autoencoder with a seed and a run folder of its own.

    Parameters
    ----------
    autoencoder : BaseAutoencoder
    number : int
        From 0.
    stage : str
        Of the fit; begins the name of the folder.
    seed : int
        Where the autoencoder has none.
    scaled_already : bool
        Whether samples are standardised, and shall not be so again.
    """
    copy: BaseAutoencoder = clone(autoencoder)
    own, training = autoencoder.random_state, copy._part("training", Training)
    if training.run_dir is not None:
        folder = f"{stage}autoencoder {number + 1}".replace(" ", "-")
        training = dataclasses.replace(training, run_dir=Path(training.run_dir, folder))
    seed = seed if own is None else copy._draw_seed()
    copy.set_params(random_state=(seed + number) % 2**31, training=training)
    if scaled_already:
        params = copy.get_params().items()
        scales = [k for k, v in params if k.rpartition("__")[2] == "scale" and v in {"auto", "standard"}]
        copy.set_params(**dict.fromkeys(scales[:1]))
    return copy


def dense(rows: Matrix) -> np.ndarray:
    """Return samples as an array of float64."""
    array: np.ndarray = (rows.toarray() if scipy.sparse.issparse(rows) else rows).astype(np.float64, copy=False)
    return array


def scaled(autoencoder: BaseAutoencoder, rows: Matrix) -> np.ndarray:
    """Return samples, given as the autoencoder is, as its network is; float64."""
    return autoencoder.scaler_.apply(dense(rows))
