"""The networks of the prior: the same on integers as in floating point, and exact."""

import itertools

import numpy as np
import pytest
import torch

from embudo.codec.census import laplace_tables
from embudo.codec.context import UNIT, IntegerNetwork, log_of
from embudo.codec.objectives import NOT_CODED, CodeLength, in_integers, trainable
from embudo.codec.prior import FRACTION
from embudo.codec.quantize import LEVELS_PER_OCTAVE


def random_network(rng, widths, largest):
    return IntegerNetwork(
        [
            (
                rng.integers(-largest, largest + 1, size=(outputs, inputs)).astype(np.int16),
                rng.integers(-largest * UNIT, largest * UNIT + 1, size=outputs).astype(np.int32),
            )
            for inputs, outputs in itertools.pairwise(widths)
        ]
    )


def test_sums_are_exact_at_the_largest_weights():
    rng = np.random.default_rng(0)
    network = random_network(rng, (400, 64, 64, 16), 2**15 - 1)
    x = rng.integers(0, 1000, size=(7, 400))
    h = x.astype(object)
    for number, (weight, bias) in enumerate(network.layers):
        h = (h @ weight.T.astype(object) + bias.astype(object)) // 2**FRACTION
        h = h if number == 2 else np.clip(h, 0, 2**15 - 1)
    np.testing.assert_array_equal(network(x), h.astype(np.int64))


def test_the_trainable_network_is_the_one_on_integers():
    rng = np.random.default_rng(0)
    network = random_network(rng, (30, 64, 64, 8), 300)
    x = rng.integers(0, 400, size=(50, 30))
    with torch.no_grad():
        octaves = trainable(network)(torch.from_numpy(x).float() / UNIT).numpy()
    np.testing.assert_allclose(octaves * LEVELS_PER_OCTAVE, network(x), atol=4)
    again = in_integers(trainable(network))
    for (weight, bias), (weight2, bias2) in zip(network.layers, again.layers, strict=True):
        np.testing.assert_array_equal(weight, weight2)
        np.testing.assert_array_equal(bias, bias2)


def test_logarithms_of_magnitudes():
    sizes = np.arange(2000)
    np.testing.assert_array_equal(log_of(sizes), np.floor(UNIT * np.log2(1 + sizes) + 1e-9))
    assert log_of(np.array([10**6])) == log_of(np.array([1984]))


def test_the_objective_counts_bits_and_has_a_gradient():
    tables = laplace_tables()
    network = torch.nn.Sequential(torch.nn.Linear(3, 2))
    torch.nn.init.zeros_(network[0].weight)
    torch.nn.init.zeros_(network[0].bias)
    objective = CodeLength(network, tables, seed=0)
    index, sizes = np.array([[13, 27], [16, 40]]), np.array([[0, 6], [2, 31]])
    target = torch.from_numpy(np.column_stack([[1, 1], index, sizes]).astype(np.int16))
    x = torch.zeros(2, 3, dtype=torch.int16)
    bits = objective.measure(x, target)["loss"].item()
    assert bits == pytest.approx(tables.bits[index, sizes].sum() / 2, rel=1e-5)
    target[:, 3:] = NOT_CODED
    assert objective.measure(x, target)["loss"] == 0
    target[:, 3:] = 2  # larger than expected of the one, smaller than of the other
    objective(x, target)["bits"].backward()
    assert network[0].bias.grad[0] < 0 < network[0].bias.grad[1]
