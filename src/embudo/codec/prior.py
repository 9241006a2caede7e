"""The prior: what is expected of each code, given those before it, in integer arithmetic alone.

Codes come in parts. The encoder quantises a part, the decoder decodes it, before the next one is asked for; so what is
expected of a part may follow from all parts before it, and both sides expect the same.

First come the `N_LOW` channels of greatest variance, lattice by lattice, mean and scale predicted from neighbours. Then
come bands of channels, each twice as wide as the one before; their scale follows from how large the codes of the
channels before are at the same place and around it: by weights found in closed form here, or by networks (`context`).
"""

from __future__ import annotations

import abc
import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from typing import NamedTuple, Self

import numpy as np

from embudo.codec.entropy import BELOW, MAX_INDEX, PER_OCTAVE
from embudo.codec.lattices import N_LATTICES, Lattice, lattices
from embudo.codec.quantize import LEVELS_PER_OCTAVE, MAX_LEVEL

N_LOW = 8
CAP = 15  #: magnitudes count as no larger than this
FRACTION = 10  #: bits after the point of weights
#: bounds between the classes of activity, in 8ths
BOUNDS = np.array([1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024])
N_CLASSES = len(BOUNDS) + 1
MAX_MEAN = 2**14
PER_INDEX = LEVELS_PER_OCTAVE // PER_OCTAVE  #: levels

Where = tuple[slice, slice, slice, slice]
ALL = slice(None)


class Part(NamedTuple):
    """Codes that are coded together.

    Attributes
    ----------
    where : tuple of slices
        Their places in the codes, an array of shape (n, n_channels, height, width).
    mean : int or ndarray of integers of their shape
        What they are expected to be.
    table : ndarray of integers that broadcasts to their shape
        The index of the table that says how far from it they will be.
    kind : int
        0 for the coarsest lattice, 1 for the others, then the bands.
    base : ndarray of shape (n_channels here,)
        What the scales of the channels alone say, in the units of a level; 0 is the first table.
    context : ndarray of shape (n, n_values, rows, columns), integer
        What else the table follows from.
    """

    where: Where
    mean: np.ndarray | int
    table: np.ndarray
    kind: int
    base: np.ndarray
    context: np.ndarray


