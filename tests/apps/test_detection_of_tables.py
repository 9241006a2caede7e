"""Anomalies in tables: categories, columns by name, and values that are missing."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from anomalies import FRESH, OFF, X, detector, mixed
from sklearn.metrics import roc_auc_score
from zoo import QUICK

from embudo import Autoencoder
from embudo.errors import InvalidData


@pytest.fixture(scope="module")
def of_table():
    return detector(contamination=0.05).fit(mixed(600))


def test_a_frame_is_explained_by_its_names_and_index(of_table):
    frame = mixed(5, seed=3).set_index(pd.Index(["a", "b", "c", "d", "e"]))
    frame.loc["c", "ward"] = "moon"
    table = of_table.explain(frame, top=2)
    assert table["sample"].tolist() == ["a", "a", "b", "b", "c", "c", "d", "d", "e", "e"]
    strange = table[table["sample"] == "c"].iloc[0]
    assert (strange["feature"], strange["value"]) == ("ward", "moon")
    assert strange["expected"] in {"north", "south", "east"}


def test_categories_that_do_not_fit_or_were_not_seen_are_flagged(of_table):
    fresh = mixed(300, seed=4)
    known = fresh["ward"].notna()
    usual = of_table.score_samples(fresh)
    swapped = fresh.assign(ward=fresh["ward"].map({"north": "east", "south": "north", "east": "south"}))
    unseen = fresh.assign(ward="moon")
    labels = np.repeat([1, 0], known.sum())
    assert roc_auc_score(labels, np.concatenate([usual[known], of_table.score_samples(swapped)[known]])) > 0.85
    assert (of_table.predict(unseen) == -1).mean() > 0.9


def test_a_missing_value_says_nothing(of_table):
    frame = mixed(100, seed=5)
    spoilt = frame.assign(height=frame["height"] + 10)
    assert (of_table.predict(spoilt) == -1).mean() > 0.9
    assert (of_table.predict(spoilt.assign(height=np.nan)) == -1).mean() < 0.4
    nothing = pd.DataFrame({name: [None] for name in frame.columns}).astype({"age": float})
    assert of_table.score_samples(nothing.astype(frame.dtypes.drop("smokes")))[0] == 0
    shares = of_table.explain(frame.assign(height=np.nan), top=None).set_index("feature")["share"]
    assert (shares["height"] == 0).all()


def test_arrays_may_lack_values_in_training_or_later(fitted):
    rng = np.random.default_rng(0)
    gaps = np.where(rng.random(X.shape) < 0.1, np.nan, X)
    model = detector().fit(gaps)
    holes = np.where(rng.random(FRESH.shape) < 0.1, np.nan, FRESH)
    both = np.concatenate([holes, np.where(np.isnan(holes), np.nan, OFF)])
    labels = np.repeat([1, 0], 400)
    assert roc_auc_score(labels, model.score_samples(both)) > 0.85
    assert roc_auc_score(labels, fitted["whitened"].score_samples(both)) > 0.75
    np.testing.assert_allclose(model.score_samples(gaps.tolist()), model.score_samples(gaps))


def test_where_a_gap_would_be_taken_for_a_value_it_is_refused():
    model = detector(autoencoder=Autoencoder(4, scale="minmax", training=QUICK)).fit(X)
    with pytest.raises(InvalidData, match="X holds NaN in row 0"):
        model.predict(np.full((1, 6), np.nan))
    with pytest.raises(InvalidData, match="X holds infinity"):
        detector().fit(np.where(X > 2, np.inf, X))


def test_frames_of_polars_and_nullable_columns_are_the_same_table(of_table):
    frame = mixed(50, seed=6)
    scores = of_table.score_samples(frame)
    np.testing.assert_allclose(of_table.score_samples(frame.convert_dtypes()), scores)
    np.testing.assert_allclose(of_table.score_samples(frame.astype({"ward": "category"})), scores)
    records = {name: [None if pd.isna(v) else v for v in column] for name, column in frame.items()}
    np.testing.assert_allclose(of_table.score_samples(pl.DataFrame(records)), scores)


def test_columns_are_known_by_name(of_table):
    frame = mixed(5, seed=3)
    with pytest.raises(InvalidData, match="feature names"):
        of_table.predict(frame.rename(columns={"age": "years"}))
    with pytest.raises(InvalidData, match="feature names"):
        of_table.predict(frame[frame.columns[::-1]])
    with pytest.raises(InvalidData, match="feature names"):
        of_table.predict(frame.drop(columns="age"))
    with pytest.raises(InvalidData, match="X must be such a frame"):
        of_table.predict(np.zeros((5, 6)))
    with pytest.raises(InvalidData, match="Column 'age' held numbers when the model was fitted"):
        of_table.predict(frame.assign(age="old"))
    numbers = detector().fit(pd.DataFrame(X, columns=list("abcdef")))
    assert numbers.table_ is None
    with pytest.raises(InvalidData, match="feature names"):
        numbers.predict(pd.DataFrame(X, columns=list("abcdfe")))
