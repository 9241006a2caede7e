"""What may be passed as X, and what is refused."""

import decimal
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import torch

from embudo import Autoencoder, Training
from embudo.data.arrays import as_array, check_finite
from embudo.errors import InvalidData

ONCE = Training(epochs=1, batch_size=8)
VALUES = np.abs(np.random.default_rng(0).normal(size=(12, 4))) * 20


def fitted(X):
    return Autoencoder(2, training=ONCE, random_state=0).fit(X)


@pytest.mark.parametrize(
    "dtype",
    ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "g", ">f4", ">f8", ">i2", ">i4", ">u8"],
)
def test_every_numeric_dtype_is_learnt_from_as_its_values_in_float64_are(dtype):
    X = VALUES.astype(dtype)
    estimator = Autoencoder(2, scale="standard", training=ONCE, random_state=0)
    np.testing.assert_allclose(estimator.fit_transform(X), estimator.fit_transform(X.astype("f8")), atol=1e-3)


def as_memmap(X, tmp_path):
    np.save(tmp_path / "X.npy", X)
    return np.load(tmp_path / "X.npy", mmap_mode="r")


def as_read_only(X, tmp_path):
    X = X.copy()
    X.flags.writeable = False
    return X


def as_strided(X, tmp_path):
    return np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3]


@pytest.mark.parametrize("scale", [None, "standard"])
@pytest.mark.parametrize(
    "layout",
    [lambda X, _: np.asfortranarray(X), as_memmap, as_read_only, as_strided, lambda X, _: X[::-1].copy()[::-1]],
    ids=["fortran", "memmap", "read_only", "strided", "reversed"],
)
def test_memory_layout_changes_neither_result_nor_data(layout, scale, tmp_path):
    X = VALUES.astype(np.float32)
    other = layout(X, tmp_path)
    estimator = Autoencoder(2, scale=scale, training=ONCE, random_state=0)
    expected = estimator.fit_transform(X)
    np.testing.assert_array_equal(estimator.fit_transform(other), expected)
    np.testing.assert_array_equal(other, VALUES.astype(np.float32))


@pytest.mark.parametrize(
    ("tensor", "dtype"),
    [
        (torch.tensor(VALUES), np.float64),
        (torch.tensor(VALUES, dtype=torch.float16), np.float16),
        (torch.tensor(VALUES, dtype=torch.bfloat16), np.float32),
        (torch.tensor(VALUES, requires_grad=True), np.float64),
        (torch.tensor(VALUES).T, np.float64),
        (torch.tensor(VALUES)._neg_view(), np.float64),
        (torch.tensor(VALUES) > 5, np.bool_),
    ],
    ids=["float64", "float16", "bfloat16", "requires_grad", "transposed", "negated", "bool"],
)
def test_a_tensor_becomes_an_array_of_its_values(tensor, dtype):
    array = as_array(tensor)
    assert array.dtype == dtype
    np.testing.assert_array_equal(array, np.array(tensor.tolist(), dtype=dtype))


def test_a_tensor_is_shared_not_copied():
    tensor = torch.tensor(VALUES)
    assert np.shares_memory(as_array(tensor), tensor.numpy())


@pytest.mark.parametrize(
    "X",
    [
        VALUES.tolist(),
        list(VALUES),
        VALUES.astype(object),
        [[decimal.Decimal("1.5"), 2], [3, True]],
        [[2**70, 1], [2, 3]],
    ],
    ids=["lists", "list_of_arrays", "objects", "decimals", "great_integers"],
)
def test_lists_and_objects_of_numbers_become_float64(X):
    array = as_array(X)
    assert array.dtype == np.float64
    np.testing.assert_array_equal(array, np.asarray(X, dtype=np.float64))


def test_masked_entries_are_refused_as_nan():
    X = np.ma.masked_greater(np.arange(6.0).reshape(3, 2), 4.5)
    with pytest.raises(InvalidData, match="NaN in row 2, column 1"):
        check_finite(as_array(X))


FRAME = pd.DataFrame(VALUES, columns=["a", "b", "c", "d"])
POLARS = pl.DataFrame({name: VALUES[:, i] for i, name in enumerate("abcd")})


@pytest.mark.parametrize(
    "frame",
    [
        FRAME,
        FRAME.astype("Float64"),
        FRAME.round().astype("Int64"),
        FRAME.astype("float64[pyarrow]"),
        FRAME > 5,
        (FRAME > 5).astype("boolean"),
        FRAME.assign(b=FRAME.b > 5),
        FRAME.astype(object),
        FRAME.astype(pd.SparseDtype(float, 0.0)),
        POLARS,
        POLARS.cast(pl.Float32),
        POLARS.cast(pl.Int16),
        POLARS.with_columns(b=pl.col("b") > 5),
        POLARS.select(pl.all() > 5),
        POLARS.with_columns(b=pl.col("b").cast(pl.Decimal(10, 2))),
    ],
    ids=lambda frame: (
        f"{type(frame).__module__.split('.')[0]}-{'-'.join(sorted({str(kind) for kind in frame.dtypes}))}"
    ),
)
def test_a_frame_is_learnt_from_and_its_names_are_kept(frame):
    estimator = fitted(frame)
    assert list(estimator.feature_names_in_) == ["a", "b", "c", "d"]
    plain = np.asarray(frame.to_numpy(), dtype=np.float64)
    np.testing.assert_allclose(estimator.transform(frame), fitted(plain).transform(plain), atol=1e-3)


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
def test_a_frame_with_other_names_than_those_learnt_is_refused(kind):
    estimator = fitted(kind({"a": [1.0, 2.0, 4.0], "b": [3.0, 1.0, 2.0]}))
    with pytest.raises(InvalidData, match="feature names should match") as error:
        estimator.transform(kind({"a": [1.0], "z": [3.0]}))
    assert "z" in str(error.value)