@dataclasses.dataclass(frozen=True)
class Prior(abc.ABC):
    """What the codes of a network are like.

    Parameters
    ----------
    scales : ndarray of shape (n_channels,), int16
        Logarithms of the standard deviations of the channels, in the units of a level.
    low_scales : ndarray of shape (N_LATTICES, n_low), int16
        The same of what the predictors leave of the low channels.
    predictors : ndarray of shape (N_LATTICES, n_low, 4 * n_low), int16
        Weights of the low channels of four neighbours, in units of ``2 ** -FRACTION``.
    """

    scales: np.ndarray
    low_scales: np.ndarray
    predictors: np.ndarray

    @property
    def coarsest(self) -> int:
        """The coarsest level of use: the step is nearly a third of the greatest standard deviation."""
        return max(LEVELS_PER_OCTAVE, int(self.scales.max()) - 7 * LEVELS_PER_OCTAVE // 4)

    def check(self, n_channels: int) -> None:
        """Refuse tensors that are not those of so many channels.

        Raises
        ------
        ValueError
        """
        tensors = self.tensors()
        for name, (shape, dtype) in self.shapes(n_channels).items():
            if tensors[name].shape != shape or tensors[name].dtype != dtype:
                raise ValueError(f"its prior's {name} should be {shape} {np.dtype(dtype)}")
        if self.coarsest > MAX_LEVEL:
            raise ValueError("its codes are larger than those of any image")

    def shapes(self, n_channels: int) -> dict[str, tuple[tuple[int, ...], type]]:
        """Return shape and type of the tensors, by name."""
        n_low = min(N_LOW, n_channels)
        return {
            "scales": ((n_channels,), np.int16),
            "low_scales": ((N_LATTICES, n_low), np.int16),
            "predictors": ((N_LATTICES, n_low, 4 * n_low), np.int16),
        }

    def tensors(self) -> dict[str, np.ndarray]:
        """Return all that the prior knows, by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray]) -> Self:
        """Return the prior of what `tensors` returned."""
        return cls(**{field.name: tensors[field.name] for field in dataclasses.fields(cls)})

    def parts(self, codes: np.ndarray, level: int) -> Iterator[Part]:
        """Yield the parts of codes in the order of coding.

        Parameters
        ----------
        codes : ndarray of shape (n, n_active, height, width), integer
            Filled in by the caller, a part at a time; the first channels, where the others are all zero.
        level : int
            That of the quantiser.
        """
        low = codes[:, : self.predictors.shape[1]]
        n_low = low.shape[1]
        for lattice in lattices(*low.shape[2:]):
            where = (ALL, slice(n_low), lattice.rows, lattice.columns)
            base = base_of(self.low_scales[lattice.number, :n_low], level)
            if not lattice.neighbours:
                context = np.zeros((1, 1, 1, 1), np.int64)
                yield Part(where, 0, self._coarsest_table(base), 0, base, context)
                continue
            near = near_values(low, lattice.neighbours).astype(np.int64)
            weights = self.predictors[lattice.number].reshape(-1, 4, self.predictors.shape[1])[:n_low, :, :n_low]
            total = np.einsum("ikj,nkjyx->niyx", weights.astype(np.int64), near)
            mean = np.clip((total + (1 << FRACTION - 1)) >> FRACTION, -MAX_MEAN, MAX_MEAN)
            spread = np.abs(near - mean[:, None]).sum(axis=1)
            table, context = self._low_table(base, spread, lattice, level)
            yield Part(where, mean, table, 1, base, context)
        yield from self._band_parts(codes, level)

    @abc.abstractmethod
    def _coarsest_table(self, base: np.ndarray) -> np.ndarray:
        """Return the tables of the coarsest lattice."""

    @abc.abstractmethod
    def _low_table(
        self, base: np.ndarray, spread: np.ndarray, lattice: Lattice, level: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the tables of low channels, given how far neighbours are from what they predict, and the context."""

    @abc.abstractmethod
    def _band_parts(self, codes: np.ndarray, level: int) -> Iterator[Part]:
        """Yield the parts that follow the low channels."""


@dataclasses.dataclass(frozen=True)
class ActivityPrior(Prior):
    """A prior in closed form: tables by the class of activity, a weighted sum of magnitudes.

    Parameters
    ----------
    weights : ndarray of shape (n_bands, 2, n_low + n_bands - 1), int16
        What the magnitudes of the low channels and of the bands before say of a band's: those at the same place, and
        the sum of those at four neighbours; in units of ``2 ** -FRACTION``.
    indices : ndarray of shape (2 + n_bands, MAX_INDEX + 1, N_CLASSES), uint8
        Tables by kind, base and class of activity.
    """

    weights: np.ndarray
    indices: np.ndarray

    def shapes(self, n_channels: int) -> dict[str, tuple[tuple[int, ...], type]]:
        """Return shape and type of the tensors, by name."""
        n_low, n_bands = min(N_LOW, n_channels), len(bands(n_channels))
        return super().shapes(n_channels) | {
            "weights": ((n_bands, 2, n_low + max(n_bands - 1, 0)), np.int16),
            "indices": ((2 + n_bands, MAX_INDEX + 1, N_CLASSES), np.uint8),
        }

    def check(self, n_channels: int) -> None:
        """Refuse tensors that are not those of so many channels, and tables that there are not."""
        super().check(n_channels)
        if self.indices.max() > MAX_INDEX:
            raise ValueError("its prior names tables that there are not")

    def _coarsest_table(self, base: np.ndarray) -> np.ndarray:
        return self._table(0, base, np.zeros((1, 1, 1, 1), np.int64))[0]

    def _low_table(
        self, base: np.ndarray, spread: np.ndarray, lattice: Lattice, level: int
    ) -> tuple[np.ndarray, np.ndarray]:
        return self._table(1, base, 2 * spread)

    def _band_parts(self, codes: np.ndarray, level: int) -> Iterator[Part]:
        magnitudes = np.minimum(np.abs(codes[:, : self.predictors.shape[1]].astype(np.int64)), CAP)
        for band, (start, stop) in enumerate(bands(len(self.scales))):
            if start >= codes.shape[1]:
                return
            own, around = self.weights[band, :, : magnitudes.shape[1]].astype(np.int64)
            activity = weighted(own, magnitudes) + weighted(around, around_sum(magnitudes))
            where = (ALL, slice(start, min(stop, codes.shape[1])), ALL, ALL)
            base = base_of(self.scales[where[1]], level)
            table, group = self._table(2 + band, base, activity >> FRACTION - 3)
            yield Part(where, 0, table, 2 + band, base, group)
            total = np.minimum(np.abs(codes[where].astype(np.int64)), CAP).sum(axis=1, keepdims=True)
            magnitudes = np.concatenate([magnitudes, total], axis=1)

    def _table(self, kind: int, base: np.ndarray, activity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return tables and classes of activity."""
        group = np.searchsorted(BOUNDS, activity, side="right")
        return self.indices[kind, index_of(base)[None, :, None, None], group].astype(np.int64), group


def bands(n_channels: int) -> list[tuple[int, int]]:
    """Return first and last channel, exclusive, of each band beyond the low channels.

    Examples
    --------
    >>> bands(40)
    [(8, 16), (16, 32), (32, 40)]
    """
    edges = [N_LOW]
    while edges[-1] < n_channels:
        edges.append(min(2 * edges[-1], n_channels))
    return list(itertools.pairwise(edges))


def base_of(scales: np.ndarray, level: int) -> np.ndarray:
    """Return what standard deviations come to in integer codes, in the units of a level; 0 is the first table."""
    return scales.astype(np.int64) - level + BELOW * LEVELS_PER_OCTAVE


def index_of(scale: np.ndarray) -> np.ndarray:
    """Return the indices of the tables for scales as `base_of` returns them."""
    return np.clip(scale // PER_INDEX, 0, MAX_INDEX)


def near_values(codes: np.ndarray, neighbours: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return the codes at four neighbours, shape (n, 4, n_channels, rows, columns)."""
    return np.stack([codes[:, :, r[:, None], c] for r, c in neighbours], axis=1)


def around_sum(values: np.ndarray) -> np.ndarray:
    """Return the sum of the values above, below, left and right; those of the edge are repeated beyond it."""
    padded = np.pad(values, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    total: np.ndarray = padded[:, :, :-2, 1:-1] + padded[:, :, 2:, 1:-1]
    total += padded[:, :, 1:-1, :-2] + padded[:, :, 1:-1, 2:]
    return total


def weighted(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the weighted sum over the channels, shape (n, 1, height, width)."""
    total: np.ndarray = np.tensordot(weights, values, (0, 1))[:, None]
    return total
