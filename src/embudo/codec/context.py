"""Networks that say how large codes will be, given those around them, in integer arithmetic."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Self

import numpy as np

from embudo.codec.lattices import N_LATTICES, Lattice
from embudo.codec.prior import ALL, FRACTION, N_LOW, Part, Prior, around_sum, bands, base_of, index_of
from embudo.codec.quantize import LEVELS_PER_OCTAVE

N_HIDDEN = 64
UNIT = 64  #: what stands for 1 in features and hidden units
LARGEST = 31  #: magnitudes count as no larger than this
SINGLE = 64  #: channels from here on are counted in groups
GROUP = 16
MAX_HIDDEN = 2**15 - 1
#: rows and columns of a grid, every other one: the codes of a band come in four parts
PHASES = ((0, 0), (1, 1), (0, 1), (1, 0))

Layers = Sequence[tuple[np.ndarray, np.ndarray]]


class IntegerNetwork:
    """Layers of `floor((W x + b) / 2 ** FRACTION)`, rectified and bounded but for the last, on integers.

    Sums stay far below 2^53, so that floating point is exact, whatever its order.

    Parameters
    ----------
    layers : sequence of (weight, bias)
        Shapes (n_outputs, n_inputs), int16, and (n_outputs,), int32.
    """

    def __init__(self, layers: Layers) -> None:
        self.layers = layers
        self._layers = [(weight.T.astype(np.float64), bias.astype(np.float64)) for weight, bias in layers]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the outputs, shape (n, n_outputs), int64, for inputs of shape (n, n_inputs)."""
        h = x.astype(np.float64)
        for weight, bias in self._layers[:-1]:
            h = np.clip(np.floor((h @ weight + bias) / 2**FRACTION), 0, MAX_HIDDEN)
        weight, bias = self._layers[-1]
        return np.floor((h @ weight + bias) / 2**FRACTION).astype(np.int64)


@dataclasses.dataclass(frozen=True)
class NetworkPrior(Prior):
    """A prior whose tables a network chooses, one for the low channels and one for each band.

    The codes of a band come in four parts, so that the later ones know the magnitudes of the same channels around them.

    Parameters
    ----------
    networks : sequence of IntegerNetwork
        From the context to what is added to the scales of the channels, in the units of a level.
    """

    networks: Sequence[IntegerNetwork]

    @staticmethod
    def sizes(n_channels: int) -> list[tuple[int, int]]:
        """Return the numbers of inputs and outputs of the networks."""
        n_low = min(N_LOW, n_channels)
        sizes, known = [(n_low + 1 + N_LATTICES, n_low)], n_low
        for start, stop in bands(n_channels):
            sizes.append((3 * known + 1 + len(PHASES) + stop - start, stop - start))
            known += _n_features(start, stop)
        return sizes

    def shapes(self, n_channels: int) -> dict[str, tuple[tuple[int, ...], type]]:
        """Return shape and type of the tensors, by name."""
        shapes = super().shapes(n_channels)
        for number, (n_inputs, n_outputs) in enumerate(self.sizes(n_channels)):
            widths = [n_inputs, N_HIDDEN, N_HIDDEN, n_outputs]
            for layer in range(3):
                shapes[f"networks.{number}.{layer}.weight"] = ((widths[layer + 1], widths[layer]), np.int16)
                shapes[f"networks.{number}.{layer}.bias"] = ((widths[layer + 1],), np.int32)
        return shapes

    def tensors(self) -> dict[str, np.ndarray]:
        """Return all that the prior knows, by name."""
        tensors = super().tensors()
        del tensors["networks"]
        for number, network in enumerate(self.networks):
            for layer, (weight, bias) in enumerate(network.layers):
                tensors |= {f"networks.{number}.{layer}.weight": weight, f"networks.{number}.{layer}.bias": bias}
        return tensors

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray]) -> Self:
        """Return the prior of what `tensors` returned."""
        networks = []
        while f"networks.{len(networks)}.0.weight" in tensors:
            names = [f"networks.{len(networks)}.{layer}" for layer in range(3)]
            networks.append(IntegerNetwork([(tensors[f"{name}.weight"], tensors[f"{name}.bias"]) for name in names]))
        return cls(tensors["scales"], tensors["low_scales"], tensors["predictors"], networks)

    def _coarsest_table(self, base: np.ndarray) -> np.ndarray:
        return index_of(base)[None, :, None, None]

    def _low_table(
        self, base: np.ndarray, spread: np.ndarray, lattice: Lattice, level: int
    ) -> tuple[np.ndarray, np.ndarray]:
        missing = np.zeros((spread.shape[0], self.predictors.shape[1] - spread.shape[1], *spread.shape[2:]), np.int64)
        context = _with_constants([log_of(spread), missing], level, lattice.number, N_LATTICES)
        return self._table(0, base, context), context

    def _band_parts(self, codes: np.ndarray, level: int) -> Iterator[Part]:
        known: list[np.ndarray] = []

        def learn(values: np.ndarray) -> None:
            known.extend(log_of(v) for v in (values, around_sum(values), diagonal_sum(values)))

        learn(_magnitudes(codes[:, : self.predictors.shape[1]]))
        for band, (start, stop) in enumerate(bands(len(self.scales))):
            if start >= codes.shape[1]:
                return
            inside = slice(start, min(stop, codes.shape[1]))
            here = np.zeros((len(codes), stop - start, *codes.shape[2:]), np.int64)
            base = base_of(self.scales[inside], level)
            for phase, (top, left) in enumerate(PHASES):
                places = (slice(top, None, 2), slice(left, None, 2))
                if top >= here.shape[2] or left >= here.shape[3]:
                    continue
                own = around_sum(here) if phase > 1 else diagonal_sum(here)
                values = [*(v[:, :, *places] for v in known), log_of(own[:, :, *places])]
                context = _with_constants(values, level, phase, len(PHASES))
                where = (ALL, inside, *places)
                yield Part(where, 0, self._table(1 + band, base, context), 2 + band, base, context)
                here[:, : inside.stop - start, *places] = _magnitudes(codes[where])
            learn(_grouped(here, start))

    def _table(self, number: int, base: np.ndarray, context: np.ndarray) -> np.ndarray:
        n, _, height, width = context.shape
        rows = context.transpose(0, 2, 3, 1).reshape(n * height * width, -1)
        added = self.networks[number](rows)[:, : len(base)]
        return index_of(base + added).reshape(n, height, width, -1).transpose(0, 3, 1, 2)


