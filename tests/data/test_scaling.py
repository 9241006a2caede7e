"""Scaling of features and its inverse."""

import tracemalloc

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from embudo.data.scaling import Scaler, fit_scaler
from embudo.errors import InvalidData, InvalidParameter

RNG = np.random.default_rng(0)


def matrices(dtype, largest):
    return hnp.arrays(
        dtype,
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=8),
        elements=st.floats(-largest, largest, width=np.dtype(dtype).itemsize * 8, allow_subnormal=False),
    )


@settings(max_examples=150, deadline=None)
@given(X=matrices(np.float64, 1e30), kind=st.sampled_from(["standard", "minmax"]))
def test_float64_survives_the_round_trip_to_within_rounding(X, kind):
    scaler = fit_scaler(kind, X)
    scaled = scaler.apply(X)
    assert scaled.dtype == np.float64
    assert np.isfinite(scaled).all()
    tolerance = 8 * np.finfo(np.float64).eps * np.abs(X).max(axis=0)
    assert (np.abs(scaler.invert(scaled) - X) <= tolerance).all()


@settings(max_examples=150, deadline=None)
@given(X=matrices(np.float32, 1e6), kind=st.sampled_from(["standard", "minmax", "auto", None]))
def test_float32_survives_the_round_trip_to_within_rounding(X, kind):
    assume(np.abs(X)[X != 0].min(initial=1) > 1e-30)
    scaler = fit_scaler(kind, X)
    scaled = scaler.apply(X)
    assert scaled.dtype == np.float32
    tolerance = 8 * np.finfo(np.float32).eps * np.abs(X).max(axis=0)
    assert (np.abs(scaler.invert(scaled) - X) <= tolerance).all()


@settings(max_examples=150, deadline=None)
@given(X=matrices(np.float64, 1e6))
def test_minmax_comes_to_the_unit_interval(X):
    scaled = fit_scaler("minmax", X).apply(X)
    assert scaled.min() >= 0
    assert scaled.max() <= 1


@pytest.mark.parametrize("unit", [1e-30, 1e-3, 1.0, 1e30])
@pytest.mark.parametrize("offset", [0.0, 1.0, 1e6])
def test_standard_comes_to_mean_0_and_variance_1_at_any_scale(unit, offset):
    X = (RNG.normal(size=(5000, 3)) + offset) * unit
    scaled = fit_scaler("standard", X).apply(X)
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(scaled.std(axis=0), 1, rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float64, np.int64])
def test_timestamps_keep_their_seconds(dtype):
    X = (1.7e9 + 100 * RNG.normal(size=(3000, 2))).astype(dtype)
    scaler = fit_scaler("standard", X)
    scaled = scaler.apply(X)
    np.testing.assert_allclose(scaled.std(axis=0), 1, rtol=1e-6)
    np.testing.assert_allclose(scaler.invert(scaled), X, atol=1e-5)


def test_one_outlier_does_not_spoil_mean_and_deviation():
    X = RNG.normal(size=(1000, 1))
    X[17] = 1e12
    scaler = fit_scaler("standard", X)
    np.testing.assert_allclose(scaler.offset, X.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(scaler.scale, X.std(axis=0), rtol=1e-12)


@pytest.mark.parametrize("kind", ["standard", "minmax"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("constant", [0.0, 0.1, -3.0, 1e-30, 1e30, 1.7e9])
def test_a_constant_feature_is_shifted_to_zero_and_comes_back_exactly(kind, dtype, constant):
    X = np.column_stack([np.full(1001, constant), RNG.normal(size=1001)]).astype(dtype)
    scaler = fit_scaler(kind, X)
    scaled = scaler.apply(X)
    assert (scaled[:, 0] == 0).all()
    assert scaler.scale[0] == 1
    assert (scaler.invert(scaled)[:, 0] == X[:, 0]).all()


def test_a_feature_that_varies_by_rounding_alone_is_not_blown_up():
    X = np.array([[0.1 + 0.2], [0.3]] * 5)
    assert np.abs(fit_scaler("standard", X).apply(X)).max() < 1e-15


@pytest.mark.parametrize(
    ("X", "unit_interval", "kind"),
    [
        (RNG.random((9, 2)), False, None),
        (RNG.random((9, 2)) > 0.5, True, None),
        (RNG.normal(size=(9, 2)), False, "standard"),
        (RNG.normal(size=(9, 2)), True, "minmax"),
        (RNG.integers(0, 256, (9, 2), dtype=np.uint8), True, "pixels"),
        (np.array([[0, 1], [1, 0]], dtype=np.uint8), True, None),
        (sp.csr_array(RNG.random((9, 2))), False, None),
        (sp.csr_array(RNG.random((9, 2)) * 3), True, "minmax"),
    ],
)
def test_auto_chooses_by_the_values_and_the_output(X, unit_interval, kind):
    assert fit_scaler("auto", X, unit_interval=unit_interval).kind == kind


def test_pixels_are_divided_by_255_in_float32():
    X = np.array([[0, 51], [255, 102]], dtype=np.uint8)
    scaler = fit_scaler("auto", X)
    scaled = scaler.apply(X)
    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(scaled, np.float32([[0, 0.2], [1, 0.4]]))
    np.testing.assert_array_equal(scaler.invert(scaled).round(), X)


@pytest.mark.parametrize("kind", ["standard", "minmax"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_sparse_is_scaled_as_dense(kind, dtype):
    X = sp.random(700, 9, 0.2, format="csr", random_state=1)
    X.data = (X.data * 50 - 10).astype(dtype)
    dense, sparse = fit_scaler(kind, X.toarray()), fit_scaler(kind, X)
    np.testing.assert_allclose(sparse.offset, dense.offset, rtol=1e-12)
    np.testing.assert_allclose(sparse.scale, dense.scale, rtol=1e-12)


def test_entries_that_a_sparse_matrix_holds_twice_are_added():
    X = sp.csr_array((np.array([1.0, 2, 5]), np.array([0, 0, 0]), np.array([0, 2, 3])), shape=(2, 2))
    scaler = fit_scaler("minmax", X)
    np.testing.assert_array_equal(scaler.offset, [3, 0])
    np.testing.assert_array_equal(scaler.scale, [2, 1])


@pytest.mark.parametrize("kind", ["standard", "minmax"])
def test_memory_does_not_grow_with_the_samples(kind):
    X = RNG.normal(size=(40_000, 64)).astype(np.float32)
    tracemalloc.start()
    fit_scaler(kind, X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < X.nbytes / 2


def test_nothing_is_done_without_scaling():
    X = RNG.random((4, 3))
    assert Scaler(None).apply(X) is X
    assert Scaler(None).invert(X) is X


def test_values_that_the_output_cannot_reach_are_refused_without_scaling():
    with pytest.raises(
        InvalidData, match=r'^The output .* \[0, 1\], but X ranges from -1 to 2: set scale="minmax".*\.$'
    ):
        fit_scaler(None, np.array([[-1.0, 0], [2, 1]]), unit_interval=True)


def test_an_unknown_scale_is_refused_with_a_guess():
    with pytest.raises(InvalidParameter, match=r"scale must be one of .*got 'minmx' \(did you mean 'minmax'\?\)\.$"):
        fit_scaler("minmx", np.ones((2, 2)))
