"""Mixed tables as arrays: every column counts the same, and comes back as it was."""

import json

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from embudo.data.sampling import EvenSample
from embudo.data.tables import RARE, TableEncoder, as_frame, has_categories, same_columns
from embudo.errors import FileFormatError, InvalidData

RNG = np.random.default_rng(0)
N = 500
FRAME = pd.DataFrame(
    {
        "age": RNG.normal(40, 10, N),
        "visits": RNG.integers(9, size=N),
        "member": RNG.random(N) < 0.3,
        "town": RNG.choice(["Ghent", "Bruges", "Liege", "Namur"], N, p=[0.6, 0.3, 0.09, 0.01]),
        "level": pd.Categorical(RNG.integers(3, size=N)),
        "constant": 7.0,
    }
)
GAPS = FRAME.astype({"visits": float}).mask(RNG.random(FRAME.shape) < 0.2)


def test_every_column_has_variance_one_whatever_it_holds():
    encoder = TableEncoder.fit(FRAME)
    variances = encoder.encode(FRAME).var(axis=0)
    totals = [variances[where].sum() for where in encoder.places]
    np.testing.assert_allclose(totals, [1, 1, 1, 1, 1, 0], atol=1e-9)
    assert [column.width for column in encoder.columns] == [1, 1, 1, 5, 4, 1]
    assert encoder.encode(FRAME).shape == (N, encoder.n_encoded)


@pytest.mark.parametrize("frame", [FRAME, GAPS], ids=["whole", "with gaps"])
def test_decoding_gives_back_what_was_there(frame):
    encoder = TableEncoder.fit(frame)
    encoded = encoder.encode(frame)
    for (name, column), decoded in zip(frame.items(), encoder.decode(encoded), strict=True):
        known = column.notna().to_numpy()
        if name in {"town", "level"}:
            assert (decoded[known] == column[known].astype(str)).all()
        else:
            np.testing.assert_allclose(decoded[known], column[known].astype(float), rtol=1e-9)


def test_gaps_are_nan_and_a_column_tells_where_they_are():
    encoder = TableEncoder.fit(GAPS)
    encoded = encoder.encode(GAPS)
    for (_, column), where in zip(GAPS.items(), encoder.places, strict=True):
        missing = column.isna().to_numpy()
        np.testing.assert_array_equal(
            np.isnan(encoded[:, where]), np.repeat(missing[:, None], where.stop - where.start, 1)
        )
        np.testing.assert_array_equal(encoded[:, where.stop], missing)
        assert encoder.weights[where.stop] == 0
        np.testing.assert_allclose(np.nanmean(encoded[:, where], axis=0), 0, atol=1e-9)
    later = TableEncoder.fit(FRAME).encode(GAPS)
    assert np.isnan(later).any()
    assert later.shape[1] == TableEncoder.fit(FRAME).n_encoded


def test_rare_and_unseen_categories_lie_far_off():
    encoder = TableEncoder.fit(FRAME)
    where = encoder.places[3]
    towns = FRAME.iloc[:5].assign(town=["Ghent", "Bruges", "Liege", "Namur", "Ostend"])
    distances = np.square(encoder.encode(towns)[:, where]).sum(axis=1)
    assert (np.diff(distances) > 0).all()
    share = (FRAME["town"] == "Liege").mean()
    assert distances[2] == pytest.approx((1 / share - 1) / 3, rel=0.01)
    assert 1 / RARE / 3 < distances[4] < 1.1 / RARE / 3


def test_categories_are_known_by_what_they_say():
    numbers = pd.DataFrame({"code": pd.Categorical([1, 2, 3, 2] * 10)})
    encoder = TableEncoder.fit(numbers)
    expected = encoder.encode(numbers)
    for other in ([1.0, 2.0, 3.0, 2.0], ["1", "2", "3", "2"], np.array([1, 2, 3, 2], dtype=object)):
        np.testing.assert_array_equal(encoder.encode(pd.DataFrame({"code": list(other) * 10})), expected)


