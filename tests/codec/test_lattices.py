"""Lattices cover a grid once, and predict from what came before."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from embudo.codec.lattices import lattices

SIZES = st.integers(1, 70)


@settings(deadline=None, max_examples=150)
@given(SIZES, SIZES)
def test_every_place_once_and_only_from_earlier_ones(height, width):
    step = np.full((height, width), 99)
    for i, lattice in enumerate(lattices(height, width)):
        assert (step[lattice.rows, lattice.columns] == 99).all()
        for rows, columns in lattice.neighbours:
            assert rows.min() >= 0
            assert columns.min() >= 0
            assert (step[rows[:, None], columns] < i).all()
        step[lattice.rows, lattice.columns] = i
    assert (step < 99).all()
