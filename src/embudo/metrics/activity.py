"""Measures of codes: how many units speak, how often, and how strongly."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse


class Activity:
    """What the units of a code do over many samples, which are given a block at a time, dense or sparse.

    Examples
    --------
    >>> activity = Activity()
    >>> activity.update(np.array([[0.0, 0.5, 0.0], [0.0, 0.5, 1.0]]))
    >>> activity.l0, activity.dead_units, activity.density.tolist()
    (1.5, 1, [0.0, 1.0, 0.5])
    """

    def __init__(self) -> None:
        self.n_samples, self._extreme = 0, 0
        self._spoken: Any = 0
        self._total: Any = 0.0

    def update(self, codes: Any) -> None:
        """Count a block of codes, dense or sparse, of shape (n, n_components)."""
        n_samples, n_components = codes.shape
        values = codes
        if scipy.sparse.issparse(codes):
            codes = codes.tocsr()
            values = codes.data
            spoken = np.bincount(codes.indices[values != 0], minlength=n_components)
            total = np.bincount(codes.indices, values, minlength=n_components)
        else:
            spoken, total = np.count_nonzero(codes, axis=0), codes.sum(axis=0, dtype=np.float64)
        self.n_samples += n_samples
        self._spoken, self._total = self._spoken + spoken, self._total + total
        silent = n_samples * n_components - values.size
        self._extreme += int(silent + np.count_nonzero(values < 0.05) + np.count_nonzero(values > 0.95))

    @property
    def density(self) -> np.ndarray:
        """Share of the samples on which each unit speaks: ``mean_n [h_nj != 0]``, shape (n_components,)."""
        density: np.ndarray = self._spoken / self.n_samples
        return density

    @property
    def l0(self) -> float:
        """Mean number of units that speak: ``mean_n sum_j [h_nj != 0]``."""
        return float(self._spoken.sum() / self.n_samples)

    @property
    def dead_units(self) -> int:
        """Number of units that speak on no sample."""
        return int((self.density == 0).sum())

    @property
    def dead_share(self) -> float:
        """Share of the units that speak on no sample."""
        return self.dead_units / self.density.size

    @property
    def mean_activation(self) -> np.ndarray:
        """``mean_n h_nj`` of each unit, shape (n_components,)."""
        mean: np.ndarray = self._total / self.n_samples
        return mean

    @property
    def saturation(self) -> float:
        """Share of activations under 0.05 or over 0.95, for codes in (0, 1) (Rifai et al. 2011)."""
        return self._extreme / (self.n_samples * self.density.size)
