"""The classifier: pretrained on all samples, fine-tuned on those with labels."""

import copy
import pickle

import numpy as np
import pytest
import torch
from forging import put_together, taken_apart
from interruption import epochs_begun
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks
from zoo import QUICK, STACKS

from embudo import (
    Adam,
    Autoencoder,
    AutoencoderClassifier,
    GaussianNoise,
    MaskingNoise,
    TopK,
    Training,
    denoising_autoencoder,
    load,
)
from embudo.apps import classification
from embudo.errors import FileFormatError, InvalidData, InvalidParameter, TrainingInterrupted

X, Y = load_digits(return_X_y=True)
X = X / 16
LEARNT, FRESH = slice(0, 1000), slice(1000, None)
SMALL = Autoencoder(30, code_activation="relu", training=QUICK)
FAST = Training(20, batch_size=16, optimizer=Adam(1e-2))
QUICKLY = Training(30, batch_size=32, optimizer=Adam(1e-3))


def classifier(**params):
    return AutoencoderClassifier(**{"autoencoder": SMALL, "training": QUICKLY, "random_state": 0, **params})


def few_labels(n):
    """Return the labels of the samples to learn from, of which all but the first n are not known."""
    return np.where(np.arange(1000) < n, Y[LEARNT], -1)


@pytest.fixture(autouse=True)
def _short_softmax(monkeypatch):
    """A tenth of the steps for the softmax layer before it is fine-tuned: they are most of what a fit takes."""
    monkeypatch.setattr(classification, "HEAD_TRAINING", Training(steps=200))


@parametrize_with_checks(
    [
        AutoencoderClassifier(Autoencoder(10, code_activation="relu", training=QUICK), training=FAST, random_state=0),
        AutoencoderClassifier(Autoencoder(8, training=QUICK), fine_tune=False, training=FAST, random_state=0),
    ]
)
def test_scikit_learns_checks_pass(estimator, check):
    check(estimator)


def test_unlabelled_samples_help():
    ae = denoising_autoencoder(100, training=Training(30, batch_size=32))
    errors = {
        name: 1 - classifier(autoencoder=ae, **params).fit(X[LEARNT], few_labels(40)).score(X[FRESH], Y[FRESH])
        for name, params in {"pretrained": {}, "random": {"pretrain": False}}.items()
    }
    assert errors["pretrained"] < errors["random"]


def test_the_default_keeps_its_units_alive_on_images():
    images = np.kron((X[:300].reshape(-1, 8, 8) * 255).astype(np.uint8), np.ones((1, 4, 4), np.uint8))
    model = AutoencoderClassifier(random_state=0).set_params(autoencoder__training=Training(20), training=Training(20))
    codes = model.fit(images, Y[:300]).autoencoder_.transform(images)
    assert (np.ptp(codes, axis=0) > 0).all()
    assert model.score(images, Y[:300]) > 0.95


def test_all_samples_are_pretrained_on_and_only_the_labelled_fine_tuned_on(monkeypatch):
    seen = []
    fit = Autoencoder.fit
    monkeypatch.setattr(Autoencoder, "fit", lambda self, X, **kw: seen.append(len(X)) or fit(self, X, **kw))
    y = few_labels(64)
    model = classifier().fit(X[LEARNT], y)
    assert seen == [1000]
    only = classifier(autoencoder=FrozenEstimator(clone(SMALL).set_params(random_state=model.seed_).fit(X[LEARNT])))
    np.testing.assert_array_equal(only.fit(X[:64], Y[:64]).predict_proba(X), model.predict_proba(X))


