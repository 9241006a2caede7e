"""The prior: what is expected of each code, given those before it, in integer arithmetic alone.

Codes come in parts. The encoder quantises a part, the decoder decodes it, before the next one is asked for; so what is
expected of a part may follow from all parts before it, and both sides expect the same.

First come the `N_LOW` channels of greatest variance, lattice by lattice, mean and scale predicted from neighbours. Then
come bands of channels, each twice as wide as the one before; their scale follows from how large the codes of the
channels before are at the same place and around it: all in closed form here; networks add to it (`context`).
"""

from __future__ import annotations

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
    base : ndarray that broadcasts to their shape
        The index that the scale of the channel alone would give.
    context : ndarray of shape (n, n_values, rows, columns), integer
        What else it follows from: the class of activity.
    """

    where: Where
    mean: np.ndarray | int
    table: np.ndarray
    kind: int
    base: np.ndarray
    context: np.ndarray


@dataclasses.dataclass(frozen=True)
class Prior:
    """What the codes of a network are like.

    Parameters
    ----------
    scales : ndarray of shape (n_channels,), int16
        Logarithms of the standard deviations of the channels, in the units of a level.
    low_scales : ndarray of shape (N_LATTICES, n_low), int16
        The same of what the predictors leave of the low channels.
    predictors : ndarray of shape (N_LATTICES, n_low, 4 * n_low), int16
        Weights of the low channels of four neighbours, in units of ``2 ** -FRACTION``.
    weights : ndarray of shape (n_bands, 2, n_low + n_bands - 1), int16
        What the magnitudes of the low channels and of the bands before say of a band's: those at the same place, and
        the sum of those at four neighbours; in units of ``2 ** -FRACTION``. The sum is the activity there.
    indices : ndarray of shape (2 + n_bands, MAX_INDEX + 1, N_CLASSES), uint8
        Tables by kind, base and class of activity.
    """

    scales: np.ndarray
    low_scales: np.ndarray
    predictors: np.ndarray
    weights: np.ndarray
    indices: np.ndarray

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
        if self.indices.max() > MAX_INDEX:
            raise ValueError("its prior names tables that there are not")

    def shapes(self, n_channels: int) -> dict[str, tuple[tuple[int, ...], type]]:
        """Return shape and type of the tensors, by name."""
        n_low, n_bands = min(N_LOW, n_channels), len(bands(n_channels))
        return {
            "scales": ((n_channels,), np.int16),
            "low_scales": ((N_LATTICES, n_low), np.int16),
            "predictors": ((N_LATTICES, n_low, 4 * n_low), np.int16),
            "weights": ((n_bands, 2, n_low + max(n_bands - 1, 0)), np.int16),
            "indices": ((2 + n_bands, MAX_INDEX + 1, N_CLASSES), np.uint8),
        }

    def tensors(self) -> dict[str, np.ndarray]:
        """Return all that the prior knows, by name."""
        return dict(vars(self))

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
        for lattice in lattices(*low.shape[2:]):
            yield self._low_part(low, lattice, level)
        magnitudes = np.minimum(np.abs(low.astype(np.int64)), CAP)
        seen: list[np.ndarray] = []
        for band, (start, stop) in enumerate(bands(len(self.scales))):
            if start >= codes.shape[1]:
                return
            own, around = self.weights[band, :, : magnitudes.shape[1]].astype(np.int64)
            activity = weighted(own, magnitudes) + weighted(around, around_sum(magnitudes))
            inside = slice(start, min(stop, codes.shape[1]))
            whole = self._part(
                (ALL, inside, ALL, ALL), 0, 2 + band, self.scales[inside], activity >> FRACTION - 3, level
            )
            yield from self._parts_of_band(whole, codes, level, seen)
            total = np.minimum(np.abs(codes[whole.where].astype(np.int64)), CAP).sum(axis=1, keepdims=True)
            magnitudes = np.concatenate([magnitudes, total], axis=1)

    def _low_part(self, low: np.ndarray, lattice: Lattice, level: int) -> Part:
        n_low = low.shape[1]
        where = (ALL, slice(n_low), lattice.rows, lattice.columns)
        scales = self.low_scales[lattice.number, :n_low]
        if not lattice.neighbours:
            return self._part(where, 0, 0, scales, np.zeros((1, 1, 1, 1), np.int64), level)
        near = near_values(low, lattice.neighbours).astype(np.int64)
        weights = self.predictors[lattice.number].reshape(-1, 4, self.predictors.shape[1])[:n_low, :, :n_low]
        total = np.einsum("ikj,nkjyx->niyx", weights.astype(np.int64), near)
        mean = np.clip((total + (1 << FRACTION - 1)) >> FRACTION, -MAX_MEAN, MAX_MEAN)
        spread = 2 * np.abs(near - mean[:, None]).sum(axis=1)
        return self._part(where, mean, 1, scales, spread, level)

    def _parts_of_band(self, whole: Part, codes: np.ndarray, level: int, seen: list[np.ndarray]) -> Iterator[Part]:
        """Yield the parts that a band is coded in: here, the whole. What `seen` holds is left for the next bands."""
        yield whole

    def _part(
        self, where: Where, mean: np.ndarray | int, kind: int, scales: np.ndarray, activity: np.ndarray, level: int
    ) -> Part:
        base = (scales.astype(np.int64) - level) // (LEVELS_PER_OCTAVE // PER_OCTAVE) + BELOW * PER_OCTAVE
        base = np.clip(base, 0, MAX_INDEX)[None, :, None, None]
        group = np.searchsorted(BOUNDS, activity, side="right")
        return Part(where, mean, self.indices[kind, base, group].astype(np.int64), kind, base, group)


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
