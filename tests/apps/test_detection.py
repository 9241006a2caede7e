"""The detector: scikit-learn's contract, what its scores mean, promises kept on new samples, and known traps."""

import copy
import json
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import safetensors.torch
import scipy.sparse
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits, make_blobs
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.utils.estimator_checks import parametrize_with_checks
from zoo import QUICK, STACKS

from embudo import AnomalyDetector, Autoencoder, ConvNet, GaussianNoise, Training, load
from embudo.apps.judgement import Judges, scaled
from embudo.apps.scores import SCORES, passed
from embudo.errors import FileFormatError, InvalidData, InvalidParameter

RNG = np.random.default_rng(0)
MIXING = RNG.normal(size=(2, 6))
SHORT = Autoencoder(16, code_activation="tanh", corruption=GaussianNoise(0.2), scale="standard", training=Training(25))
criteria = pytest.mark.parametrize("criterion", SCORES)


def normal(n, seed=1):
    """Points near a plane in six dimensions."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 2)) @ MIXING + 0.1 * rng.normal(size=(n, 6))


X = normal(400)
FRESH = normal(400, seed=2)
OFF = RNG.permuted(FRESH, axis=0)  # each feature as usual, but not together


def detector(**params):
    return AnomalyDetector(**{"autoencoder": SHORT, "n_subsampled": 0, "random_state": 0, **params})


def mixed(n, seed=1):
    """A table whose category follows from its numbers, with gaps."""
    x = normal(n, seed)
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(x[:, :4], columns=["age", "height", "weight", "dose"])
    frame["ward"] = np.where(x[:, 0] > 0, "north", np.where(x[:, 1] > 0, "south", "east"))
    frame["smokes"] = x[:, 2] > 0
    frame.loc[rng.random(n) < 0.1, "dose"] = np.nan
    frame.loc[rng.random(n) < 0.1, "ward"] = None
    return frame


@pytest.fixture(scope="module")
def fitted():
    return {criterion: detector(criterion=criterion).fit(X) for criterion in SCORES}


@pytest.fixture(scope="module")
def of_table():
    return detector(contamination=0.05).fit(mixed(600))


# ------------------------------------------------------------------ scikit-learn's contract


@parametrize_with_checks(
    [
        AnomalyDetector(Autoencoder(8, training=Training(5)), criterion="whitened", n_subsampled=0, random_state=0),
        AnomalyDetector(
            Autoencoder(8, scale="standard", training=Training(5)),
            criterion="denoising",
            n_estimators=2,
            n_subsampled=1,
            trimming=0.1,
            contamination=0.1,
            random_state=0,
        ),
        AnomalyDetector(Autoencoder(8, training=Training(5)), criterion="density", contamination=0.2, random_state=0),
    ]
)
def test_scikit_learns_checks_pass(estimator, check):
    check(estimator)


@criteria
def test_scores_and_labels_have_scikit_learns_signs_and_types(criterion, fitted):
    model = fitted[criterion]
    scores, decisions, labels = model.score_samples(FRESH), model.decision_function(FRESH), model.predict(FRESH)
    assert scores.dtype == decisions.dtype == np.float64
    assert labels.dtype.kind == "i"
    np.testing.assert_array_equal(decisions, scores - model.offset_)
    np.testing.assert_array_equal(labels, np.where(decisions < 0, -1, 1))
    assert (scores <= 0).all()


@pytest.mark.parametrize(("contamination", "flagged"), [(0.1, 30), (0.5, 150), (0, 0), (1 / 300, 1)])
def test_contamination_is_the_share_of_the_training_samples_that_is_flagged(contamination, flagged):
    blobs, _ = make_blobs(300, random_state=0)
    labels = detector(contamination=contamination).fit_predict(blobs)
    assert np.count_nonzero(labels == -1) == flagged


def test_auto_flags_few_of_clean_samples_and_most_anomalies_among_them():
    clean = detector().fit_predict(X)
    assert 0 < np.mean(clean == -1) < 0.1
    polluted = np.concatenate([X, OFF[:20]])
    labels = detector().fit_predict(polluted)
    assert np.mean(labels[400:] == -1) > 0.5


@criteria
def test_a_sample_scores_the_same_whatever_stands_beside_it(criterion, fitted):
    model = fitted[criterion]
    together = model.score_samples(X)
    np.testing.assert_allclose([model.score_samples(x[None])[0] for x in X[:20]], together[:20], rtol=1e-9)
    np.testing.assert_allclose(model.score_samples(X[::-1])[::-1], together, rtol=1e-9)
    model = detector(criterion=criterion, contamination=0.1).fit(X)
    assert np.percentile(model.score_samples(X), 10) == model.offset_  # what training went by is what is found later


def test_the_seed_decides_and_global_generators_are_left_alone():
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    first, second, other = (detector(random_state=seed).fit(X).score_samples(FRESH) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, second)
    assert not np.allclose(first, other)
    np.testing.assert_array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[1])


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"contamination": 0.6}, 'contamination must be "auto", 0 for clean data, or a share .* up to 0.5; got 0.6'),
        ({"contamination": "some"}, "contamination must be"),
        ({"criterion": "whitend"}, "did you mean 'whitened'"),
        ({"n_estimators": 0}, "n_estimators must be an integer at least 1"),
        ({"n_subsampled": -1}, "n_subsampled .* must be an integer at least 0"),
        ({"trimming": 0.7}, "trimming must be a number"),
        ({"autoencoder": 3}, "autoencoder must be an Autoencoder, a StackedAutoencoder or None; got 3"),
    ],
)
def test_a_parameter_that_is_not_allowed_is_refused(params, words):
    with pytest.raises(InvalidParameter, match=words):
        detector(**params).fit(X)


# ------------------------------------------------------------------ what the scores mean


@criteria
def test_what_is_off_the_plane_scores_low(criterion, fitted):
    scores = fitted[criterion].score_samples(np.concatenate([FRESH, OFF]))
    assert roc_auc_score(np.repeat([1, 0], 400), scores) > 0.95


def test_squared_is_the_squared_error_between_scaled_values(fitted):
    model = fitted["squared"]
    (ae,) = model.autoencoders_
    alone = clone(SHORT).set_params(random_state=ae.random_state).fit(X)
    np.testing.assert_array_equal(alone.transform(X), ae.transform(X))
    errors = np.square((FRESH - ae.reconstruct(FRESH)) / ae.scaler_.scale).sum(axis=1)
    np.testing.assert_allclose(-model.score_samples(FRESH), errors, rtol=1e-6)


def test_whitened_residuals_of_what_was_held_out_have_variance_one(fitted):
    model = fitted["whitened"]
    (ae,), (score,) = model.autoencoders_, model.scores_
    z = scaled(ae, FRESH)
    whitened = score.whitening.apply(z - passed(ae, "forward", z))
    np.testing.assert_allclose(whitened.var(axis=0), 1, atol=0.5)
    assert -model.score_samples(FRESH).mean() == pytest.approx(6, rel=0.3)


def test_each_estimator_learns_all_but_one_part_and_is_measured_on_that(monkeypatch):
    seen = []
    fit = Autoencoder.fit
    monkeypatch.setattr(Autoencoder, "fit", lambda self, X: seen.append(X) or fit(self, X))
    model = detector(criterion="whitened", n_estimators=4).fit(X)
    assert [len(rows) for rows in seen] == [300] * 4
    counts = np.unique(np.concatenate(seen), axis=0, return_counts=True)[1]
    assert (counts == 3).all()
    single = [detector(criterion="whitened").fit(X), model]
    assert [len(m.autoencoders_) for m in single] == [1, 4]
    errors = [roc_auc_score(np.repeat([1, 0], 400), m.score_samples(np.concatenate([FRESH, OFF]))) for m in single]
    assert errors[1] > errors[0] - 0.01


def test_subsampled_autoencoders_learn_few_samples_and_count_as_much(monkeypatch):
    seen = []
    fit = Autoencoder.fit
    monkeypatch.setattr(Autoencoder, "fit", lambda self, X: seen.append(X) or fit(self, X))
    model = detector(n_estimators=2, n_subsampled=3).fit(X)
    assert [len(rows) for rows in seen] == [400, 400, 16, 16, 16]
    assert len(np.unique(np.concatenate(seen[2:]), axis=0)) > 40
    assert (model.n_subsampled_, len(model.autoencoders_)) == (3, 5)
    assert len(model.autoencoders_[-1].history_["loss"]) == 200
    errors = [
        Judges([ae], [score], 0, None).errors(FRESH)
        for ae, score in zip(model.autoencoders_, model.scores_, strict=True)
    ]
    expected = np.mean(errors[:2], axis=0) / 2 + np.mean(errors[2:], axis=0) / 2
    np.testing.assert_allclose(-model.score_samples(FRESH), expected)
    quick = clone(SHORT).set_params(training=QUICK)
    found = {c: AnomalyDetector(quick, contamination=c).fit(X).n_subsampled_ for c in ("auto", 0.1, 0)}
    assert found == {"auto": 4, 0.1: 4, 0: 0}


def test_trimming_leaves_out_the_samples_that_score_lowest(monkeypatch):
    seen = []
    fit = Autoencoder.fit
    monkeypatch.setattr(Autoencoder, "fit", lambda self, X: seen.append(X) or fit(self, X))
    polluted = np.concatenate([X, OFF[:40]])
    detector(criterion="squared", trimming=0.1).fit(polluted)
    assert [len(rows) for rows in seen] == [440, 396]
    left = (seen[1][:, None] == OFF[:40]).all(axis=2).any(axis=0)
    assert np.count_nonzero(left) < 20


# ------------------------------------------------------------------ promises on new samples


def test_no_more_than_the_rate_of_new_normal_samples_are_flagged(fitted):
    model = copy.deepcopy(fitted["whitened"])
    new = normal(2000, seed=9)
    for rate in (0.01, 0.05):
        shares = [np.mean(model.calibrate(normal(199, seed=100 + i), rate).predict(new) == -1) for i in range(30)]
        assert rate / 1.5 < np.mean(shares) < rate * 1.3


def test_p_values_are_at_most_the_rate_where_a_sample_is_flagged(fitted):
    model = copy.deepcopy(fitted["whitened"])
    with pytest.raises(NotFittedError, match=r"p_values needs a detector that is calibrated: call calibrate"):
        model.p_values(X)
    both = np.concatenate([FRESH, OFF])
    p = model.calibrate(normal(150, seed=5), 0.05).p_values(both)
    np.testing.assert_array_equal(model.predict(both) == -1, p <= 0.05)
    assert p.min() == 1 / 151
    known = model.calibration_.scores
    assert p[3] == (1 + np.sum(known <= model.score_samples(both[3:4]))) / 151


def test_too_few_samples_for_the_rate_are_refused(fitted):
    model = copy.deepcopy(fitted["whitened"])
    before = model.offset_
    with pytest.raises(
        InvalidData, match=r"false_alarm_rate=0.01 needs at least 99 normal samples to calibrate by; got 98"
    ):
        model.calibrate(FRESH[:98], 0.01)
    with pytest.raises(InvalidParameter, match="false_alarm_rate must be"):
        model.calibrate(FRESH, 0)
    assert model.offset_ == before
    assert model.calibrate(FRESH[:99], 0.01).offset_ == model.score_samples(FRESH[:99]).min()


# ------------------------------------------------------------------ explanations


def test_the_feature_that_was_changed_is_named_with_what_was_expected(fitted):
    spoilt = FRESH.copy()
    spoilt[np.arange(400), np.arange(400) % 6] += 5
    table = fitted["whitened"].explain(pd.DataFrame(spoilt, index=np.arange(400) + 1000).to_numpy(), top=1)
    assert np.mean(table["feature"] == np.arange(400) % 6) > 0.9
    right = table["feature"] == np.arange(400) % 6
    error = np.abs(table["expected"] - FRESH[np.arange(400), np.arange(400) % 6])[right]
    assert error.median() < np.abs(table["expected"] - table["value"])[right].median()


@criteria
def test_shares_of_all_features_add_up_to_one(criterion, fitted):
    table = fitted[criterion].explain(FRESH[:7], top=None)
    assert list(table.columns) == ["sample", "feature", "share", "value", "expected"]
    np.testing.assert_allclose(table.groupby("sample")["share"].sum(), 1)
    assert (table.groupby("sample")["share"].diff().dropna() <= 0).all()
    assert len(table) == 7 * 6
    with pytest.raises(InvalidParameter, match=r"top .* must be an integer"):
        fitted[criterion].explain(FRESH, top=0)


def test_a_frame_is_explained_by_its_names_and_index(of_table):
    frame = mixed(5, seed=3).set_index(pd.Index(["a", "b", "c", "d", "e"]))
    frame.loc["c", "ward"] = "moon"
    table = of_table.explain(frame, top=2)
    assert table["sample"].tolist() == ["a", "a", "b", "b", "c", "c", "d", "d", "e", "e"]
    strange = table[table["sample"] == "c"].iloc[0]
    assert (strange["feature"], strange["value"]) == ("ward", "moon")
    assert strange["expected"] in {"north", "south", "east"}


# ------------------------------------------------------------------ tables, and values that are missing


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
    gaps = np.where(RNG.random(X.shape) < 0.1, np.nan, X)
    model = detector().fit(gaps)
    holes = np.where(RNG.random(FRESH.shape) < 0.1, np.nan, FRESH)
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


# ------------------------------------------------------------------ traps


def test_fewer_samples_than_a_batch_and_than_parts_will_do():
    for n in (2, 3, 5, 11):
        model = detector(autoencoder=Autoencoder(3, training=Training(3, batch_size=64)), n_estimators=3).fit(X[:n])
        assert np.isfinite(model.score_samples(FRESH)).all()


@criteria
def test_a_constant_column_that_moves_a_little_does_not_explode(criterion):
    still = np.column_stack([X, np.full(400, 7.0)])
    model = detector(criterion=criterion).fit(still)
    moved = np.column_stack([FRESH, np.full(400, 7.001)])
    same = np.column_stack([FRESH, np.full(400, 7.0)])
    np.testing.assert_allclose(model.score_samples(moved), model.score_samples(same), rtol=0.2, atol=0.5)


def test_one_column_is_not_spread_over_six(fitted):
    with pytest.raises(InvalidData, match="X has 1 features, but AnomalyDetector is expecting 6 features"):
        fitted["whitened"].predict(X[:, :1])


# ------------------------------------------------------------------ compositions, files, streams


@pytest.mark.parametrize("criterion", SCORES)
@pytest.mark.parametrize("kind", ["array", "table", "stack", "images", "sparse"])
def test_a_file_and_a_copy_keep_every_bit(kind, criterion, tmp_path):
    digits = load_digits().images[:200]
    autoencoder = {"stack": STACKS["stack"], "images": Autoencoder(6, encoder=ConvNet((4, 6)), training=QUICK)}
    data = {
        "table": mixed(200),
        "stack": digits.reshape(200, -1),
        "images": digits,
        "sparse": scipy.sparse.csr_array(X),
    }
    rows = data.get(kind, X)
    small = autoencoder.get(kind, Autoencoder(4, corruption=GaussianNoise(0.1), training=QUICK))
    model = detector(autoencoder=small, criterion=criterion, n_subsampled=1).fit(rows).calibrate(rows, 0.1)
    model.save(tmp_path / "detector.safetensors")
    scores = model.score_samples(rows)
    for again in (load(tmp_path / "detector.safetensors"), pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(again.score_samples(rows), scores)
        np.testing.assert_array_equal(again.p_values(rows), model.p_values(rows))
        np.testing.assert_array_equal(again.predict(rows), model.predict(rows))
        pd.testing.assert_frame_equal(again.explain(rows), model.explain(rows))
        assert again.history_ == model.history_
    np.testing.assert_array_equal(clone(model).fit(rows).score_samples(rows), scores)


def test_sparse_samples_score_as_dense_ones():
    rows = np.where(X > 0.5, X, 0)
    dense, sparse = detector().fit(rows), detector().fit(scipy.sparse.csr_matrix(rows))
    np.testing.assert_allclose(sparse.score_samples(scipy.sparse.csr_matrix(FRESH)), dense.score_samples(FRESH), 1e-3)


def test_a_damaged_file_is_refused(tmp_path):
    quick = detector(criterion="whitened", autoencoder=clone(SHORT).set_params(training=QUICK)).fit(mixed(100))
    quick.save(tmp_path / "detector.safetensors")
    with safetensors.safe_open(tmp_path / "detector.safetensors", "pt") as file:
        tensors, card = {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()["embudo"])  # noqa: SIM118

    del card["checksum"]
    card["format_version"] = 1  # which has none

    def changed(tensors=tensors, **entries):
        path = tmp_path / "changed.safetensors"
        safetensors.torch.save_file(tensors, path, metadata={"embudo": json.dumps(card | entries)})
        return path

    assert load(changed()).offset_ == quick.offset_
    columns = [dict(column) for column in card["table"]]
    columns[4]["shares"] = [0.5]
    no_text = [dict(column) for column in card["table"]]
    no_text[4]["categories"] = ["\ud800", *no_text[4]["categories"][1:]]
    for path in (
        changed(tensors={**tensors, "score0.mean": tensors["score0.mean"][:3]}),
        changed(tensors={**tensors, "score0.mean": torch.full_like(tensors["score0.mean"], torch.nan)}),
        changed(tensors={k: v for k, v in tensors.items() if k != "score0.matrix"}),
        changed(table=None),
        changed(table=columns),
        changed(table=no_text),
        changed(offset=None),
        changed(false_alarm_rate=0.1),
    ):
        with pytest.raises(FileFormatError, match="is damaged or not a model"):
            load(path)


def test_a_stream_is_learnt_chunk_by_chunk():
    model = detector(autoencoder=clone(SHORT).set_params(training__batch_size=16))
    for chunk in np.split(normal(8000, seed=8), 20):
        model.partial_fit(chunk)
    scores = np.concatenate([model.score_samples(chunk) for chunk in np.split(np.concatenate([FRESH, OFF]), 8)])
    assert roc_auc_score(np.repeat([1, 0], 400), scores) > 0.95
    assert len(model._sample.rows) == 2000
    model.calibrate(FRESH)
    assert model.partial_fit(X).calibration_ is None
    assert 0 < np.mean(model.predict(FRESH) == -1) < 0.1
    both = detector(autoencoder=clone(SHORT).set_params(training=QUICK), n_subsampled=1).fit(X).partial_fit(X)
    assert (len(both.autoencoders_), both.n_subsampled_) == (1, 0)


def test_a_table_may_come_as_a_stream():
    model = detector(autoencoder=clone(SHORT).set_params(training__batch_size=16))
    for i in range(10):
        model.partial_fit(mixed(300, seed=i))
    fresh = mixed(300, seed=20)
    assert model.score_samples(fresh.assign(height=3)).mean() < model.score_samples(fresh).mean()
    with pytest.raises(InvalidParameter, match="partial_fit needs an Autoencoder"):
        detector(autoencoder=STACKS["stack"]).partial_fit(X)


def test_a_training_that_is_kept_in_a_folder_is_not_repeated(tmp_path, monkeypatch):
    kept = Autoencoder(8, training=Training(5, run_dir=tmp_path))
    first = detector(autoencoder=kept, n_estimators=2, trimming=0.1).fit(X)
    assert len(list(tmp_path.iterdir())) == 4
    again = detector(autoencoder=kept, n_estimators=2, trimming=0.1).fit(X)
    np.testing.assert_array_equal(again.score_samples(FRESH), first.score_samples(FRESH))
    with pytest.raises(InvalidParameter, match="run_dir needs a random_state"):
        detector(autoencoder=kept, random_state=None).fit(X)


def test_nested_parameters_reach_the_default_autoencoder():
    model = AnomalyDetector(n_subsampled=0, random_state=0).set_params(autoencoder__training__epochs=2)
    assert model.autoencoder.training.epochs == 2
    assert len(model.fit(X).history_["loss"]) == 2