def test_the_softmax_alone_is_logistic_regression_on_codes():
    ae = clone(SMALL).set_params(random_state=0).fit(X)
    long = Training(500, batch_size=100, optimizer=Adam(1e-2))
    head = classifier(autoencoder=FrozenEstimator(ae), fine_tune=False, training=long).fit(X[LEARNT], Y[LEARNT])
    peer = LogisticRegression(C=np.inf, max_iter=5000).fit(ae.transform(X[LEARNT]), Y[LEARNT])
    np.testing.assert_array_equal(head.autoencoder_.transform(X), ae.transform(X))
    assert head.score(X[FRESH], Y[FRESH]) == pytest.approx(peer.score(ae.transform(X[FRESH]), Y[FRESH]), abs=0.05)


def test_the_softmax_learns_before_the_encoder_does(monkeypatch):
    """Where the encoder hardly moves, the classifier is the one on fixed codes; from random weights it is not."""
    monkeypatch.undo()  # all its steps
    ae = clone(SMALL).set_params(random_state=0).fit(X)
    still = Training(1, batch_size=500, optimizer=Adam(1e-9))
    peer = LogisticRegression(C=np.inf, max_iter=5000).fit(ae.transform(X[LEARNT]), Y[LEARNT])
    score = peer.score(ae.transform(X[FRESH]), Y[FRESH])
    given = classifier(autoencoder=FrozenEstimator(ae), training=still).fit(X[LEARNT], Y[LEARNT])
    random = classifier(autoencoder=SMALL, pretrain=False, training=still).fit(X[LEARNT], Y[LEARNT])
    assert given.score(X[FRESH], Y[FRESH]) == pytest.approx(score, abs=0.05)
    assert random.score(X[FRESH], Y[FRESH]) < score - 0.3
    assert len(given.history_["loss"]) == 1


def test_the_gradient_reaches_the_encoder_and_leaves_a_frozen_one_as_it_was():
    ae = clone(SMALL).set_params(random_state=0).fit(X)
    before = ae.transform(X)
    model = classifier(autoencoder=FrozenEstimator(ae)).fit(X[LEARNT], Y[LEARNT])
    np.testing.assert_array_equal(ae.transform(X), before)
    assert not np.allclose(model.autoencoder_.transform(X), before)
    assert model.module_.encoder is model.autoencoder_.module_.encoder


def test_probabilities_are_the_softmax_of_the_logits():
    model = classifier().fit(X[LEARNT], Y[LEARNT])
    logits = model.module_(torch.from_numpy(X.astype(np.float32))).detach().double()
    np.testing.assert_allclose(model.predict_proba(X), logits.softmax(1).numpy(), atol=1e-5)
    np.testing.assert_array_equal(model.predict(X), model.predict_proba(X).argmax(1))
    np.testing.assert_allclose(model.decision_function(X), logits.numpy(), atol=1e-4)


def test_patience_keeps_the_epoch_of_the_highest_validation_accuracy():
    training = Training(40, batch_size=32, optimizer=Adam(1e-2), patience=5)
    model = classifier(training=training).fit(X[:300], Y[:300], X_val=(X[FRESH], Y[FRESH]))
    accuracies = model.history_["validation_accuracy"]
    assert len(accuracies) < 40
    assert model.score(X[FRESH], Y[FRESH]) == pytest.approx(max(accuracies), abs=1e-6)


def test_a_share_of_the_labelled_is_held_out_class_by_class(monkeypatch):
    split = []
    fit = AutoencoderClassifier._fit_classifier
    monkeypatch.setattr(
        AutoencoderClassifier,
        "_fit_classifier",
        lambda self, learnt, held_out, weights: (
            split.append((learnt, held_out)) or fit(self, learnt, held_out, weights)
        ),
    )
    model = classifier(training=QUICKLY.with_params(validation_fraction=0.25)).fit(X[LEARNT], few_labels(400))
    (learnt, held_out) = split[0]
    assert (len(learnt[1]), len(held_out[1])) == (300, 100)
    assert np.abs(np.bincount(learnt[1]) - 3 * np.bincount(held_out[1])).max() <= 3
    assert not set(map(bytes, learnt[0])) & set(map(bytes, held_out[0]))
    assert "validation_accuracy" in model.history_


