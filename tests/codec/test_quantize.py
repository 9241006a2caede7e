"""The quantiser chooses the integer of least cost."""

import numpy as np
import pytest

from embudo.codec.census import Census, laplace_tables
from embudo.codec.entropy import N_TABLES, TOTAL
from embudo.codec.quantize import Quantizer, level_of, step_of
from embudo.errors import InvalidParameter


def test_quality_and_level():
    levels = [level_of(quality, 2000) for quality in np.linspace(1, 100, 500)]
    assert levels == sorted(set(levels), reverse=True), "a quality of a fifth more is another level"
    assert (levels[0], levels[-1]) == (2000, 0)
    with pytest.raises(InvalidParameter, match="quality"):
        level_of(0, 2000)
    assert step_of(levels[0]) == 2 ** (2000 / 256)


def test_no_other_integer_costs_less():
    rng = np.random.default_rng(0)
    tables, shrinkage = laplace_tables(), rng.uniform(0, 0.2, size=(N_TABLES, 4)).astype(np.float32)
    shrinkage[:, 0] = 0
    quantizer = Quantizer(tables, shrinkage)
    scaled, index = rng.laplace(scale=2, size=500).astype(np.float32), rng.integers(0, N_TABLES, size=500)
    codes, cost = quantizer.quantize(scaled, index)
    candidates = np.arange(-12, 13)[:, None]
    error = np.square(scaled - quantizer.dequantize(np.broadcast_to(candidates, (25, 500)), index))
    every = error + quantizer.bit_cost * tables.bits[index, np.abs(candidates)]
    inside = np.abs(scaled) < 11
    # one step towards zero and zero itself are tried: that is nearly always enough
    assert (cost <= every.min(axis=0) + 1e-5)[inside].mean() > 0.95
    chosen = (
        np.square(scaled - quantizer.dequantize(codes, index)) + quantizer.bit_cost * tables.bits[index, np.abs(codes)]
    )
    np.testing.assert_allclose(chosen[inside], cost[inside], rtol=1e-4, atol=1e-5)


def test_laplace_tables_are_rounded_laplace_distributions():
    from scipy.stats import laplace

    frequencies = laplace_tables().frequencies
    edges = np.arange(-31.5, 32)
    for table in (10, 20, 31):
        std = 2 ** ((table + 0.5) / 4 - 5)
        expected = np.diff(laplace(scale=std / np.sqrt(2)).cdf(edges))
        np.testing.assert_allclose(frequencies[table, :-1] / TOTAL, expected, atol=2e-3)


def test_counting_finds_the_distribution_and_the_centres():
    rng = np.random.default_rng(0)
    scaled = rng.laplace(scale=0.5, size=(1, 1, 300, 300))
    values = np.rint(scaled).astype(int)
    census = Census()
    census.add(values, scaled, np.full(values.shape, 17))
    frequencies = census.tables().frequencies[17] / TOTAL
    assert frequencies[31] == pytest.approx((values == 0).mean(), abs=2e-3)
    assert frequencies[32] == pytest.approx((np.abs(values) == 1).mean() / 2, abs=2e-3)
    assert census.shrinkage()[17, 1] == pytest.approx(1 - np.abs(scaled[np.abs(values) == 1]).mean(), abs=2e-3)
