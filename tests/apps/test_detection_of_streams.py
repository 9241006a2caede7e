"""Anomalies in data larger than memory: what is learnt, how it is scored, what is held."""

import numpy as np
import pandas as pd
import pytest
from anomalies import FRESH, OFF, X, criteria, detector, mixed
from sklearn.metrics import roc_auc_score

from embudo import MLP, Autoencoder, ConvNet, StackedAutoencoder, Training, stream
from embudo.apps.scores import SCORES
from embudo.data.streams import Stream
from embudo.data.tables import TableEncoder
from embudo.errors import InvalidData

WINDOW = 2**12  #: bytes, of 19200 that X has
GAPS = np.where(np.random.default_rng(3).random(X.shape) < 0.05, np.nan, X)
#: learns from all samples at once, so that their order is nothing but rounding
WHOLE = Autoencoder(3, encoder=MLP(8), scale="standard", training=Training(30, batch_size=400))


def streamed(rows):
    return stream(np.array_split(rows, 5), window=WINDOW)


@pytest.mark.parametrize(
    ("rows", "params"),
    [
        *((X, {"criterion": criterion}) for criterion in SCORES),
        (X, {"trimming": 0.1, "contamination": 0.1, "n_subsampled": 1, "criterion": "squared"}),
        (GAPS, {"n_estimators": 2, "criterion": "whitened", "contamination": 0}),
        (GAPS, {"trimming": 0.1}),
    ],
)
def test_a_stream_is_judged_as_the_array_is_where_order_is_nothing(rows, params):
    params = {"autoencoder": WHOLE, **params}
    expected, got = detector(**params).fit(rows), detector(**params).fit(streamed(rows))
    np.testing.assert_allclose(got.score_samples(FRESH), expected.score_samples(FRESH), rtol=0.02)
    assert got.offset_ == pytest.approx(expected.offset_, rel=0.02)
    assert (got.table_ is None) == (expected.table_ is None)


def test_anomalies_are_found_as_well_in_another_order():
    labels = np.repeat([1, 0], len(FRESH))
    areas = [
        roc_auc_score(labels, detector(n_subsampled="auto").fit(rows).score_samples(np.concatenate([FRESH, OFF])))
        for rows in (X, streamed(X))
    ]
    assert areas[1] > areas[0] - 0.01


@criteria
def test_scores_flags_and_reasons_are_bit_for_bit_those_of_the_array(criterion, fitted):
    model = fitted[criterion]
    for method in (model.score_samples, model.decision_function, model.predict):
        np.testing.assert_array_equal(method(streamed(FRESH)), method(FRESH))
    np.testing.assert_array_equal(model.score_samples(iter([FRESH[:30], FRESH[30:]])), model.score_samples(FRESH))
    pd.testing.assert_frame_equal(model.explain(streamed(FRESH)), model.explain(FRESH))


def test_a_threshold_is_calibrated_by_a_stream():
    one, other = (detector(contamination=0).fit(X).calibrate(rows, 0.05) for rows in (FRESH, streamed(FRESH)))
    assert one.offset_ == other.offset_
    np.testing.assert_array_equal(one.p_values(OFF), other.p_values(streamed(OFF)))


def test_no_more_than_a_few_samples_are_held(monkeypatch):
    held = []
    original = Stream.__getitem__
    monkeypatch.setattr(Stream, "load", None)
    monkeypatch.setattr(
        Stream, "__getitem__", lambda self, indices: held.append(len(indices)) or original(self, indices)
    )
    rows = np.concatenate([X, FRESH] * 4)
    few = Autoencoder(2, training=Training(1))
    detector(autoencoder=few, trimming=0.1, n_subsampled=2, contamination=0.1, criterion="squared").fit(streamed(rows))
    assert held == [0, 16, 0, 16, 0] * 2
    held.clear()
    detector(autoencoder=few, n_estimators=2).fit(streamed(rows))
    assert held == [2000, 2000, 2000]  # of 3200, for each score and the threshold


def test_missing_values_of_a_stream_are_those_of_the_array(tmp_path):
    frame = mixed(400).drop(columns=["ward", "smokes"])
    frame["n"] = pd.array(np.where(np.arange(400) % 7, np.arange(400), None), dtype="Int64")
    frame.to_parquet(tmp_path / "x.parquet", row_group_size=50)
    rows = stream(tmp_path / "x.parquet", window=WINDOW)
    assert not rows.fits
    expected, got = TableEncoder.fit(frame), TableEncoder.fit(rows)
    for one, other in zip(expected.columns, got.columns, strict=True):
        assert (one.name, one.missing) == (other.name, other.missing)
        np.testing.assert_allclose((one.mean, one.scale), (other.mean, other.scale), rtol=1e-12)
    model = detector(autoencoder=WHOLE).fit(rows)
    np.testing.assert_array_equal(model.score_samples(rows), model.score_samples(frame))
    with pytest.raises(InvalidData, match=r"^X holds NaN in row 0, column 'n': drop or fill"):
        Autoencoder(2).fit(rows)  # although a detector has passed over it


def test_values_may_be_missing_that_were_not_in_training(fitted):
    np.testing.assert_array_equal(*(fitted["squared"].score_samples(rows) for rows in (GAPS, streamed(GAPS))))
    unscaled = detector(autoencoder=SCALELESS).fit(streamed(X))
    with pytest.raises(InvalidData, match=r"^X holds NaN in row"):
        unscaled.score_samples(streamed(GAPS))


SCALELESS = Autoencoder(2, scale=None, training=Training(1))


def test_images_and_stacks():
    images = np.random.default_rng(0).integers(0, 256, (300, 6, 6, 1), np.uint8)
    few = Training(2)
    for autoencoder in (
        Autoencoder(4, encoder=ConvNet((4,)), training=few),
        StackedAutoencoder([("a", Autoencoder(8, training=few)), ("b", Autoencoder(4, training=few))], training=few),
    ):
        model = detector(autoencoder=autoencoder, n_subsampled=1).fit(streamed(images))
        assert model.sample_shape_ == (6, 6, 1)
        np.testing.assert_array_equal(model.score_samples(images), model.score_samples(streamed(images)))


def test_chunks_may_be_streams_or_come_from_an_iterator():
    one, other = detector(), detector().partial_fit(iter(np.array_split(X, 3)))
    for chunk in np.array_split(X, 3):
        one.partial_fit(chunk)
    np.testing.assert_array_equal(one.score_samples(FRESH), other.score_samples(FRESH))
    assert one.offset_ == other.offset_
    model = detector(autoencoder=WHOLE).partial_fit(streamed(X)).partial_fit(streamed(FRESH))
    assert len(model.history_["loss"]) == 2
    assert np.isfinite(model.offset_)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (np.where(np.arange(6) == 2, np.nan, X), "^Column '2' holds no value in any row: drop it"),
        (np.where(np.arange(6) == 2, np.inf, X), "^X holds infinity in row 0, column 2"),
        (np.full((300, 4, 4), np.nan), "^X holds NaN in row 0, column 0: drop or fill"),
    ],
    ids=["an empty column", "infinity", "images with gaps"],
)
def test_what_cannot_be_learnt_from_is_said(rows, words):
    with pytest.raises(InvalidData, match=words):
        detector().fit(streamed(rows))


def test_a_table_of_categories_does_not_come_as_a_stream():
    model = detector(autoencoder=WHOLE).fit(mixed(100))
    with pytest.raises(InvalidData, match=r"^AnomalyDetector has learnt from a frame with categories: X must be such"):
        model.score_samples(streamed(X))