def test_class_weights_favour_the_rare():
    rare = np.concatenate([np.flatnonzero(Y[LEARNT] == 8)[:8], np.flatnonzero(Y[LEARNT] == 1)])
    fresh = np.flatnonzero(Y[FRESH] == 8) + 1000
    found = [
        (
            classifier(class_weight=weight, training=QUICKLY.with_params(epochs=10))
            .fit(X[rare], Y[rare])
            .predict(X[fresh])
            == 8
        ).mean()
        for weight in (None, {1: 1.0, 8: 100.0})
    ]
    assert found[1] > found[0]


@pytest.mark.parametrize(("autoencoder", "n_stages"), [(SMALL, 3), (STACKS["stack"], 5)])
def test_a_classifier_that_was_stopped_goes_on_at_its_stage(autoencoder, n_stages, tmp_path, monkeypatch):
    training, y = QUICKLY.with_params(epochs=3, run_dir=tmp_path), few_labels(100)
    monkeypatch.setattr(classification, "HEAD_TRAINING", QUICKLY.with_params(epochs=3))
    whole = classifier(autoencoder=autoencoder, training=training.with_params(run_dir=None)).fit(X[LEARNT], y)
    for stage in range(n_stages):  # each in its second epoch, after what is left of the one before
        with epochs_begun(stop=4 if stage else 2) as begun, pytest.warns(TrainingInterrupted):
            model = classifier(autoencoder=autoencoder, training=training).fit(X[LEARNT], y)
        assert begun == [*([2, 3] if stage else []), 1, 2]
        assert bool(model.history_) == (stage == n_stages - 1)  # labels come last
    with epochs_begun() as begun:
        again = classifier(autoencoder=autoencoder, training=training).fit(X[LEARNT], y)
    assert begun == [2, 3]
    np.testing.assert_array_equal(again.predict_proba(X), whole.predict_proba(X))
    assert again.autoencoder_.training == autoencoder.training
    assert sorted(path.name for path in tmp_path.iterdir()) == ["autoencoder", "classifier", "softmax"]