REFUSED = {
    "text": ["x"] * 12,
    "numbers as text": ["1"] * 12,
    "text as objects": np.array(["x"] * 12, dtype=object),
    "numeric text as objects": np.array(["1"] * 12, dtype=object),
    "categories": pd.Categorical([1, 2] * 6),
    "dates": pd.date_range("2020", periods=12),
    "dates with zone": pd.date_range("2020", periods=12, tz="UTC"),
    "durations": pd.to_timedelta(np.arange(12), unit="s"),
    "periods": pd.period_range("2020", periods=12),
    "complex": np.ones(12) * 1j,
    "dicts": np.array([{}] * 12, dtype=object),
    "missing": np.array([pd.NA] * 12, dtype=object),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_pandas_column_that_is_not_numeric_is_refused_by_name(what):
    with pytest.raises(InvalidData, match=r"^X has columns that are not numeric: 'odd one'; .*\.$"):
        as_array(FRAME.assign(**{"odd one": REFUSED[what]}))


@pytest.mark.parametrize(
    "column",
    [
        pl.lit("x"),
        pl.lit(None),
        pl.lit("x").cast(pl.Categorical),
        pl.lit([1, 2]),
        pl.lit("2020-01-01").str.to_date(),
        pl.lit(5).cast(pl.Duration),
    ],
    ids=["text", "null", "categories", "lists", "dates", "durations"],
)
def test_a_polars_column_that_is_not_numeric_is_refused_by_name(column):
    with pytest.raises(InvalidData, match=r"^X has columns that are not numeric: 'odd one'; .*\.$"):
        as_array(POLARS.with_columns(column.alias("odd one")))


def test_of_many_columns_that_are_not_numeric_eight_are_named():
    with pytest.raises(InvalidData, match=r"'t0', .*'t7' \.\.\.;"):
        as_array(pd.DataFrame({f"t{i}": ["x"] for i in range(20)}))


def test_columns_of_one_name_are_refused():
    with pytest.raises(InvalidData, match=r"^X has more than one column named 'a': rename them\.$"):
        as_array(pd.DataFrame(VALUES, columns=["a", "a", "b", "c"]))


SPARSE = sp.random(40, 6, 0.3, format="csr", random_state=0)


@pytest.mark.parametrize("make", [sp.csr_matrix, sp.csr_array], ids=["matrix", "array"])
@pytest.mark.parametrize("form", ["csr", "csc", "coo", "lil", "bsr"])
def test_every_sparse_form_gives_what_the_dense_matrix_gives(form, make):
    X = make(SPARSE).asformat(form)
    estimator, dense = (Autoencoder(2, scale="standard", training=ONCE, random_state=0) for _ in range(2))
    codes = dense.fit_transform(SPARSE.toarray())
    np.testing.assert_allclose(estimator.fit_transform(X), codes, atol=1e-4)
    np.testing.assert_allclose(estimator.reconstruct(X), dense.reconstruct(SPARSE.toarray()), atol=1e-4)
    np.testing.assert_allclose(
        estimator.reconstruction_error(X), dense.reconstruction_error(SPARSE.toarray()), atol=1e-4
    )


def test_an_array_that_is_fine_is_passed_on_as_it_is():
    assert as_array(VALUES) is VALUES
    assert as_array(SPARSE) is SPARSE
    assert as_array(FRAME) is FRAME


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("make", [np.array, np.asfortranarray, sp.csr_array], ids=["c", "fortran", "sparse"])
def test_the_first_value_that_is_not_finite_is_located(make, value):
    X = VALUES.copy()
    X[7, 2] = X[9, 0] = value
    kind = "NaN" if np.isnan(value) else "infinity"
    with pytest.raises(InvalidData, match=rf"^X holds {kind} in row 7, column 2 \(2 values in all .*\.$"):
        check_finite(make(X))
    with pytest.raises(InvalidData, match=rf"{kind} in row 7, column 'weight' "):
        check_finite(make(X), ["a", "b", "weight", "d"])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_great_values_whose_sum_overflows_are_finite(dtype):
    check_finite(np.full((50, 3), 1e150 if dtype == np.float64 else np.finfo(dtype).max, dtype))


def test_what_is_too_great_to_be_squared_is_named():
    X = np.ones((9, 3))
    X[7, 2], X[8, 0] = -1e200, 1e200
    words = (
        r"^X holds -1e\+200 in row 7, column 'c', whose square is beyond float64: bring its feature to smaller units"
    )
    with pytest.raises(InvalidData, match=words):
        check_finite(X, ["a", "b", "c"], allow_nan=True)


def test_values_are_looked_at_without_pandas_or_polars_loaded(monkeypatch):
    monkeypatch.delitem(sys.modules, "pandas")
    monkeypatch.delitem(sys.modules, "polars")
    np.testing.assert_array_equal(as_array([[1, 2]]), [[1, 2]])