@cache
def _logarithms() -> np.ndarray:
    """Return floor(UNIT * log2(1 + m)) of all magnitudes that are summed here, exact: a power and its bits."""
    return np.array([((1 + m) ** UNIT).bit_length() - 1 for m in range(4 * GROUP * LARGEST + 1)])


def log_of(magnitudes: np.ndarray) -> np.ndarray:
    """Return the logarithms of magnitudes as features, those beyond the largest sum like it."""
    table = _logarithms()
    logarithms: np.ndarray = table[np.minimum(magnitudes, len(table) - 1)]
    return logarithms


def diagonal_sum(values: np.ndarray) -> np.ndarray:
    """Return the sum of the four diagonal neighbours; those of the edge are repeated beyond it."""
    padded = np.pad(values, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    total: np.ndarray = padded[:, :, :-2, :-2] + padded[:, :, 2:, 2:]
    total += padded[:, :, :-2, 2:] + padded[:, :, 2:, :-2]
    return total


def _magnitudes(codes: np.ndarray) -> np.ndarray:
    return np.minimum(np.abs(codes.astype(np.int64)), LARGEST)


def _n_features(start: int, stop: int) -> int:
    """Return how many features the channels of a band become for those that follow."""
    return stop - start if start < SINGLE else -(-(stop - start) // GROUP)


def _grouped(magnitudes: np.ndarray, start: int) -> np.ndarray:
    """Return the magnitudes of a band that begins at `start`, or their sums over groups of channels."""
    if start < SINGLE:
        return magnitudes
    sums: np.ndarray = np.add.reduceat(magnitudes, np.arange(0, magnitudes.shape[1], GROUP), axis=1)
    return sums


def _with_constants(values: Sequence[np.ndarray], level: int, chosen: int, n_choices: int) -> np.ndarray:
    """Return features, the level, and which of so many choices holds, shape (n, n_features, height, width)."""
    n, _, height, width = values[0].shape
    constants = np.zeros(1 + n_choices, np.int64)
    constants[0] = level * UNIT // LEVELS_PER_OCTAVE
    constants[1 + chosen] = UNIT
    return np.concatenate([*values, np.broadcast_to(constants[:, None, None], (n, 1 + n_choices, height, width))], 1)
