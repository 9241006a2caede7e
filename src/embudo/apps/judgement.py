"""Samples judged by autoencoders and what their scores have learnt, a block at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from torch import nn

from embudo.apps.scores import Score
from embudo.data.arrays import Matrix, as_dense
from embudo.data.batches import block_rows, slices
from embudo.data.scaling import Scaler
from embudo.data.tables import TableEncoder
from embudo.models.base import BaseAutoencoder
from embudo.models.export import standalone
from embudo.parts.training import Training

FEW = 16  #: samples that a subsampled autoencoder learns from
FEW_STEPS = 200  #: that it learns in
SCALED = ("auto", "standard")  #: scalings that do not change what is standardised already
FARTHEST = 1e70  #: magnitude of scaled values beyond which errors are no longer told apart: covariances are squared
PARTS = 5  #: of the samples, of which a single autoencoder does not learn one, where its score needs some


@dataclasses.dataclass(frozen=True)
class Judged:
    """What was measured of a block of samples.

    Attributes
    ----------
    where : slice
        Which samples.
    rows : matrix, or pandas frame
        The samples, as they were given.
    errors : ndarray of shape (n,)
        The sum of the parts, scaled up by what is missing.
    parts : ndarray of shape (n, n_encoded)
        What each value adds to the error; 0 where it is missing.
    expected : ndarray of shape (n, n_encoded)
        What was reconstructed.
    """

    where: slice
    rows: Any
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
    n_subsampled : int
        How many of them, the last ones, have learnt from few samples. Together they count as much as the others.
    table : TableEncoder or None
        How samples become what the autoencoders are given.
    """

    autoencoders: Sequence[BaseAutoencoder]
    scores: Sequence[Score]
    n_subsampled: int
    table: TableEncoder | None

    def errors(self, rows: Any, *, encoded: bool = True) -> np.ndarray:
        """Return the error of each sample; parameters as those of `judge`."""
        return np.concatenate([judged.errors for judged in self.judge(rows, encoded=encoded)])

    def judge(self, rows: Any, *, encoded: bool) -> Iterator[Judged]:
        """Judge samples, a block at a time.

        Parameters
        ----------
        rows : matrix or stream, or pandas frame that is not encoded
        encoded : bool
            Whether the samples are already what the autoencoders are given.
        """
        size, weights = block_rows(self.autoencoders[0].n_features_in_), self.weights
        for where, block in slices(rows, size, allow_nan=encoded or self.takes_gaps):
            values = in_float64(block if encoded or self.table is None else self.table.encode(block))
            parts, expected = np.zeros_like(values), np.zeros_like(values)
            for autoencoder, score, share in zip(self.autoencoders, self.scores, self.shares, strict=True):
                added, z = score.parts(autoencoder, scaled(autoencoder, values))
                parts += share * weights * added
                expected += share * autoencoder.scaler_.invert(z)
            known = np.where(np.isnan(values), 0, weights).sum(axis=1)
            share = np.where(known > 0, known, 1) / weights.sum()
            yield Judged(where, block, parts.sum(axis=1) / share, parts, expected)

    @property
    def takes_gaps(self) -> bool:
        """Whether values may be missing: the network is given 0 for them, which is their mean where it is scaled so."""
        standardised = all(autoencoder.scaler_.kind == "standard" for autoencoder in self.autoencoders)
        return self.autoencoders[0].sample_shape_ is None and (self.table is not None or standardised)

    def modules(self, shape: Sequence[int]) -> list[nn.Module]:
        """Return torch modules from samples of a shape, NaN where there is no value, to what each judge says."""
        modules: list[nn.Module] = []
        for autoencoder, score in zip(self.autoencoders, self.scores, strict=True):
            network, scaling = standalone(autoencoder.module_, autoencoder.scaler_, shape)
            dtype = next(network.parameters()).dtype
            arrays = {name: torch.from_numpy(array).to(dtype) for name, array in score.arrays().items()}
            modules.append(nn.Sequential(scaling, score.module(network, **arrays)))
        return modules

    @property
    def shares(self) -> list[float]:
        """What each judge counts."""
        few, many = self.n_subsampled, len(self.scores) - self.n_subsampled
        return [1 / many] * many if not few else [0.5 / many] * many + [0.5 / few] * few

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


def subsample(n_samples: int, number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a few samples for an autoencoder to learn, and all in random order for its score."""
    order = np.random.default_rng([seed, number]).permutation(n_samples)
    few = min(FEW, max(n_samples // 2, min(n_samples, 16)))
    return np.sort(order[:few]), order[::-1]  # those that it has not learnt come first


def variant(
    autoencoder: BaseAutoencoder, name: str, seed: int, *, scaled_already: bool, of_few: bool = False
) -> BaseAutoencoder:
    """Return a clone of an autoencoder with a seed and a run folder of its own.

    Parameters
    ----------
    autoencoder : BaseAutoencoder
    name : str
        Of its folder.
    seed : int
    scaled_already : bool
        Whether samples are standardised, and shall not be so again.
    of_few : bool, default=False
        Whether it learns from a subsample, in few steps.
    """
    copy: BaseAutoencoder = clone(autoencoder).set_params(random_state=seed)
    copy.training = training = copy._part("training", Training)
    if of_few:
        quick = {"epochs": FEW_STEPS, "steps": None, "batch_size": FEW, "validation_fraction": 0.0, "patience": None}
        trainings = [(k, v) for k, v in copy.get_params().items() if isinstance(v, Training)]
        copy.set_params(**{key: value.with_params(**quick) for key, value in trainings})
    copy.set_params(training=dataclasses.replace(copy.training, **training.folders(name.replace(" ", "-"))))
    if scaled_already:
        scales = [
            k for k, v in copy.get_params().items() if k.rpartition("__")[2] == "scale" and (of_few or v in SCALED)
        ]
        copy.set_params(**dict.fromkeys(scales[:1]))
    return copy


def fit_scaled(autoencoder: BaseAutoencoder, scaler: Scaler, rows: Matrix, shaped: Callable[[Matrix], Any]) -> None:
    """Fit an autoencoder without scaling of its own to few samples, scaled as all samples are."""
    autoencoder.fit(shaped(scaler.apply(in_float64(rows))))
    for part in (autoencoder, *(level for _, level in getattr(autoencoder, "layers_", [])[:1])):
        part.scaler_ = deepcopy(scaler)  # a file holds nothing twice


def in_float64(rows: Matrix) -> np.ndarray:
    """Return samples as an array of float64."""
    return as_dense(rows).astype(np.float64, copy=False)


def scaled(autoencoder: BaseAutoencoder, rows: Matrix) -> np.ndarray:
    """Return samples, given as the autoencoder is, as its network is; float64, up to `FARTHEST`."""
    return autoencoder.scaler_.apply(in_float64(rows)).clip(-FARTHEST, FARTHEST)
