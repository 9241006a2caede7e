"""Quantisation: from real codes to integers, weighing error against bits, and back.

A level is the logarithm of the step in 256ths of an octave: at level 0 the step is 1, in the units of the codes.
Qualities from 1 to 100 stand for levels, evenly from the coarsest that a model has use for to 0.
"""

from __future__ import annotations

import numpy as np

from embudo.codec.entropy import LARGEST, MAX_INDEX, N_TABLES, REACH, Tables
from embudo.errors import check_number

LEVELS_PER_OCTAVE = 256
MAX_LEVEL = 2**12
#: bits that an error of one squared step is worth at high rates: d/dR of step^2 / 12, as D falls by 6 dB a bit
BIT_COST = np.log(2) / 6


def level_of(quality: float, coarsest: int) -> int:
    """Return the level of a quality from 1, the coarsest level, to 100, level 0.

    Examples
    --------
    >>> level_of(100, 2304), level_of(50, 2304), level_of(1, 2304)
    (0, 1164, 2304)
    """
    check_number("quality", quality, low=1, high=100)
    return round((100 - quality) / 99 * coarsest)


def step_of(level: int) -> float:
    """Return the step of a level.

    Examples
    --------
    >>> step_of(0), step_of(256), step_of(512)
    (1.0, 2.0, 4.0)
    """
    return float(2 ** (level / LEVELS_PER_OCTAVE))


class Quantizer:
    """Rounds codes, in units of the step, to integers.

    Parameters
    ----------
    tables : Tables
        What each integer costs.
    shrinkage : ndarray of shape (N_TABLES, 4)
        How far the mean of what is rounded to 0 (none), 1, 2, and 3 or more lies below that integer, in steps;
        by table, nothing for those that are shifted.
    bit_cost : float, default=BIT_COST
        Squared steps of error that saving one bit may cost.
    """

    def __init__(self, tables: Tables, shrinkage: np.ndarray, bit_cost: float = BIT_COST) -> None:
        self.tables, self.bit_cost = tables, bit_cost
        self.shrinkage = shrinkage
        self._shrinkage = np.concatenate([shrinkage, np.zeros((MAX_INDEX + 1 - N_TABLES, 4), np.float32)])

    def quantize(self, scaled: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return for each code the integer of least cost, error + bit_cost * bits, and that cost.

        Parameters
        ----------
        scaled : ndarray
            Codes divided by their step.
        index : ndarray that broadcasts to the same shape
            Index of each code's table.

        Returns
        -------
        codes : ndarray of that shape, int32
        cost : ndarray of that shape, float32
        """
        magnitude = np.abs(scaled)
        codes = np.minimum(np.rint(magnitude), LARGEST)
        cost = np.square(magnitude) + self.bit_cost * self.tables.bits[index, 0]
        some = codes > 0
        magnitude, index = magnitude[some], np.broadcast_to(index, scaled.shape)[some]
        best, least = np.zeros_like(magnitude), cost[some]
        for candidate in (codes[some], np.maximum(codes[some] - 1, 0)):
            other = self._cost(magnitude, candidate, index)
            better = other < least
            best, least = np.where(better, candidate, best), np.where(better, other, least)
        codes[some], cost[some] = best, least
        return np.copysign(codes, scaled).astype(np.int32), cost

    def dequantize(self, codes: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Return the codes, in units of the step, that integers stand for; shapes as in `quantize`."""
        magnitude = np.abs(codes.astype(np.float32))
        values: np.ndarray = np.copysign(self._centre(magnitude, index), codes)
        return values

    def _cost(self, magnitude: np.ndarray, candidate: np.ndarray, index: np.ndarray) -> np.ndarray:
        bits = self.tables.bits[index, np.minimum(candidate, REACH + 1).astype(np.intp)]
        cost: np.ndarray = np.square(magnitude - self._centre(candidate, index)) + self.bit_cost * bits
        return cost

    def _centre(self, magnitude: np.ndarray, index: np.ndarray) -> np.ndarray:
        centre: np.ndarray = magnitude - self._shrinkage[index, np.minimum(magnitude, 3).astype(np.intp)]
        return centre