def test_the_rarest_of_many_categories_are_one():
    words = np.concatenate([np.repeat([f"w{i}" for i in range(150)], 2), ["w0", "w1"]])
    encoder = TableEncoder.fit(pd.DataFrame({"word": words}))
    assert len(encoder.columns[0].categories) == 100
    np.testing.assert_array_equal(*(encoder.encode(pd.DataFrame({"word": [word]})) for word in ("w149", "new")))


@given(st.lists(st.one_of(st.none(), st.floats(allow_infinity=False, width=32), st.integers(-9, 9)), min_size=1))
def test_any_numbers_are_scaled_or_refused(values):
    frame = pd.DataFrame({"x": pd.Series(values, dtype=object)})
    if frame["x"].isna().all():
        with pytest.raises(InvalidData, match="holds no value"):
            TableEncoder.fit(frame)
        return
    encoded = TableEncoder.fit(frame).encode(frame)
    known = encoded[~np.isnan(encoded[:, 0]), 0]
    assert np.abs(known).max() <= len(values) ** 0.5 * 1.01 + 1e-6


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (pd.date_range("2024", periods=30), "Column 'x' holds dates or times"),
        ([f"name {i}" for i in range(30)], "Column 'x' holds another text in each row"),
        ([np.nan] * 30, "Column 'x' holds no value"),
        ([1.0, np.inf] * 15, "X holds infinity in row 1, column 'x'"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused(column, words):
    with pytest.raises(InvalidData, match=words):
        TableEncoder.fit(pd.DataFrame({"x": column}))


def test_numbers_that_become_text_are_refused():
    with pytest.raises(InvalidData, match="Column 'age' held numbers when the model was fitted, and now holds object"):
        TableEncoder.fit(FRAME).encode(FRAME.assign(age=pd.Series(["old"] * N, dtype=object)))


def test_polars_and_nullable_frames_are_the_same_table():
    encoder = TableEncoder.fit(GAPS)
    plain = GAPS.astype({"level": object})
    for other in (
        plain.convert_dtypes(),
        as_frame(pl.DataFrame({k: [None if pd.isna(v) else v for v in column] for k, column in plain.items()})),
    ):
        np.testing.assert_allclose(encoder.encode(other), encoder.encode(GAPS))
    assert has_categories(FRAME)
    assert not has_categories(FRAME[["age", "member"]])
    with pytest.raises(InvalidData, match="more than one column named 'age'"):
        as_frame(pd.concat([FRAME, FRAME[["age"]]], axis=1))


def test_columns_are_found_by_name():
    assert list(same_columns(FRAME[FRAME.columns[::-1]], ["age", "town"]).columns) == ["age", "town"]
    with pytest.raises(InvalidData, match=r"no column 'aged' \(did you mean 'age'\?\)"):
        same_columns(FRAME, ["aged"])


def test_a_card_is_read_back_or_refused():
    encoder = TableEncoder.fit(GAPS)
    text = json.dumps(encoder.to_card())
    assert TableEncoder.from_card(json.loads(text)) == encoder
    for column, field, value in (
        (0, "scale", 0.0),
        (0, "mean", float("nan")),
        (3, "shares", [1.0]),
        (3, "categories", []),
    ):
        card = json.loads(text)
        card[column][field] = value
        with pytest.raises(FileFormatError):
            TableEncoder.from_card(card)


@pytest.mark.parametrize("sparse", [False, True])
def test_a_sample_of_a_stream_is_even(sparse):
    counts = np.zeros(100)
    for seed in range(200):
        sample = EvenSample(20, seed)
        for chunk in np.split(np.arange(100)[:, None], [10, 55, 60]):
            kept = sample.add(scipy.sparse.csr_array(chunk) if sparse else chunk)
        assert kept.shape == (20, 1)
        counts[(kept.toarray() if sparse else kept)[:, 0]] += 1
    assert counts.min() > 15
    assert counts.max() < 70