@pytest.mark.parametrize("name", STACKS)
def test_any_stack_is_classified_from(name):
    model = classifier(autoencoder=STACKS[name]).fit(X[LEARNT], few_labels(300))
    assert model.score(X[FRESH], Y[FRESH]) > 0.25
    random = classifier(autoencoder=STACKS[name], pretrain=False).fit(X[LEARNT], few_labels(300))
    assert [name for name, _ in random.autoencoder_.layers_] == [name for name, _ in STACKS[name].layers]


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"autoencoder": None},
        {"autoencoder": STACKS["deep"]},
        {"autoencoder": SMALL.__class__(40, sparsity=TopK(10), training=QUICK), "corruption": GaussianNoise(0.1)},
        {"fine_tune": False, "class_weight": "balanced"},
        {"class_weight": {"zero": 3.0, "one": 1, "two": 1, "three": 1}},
        {"training": Training(5, precision="float64", validation_fraction=0.2, patience=2)},
    ],
)
def test_files_copies_and_clones_agree(params, tmp_path):
    names = np.array(["zero", "one", "two", "three"], dtype=object)
    few = np.flatnonzero(Y < 4)
    y = np.where(np.arange(len(few)) < 200, names[Y[few]], None)
    model = classifier(**params).fit(X[few], y)
    expected = model.predict_proba(X)
    model.save(tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    for other in (again, pickle.loads(pickle.dumps(model)), copy.deepcopy(model), clone(model).fit(X[few], y)):
        np.testing.assert_array_equal(other.predict_proba(X), expected)
        np.testing.assert_array_equal(other.classes_, model.classes_)
    assert {k: repr(v) for k, v in again.get_params().items()} == {k: repr(v) for k, v in model.get_params().items()}
    assert again.history_ == model.history_


def test_a_frozen_autoencoder_comes_back_frozen(tmp_path):
    model = classifier(autoencoder=FrozenEstimator(clone(SMALL).fit(X))).fit(X[LEARNT], Y[LEARNT])
    model.save(tmp_path / "model.safetensors")
    assert isinstance(load(tmp_path / "model.safetensors").autoencoder, FrozenEstimator)


def test_a_file_whose_classes_do_not_fit_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    classifier().fit(X[LEARNT], Y[LEARNT]).save(path)
    card, tensors = taken_apart(path)
    for change in (
        {"classes": [1, 2]},
        {"classes": card["classes"][::-1]},
        {"classes_type": "|O"},
        {"classes": None},
        {"inner": []},
    ):
        put_together(path, card | change, tensors)
        with pytest.raises(FileFormatError, match="damaged"):
            load(path)
    tensors["head.bias"][0] = torch.nan
    put_together(path, card, tensors)
    with pytest.raises(FileFormatError, match="A weight of its softmax is not finite"):
        load(path)
    tensors["head.\0"] = torch.nan_to_num(tensors.pop("head.bias"))
    put_together(path, card, tensors)
    with pytest.raises(FileFormatError, match=r"\\x00"):
        load(path)


def test_minus_one_is_a_class_where_only_one_other_value_is_there():
    y = np.where(Y[LEARNT] < 5, -1, 1)
    model = classifier().fit(X[LEARNT], y)
    assert list(model.classes_) == [-1, 1]
    assert model.score(X[FRESH], np.where(Y[FRESH] < 5, -1, 1)) > 0.8


def test_nested_parameters_reach_the_autoencoder_and_search():
    grid = {"autoencoder__n_components": [2, 30], "autoencoder__corruption": [MaskingNoise(0.2)]}
    search = GridSearchCV(classifier(), grid, cv=2).fit(X[:400], Y[:400])
    assert search.best_params_["autoencoder__n_components"] == 30
    bare = AutoencoderClassifier().set_params(autoencoder__n_components=5)
    assert bare.autoencoder.n_components == 5
    assert AutoencoderClassifier().autoencoder is None


@pytest.mark.parametrize(
    ("y", "X_val", "sentence"),
    [
        (None, None, "requires y"),
        (Y[:5], None, "one label for each of the 1000 samples of X; got 5"),
        (np.full(1000, -1), None, "no label"),
        (np.linspace(0, 1, 1000), None, "continuous"),
        (np.full(1000, np.nan), None, "NaN"),
        (Y[LEARNT], X[:5], r"pair \(X, y\)"),
        (Y[LEARNT], (X[:5], Y[:4]), "5 samples and 4 labels"),
        (Y[LEARNT], (X[:1], [77]), "label 77"),
    ],
)
def test_labels_that_make_no_sense_are_refused(y, X_val, sentence):
    with pytest.raises(InvalidData, match=sentence):
        classifier().fit(X[LEARNT], y, X_val=X_val)


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"autoencoder": 3}, "must be an Autoencoder"),
        ({"class_weight": "even"}, "class_weight"),
        ({"fine_tune": "all"}, "fine_tune must be one of"),
        ({"pretrain": None}, "pretrain must be one of"),
        ({"fine_tune": False, "corruption": MaskingNoise(0.1)}, "codes are not corrupted"),
        ({"corruption": 0.3}, "corruption must be a part"),
        ({"training": QUICKLY.with_params(patience=3)}, "needs validation"),
        ({"training": QUICKLY.with_params(validation_fraction=0.0001)}, "leaves 0 to validate on"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(params, sentence):
    with pytest.raises(InvalidParameter, match=sentence):
        classifier(**params).fit(X[LEARNT], Y[LEARNT])


def test_a_frozen_autoencoder_of_other_features_is_refused():
    with pytest.raises(InvalidData, match="has learnt from 10 features; X has 64"):
        classifier(autoencoder=FrozenEstimator(clone(SMALL).fit(X[:, :10]))).fit(X, Y)
