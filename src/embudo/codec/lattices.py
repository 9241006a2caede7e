"""Lattices: the places of a grid from coarse to fine, each with four neighbours on the coarser ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

SPACING = 32  #: of the coarsest lattice
N_LATTICES = 1 + 3 * (SPACING.bit_length() - 1)


class Lattice(NamedTuple):
    """Every so many rows and columns of a grid.

    Attributes
    ----------
    number : int
        From 0, the coarsest, to `N_LATTICES` - 1; the coarsest has no neighbours.
    rows, columns : slice
    neighbours : list of (ndarray, ndarray)
        For each of four, rows and columns.
    """

    number: int
    rows: slice
    columns: slice
    neighbours: list[tuple[np.ndarray, np.ndarray]]


def lattices(height: int, width: int) -> Iterator[Lattice]:
    """Yield the lattices of a grid that are not empty.

    After the places that are multiples of `SPACING`, the gaps are halved again and again: first the middle of four
    places, of which it has four diagonal neighbours, then what lies between two places in a row or in a column.

    Examples
    --------
    >>> order = np.zeros((4, 4), int)
    >>> for i, lattice in enumerate(lattices(4, 4)):
    ...     order[lattice.rows, lattice.columns] = i
    >>> order
    array([[0, 5, 2, 5],
           [6, 4, 6, 4],
           [3, 5, 1, 5],
           [6, 4, 6, 4]])
    """
    yield Lattice(0, slice(0, None, SPACING), slice(0, None, SPACING), [])
    number, gap = 1, SPACING // 2
    while gap:
        on, between = slice(0, None, 2 * gap), slice(gap, None, 2 * gap)
        for rows, columns in ((between, between), (on, between), (between, on)):
            r, c = np.arange(height)[rows], np.arange(width)[columns]
            if r.size and c.size:
                diagonal = rows is columns
                steps = ((-1, -1), (-1, 1), (1, -1), (1, 1)) if diagonal else ((-1, 0), (1, 0), (0, -1), (0, 1))
                yield Lattice(
                    number,
                    rows,
                    columns,
                    [_at(r, c, gap * down, gap * right, (height, width)) for down, right in steps],
                )
            number += 1
        gap //= 2


def _at(r: np.ndarray, c: np.ndarray, down: int, right: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of a neighbour: the opposite one where it is outside, or else the one before."""
    rows, columns = _mirrored(r, down, size[0]), _mirrored(c, right, size[1])
    if (rows >= size[0]).any():  # the grid is lower than the gap: what lies beside stands in for above and below
        return r, c - abs(down)
    if (columns >= size[1]).any():
        return r - abs(right), c
    return rows, columns


def _mirrored(i: np.ndarray, step: int, length: int) -> np.ndarray:
    j = np.abs(i + step)
    return np.where(j >= length, np.where(i == 0, length, i - step), j)
