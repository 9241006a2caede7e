"""Measures of codes, in blocks, against their formulas on the whole."""

import numpy as np
import pytest
import scipy.sparse

from embudo.metrics.activity import Activity

RNG = np.random.default_rng(0)
CODES = RNG.random((100, 7)) * (RNG.random((100, 7)) < 0.3)
CODES[:, 2] = 0


def of(blocks):
    activity = Activity()
    for block in blocks:
        activity.update(block)
    return activity


@pytest.mark.parametrize("kind", [np.asarray, scipy.sparse.csr_matrix, np.float32])
def test_blocks_come_to_the_measures_of_the_whole(kind):
    activity = of(kind(block) for block in np.split(CODES, [10, 11, 60]))
    np.testing.assert_allclose(activity.density, (CODES != 0).mean(axis=0))
    np.testing.assert_allclose(activity.mean_activation, CODES.mean(axis=0), rtol=1e-6)
    assert activity.l0 == pytest.approx((CODES != 0).sum(axis=1).mean())
    assert activity.dead_units == 1
    assert activity.dead_share == 1 / 7
    assert activity.saturation == pytest.approx(((CODES < 0.05) | (CODES > 0.95)).mean())


def test_the_limits_of_saturation_are_exclusive():
    assert of([np.array([[0.05, 0.95, 0.5, 0.0499, 0.9501]])]).saturation == 2 / 5
