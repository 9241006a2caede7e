"""Networks that say how large codes will be, given those around them, in integer arithmetic."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Self

import numpy as np

from embudo.codec.entropy import MAX_INDEX
from embudo.codec.lattices import N_LATTICES, Lattice
from embudo.codec.prior import ALL, FRACTION, N_LOW, Part, Prior, around_sum, bands, near_values
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
        outputs: np.ndarray = np.floor((h @ weight + bias) / 2**FRACTION).astype(np.int64)
        return outputs


@dataclasses.dataclass(frozen=True)
class NetworkPrior(Prior):
    """A prior whose tables networks correct, one for the low channels and one for each band.

    The codes of a band come in four parts, so that the later ones know the magnitudes of the same channels around them.

    Parameters
    ----------
    networks : sequence of IntegerNetwork, default=()
        From the context to what is added to the index of the table, in units of ``1 / UNIT``.
    """

    networks: Sequence[IntegerNetwork] = ()

    @staticmethod
    def sizes(n_channels: int) -> list[tuple[int, int]]:
        """Return the numbers of inputs and outputs of the networks."""
        n_low = min(N_LOW, n_channels)
        sizes, known = [(n_low + 1 + N_LATTICES, n_low)], n_low
        for start, stop in bands(n_channels):
            sizes.append((3 * known + stop - start + 1 + len(PHASES), stop - start))
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
        networks: list[IntegerNetwork] = []
        while f"networks.{len(networks)}.0.weight" in tensors:
            names = [f"networks.{len(networks)}.{layer}" for layer in range(3)]
            networks.append(IntegerNetwork([(tensors[f"{name}.weight"], tensors[f"{name}.bias"]) for name in names]))
        return cls(**vars(Prior.from_tensors(tensors)), networks=networks)

    def _low_part(self, low: np.ndarray, lattice: Lattice, level: int) -> Part:
        part = super()._low_part(low, lattice, level)
        if not lattice.neighbours:
            return part
        near = near_values(low, lattice.neighbours).astype(np.int64)
        away = np.abs(near - np.asarray(part.mean)[:, None]).sum(axis=1)
        spread = np.zeros((len(low), self.predictors.shape[1], *away.shape[2:]), np.int64)
        spread[:, : away.shape[1]] = away
        return self._corrected(part, 0, _with_constants([log_of(spread)], level, lattice.number, N_LATTICES))

    def _parts_of_band(self, whole: Part, codes: np.ndarray, level: int, seen: list[np.ndarray]) -> Iterator[Part]:
        inside = whole.where[1]
        if not seen:
            seen += _features(_magnitudes(codes[:, : inside.start]))
        n_channels = len(self.networks[whole.kind - 1].layers[-1][1])
        here = np.zeros((len(codes), n_channels, *codes.shape[2:]), np.int64)
        for phase, (top, left) in enumerate(PHASES):
            if top >= here.shape[2] or left >= here.shape[3]:
                continue
            rows, columns = slice(top, None, 2), slice(left, None, 2)
            own = around_sum(here) if phase > 1 else diagonal_sum(here)
            values = [*(v[:, :, rows, columns] for v in seen), log_of(own[:, :, rows, columns])]
            where = (ALL, inside, rows, columns)
            part = whole._replace(where=where, table=whole.table[:, :, rows, columns])
            yield self._corrected(part, whole.kind - 1, _with_constants(values, level, phase, len(PHASES)))
            here[:, : codes[where].shape[1], rows, columns] = _magnitudes(codes[where])
        seen += _features(_grouped(here, inside.start))

    def _corrected(self, part: Part, number: int, context: np.ndarray) -> Part:
        """Return a part with the tables that a network chooses."""
        n, _, height, width = context.shape
        n_channels = part.table.shape[1]
        added = self.networks[number](context.transpose(0, 2, 3, 1).reshape(n * height * width, -1))[:, :n_channels]
        added = added.reshape(n, height, width, n_channels).transpose(0, 3, 1, 2)
        table = np.clip(part.table + ((added + UNIT // 2) // UNIT), 0, MAX_INDEX)
        return part._replace(table=table, base=part.table, context=context)


def _features(magnitudes: np.ndarray) -> list[np.ndarray]:
    """Return what magnitudes are for the bands that follow: logarithms, at a place, beside it and at its corners."""
    return [log_of(values) for values in (magnitudes, around_sum(magnitudes), diagonal_sum(magnitudes))]


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
