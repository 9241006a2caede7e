"""Classes of data larger than memory, of which labels are held, and samples are not."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from zoo import STACKS

from embudo import Adam, Autoencoder, AutoencoderClassifier, Training, stream
from embudo.apps import classification
from embudo.data.streams import Stream

X, Y = load_digits(return_X_y=True)
X = (X / 16).astype(np.float32)
LEARNT, FRESH = slice(0, 1000), slice(1000, None)
WINDOW = 2**15  #: bytes, of 256,000 that are learnt
FEW = np.where(np.arange(1000) % 10, -1, Y[LEARNT])
ONCE = Training(1, batch_size=50)


def streamed(rows):
    return stream(np.array_split(rows, 9), window=WINDOW)


def model(**params):
    ae = Autoencoder(30, code_activation="relu", training=Training(5, batch_size=50))
    training = Training(10, batch_size=50, optimizer=Adam(1e-3))
    return AutoencoderClassifier(**{"autoencoder": ae, "training": training, "random_state": 0, **params})


@pytest.fixture(autouse=True)
def _short_softmax(monkeypatch):
    monkeypatch.setattr(classification, "HEAD_TRAINING", Training(steps=100))


@pytest.fixture
def held(monkeypatch):
    """Samples of a stream that were read into one array, each time."""
    numbers, load = [], Stream.load
    monkeypatch.setattr(Stream, "load", lambda self: numbers.append(self.shape[0]) or load(self))
    return numbers


@pytest.mark.parametrize("labels", [Y[LEARNT], FEW], ids=["all", "few"])
@pytest.mark.parametrize("params", [{}, {"fine_tune": False}, {"pretrain": False}])
def test_a_stream_is_learnt_as_well_as_the_array(labels, params, held):
    of_array, of_stream = (model(**params).fit(rows, labels) for rows in (X[LEARNT], streamed(X[LEARNT])))
    assert of_stream.score(X[FRESH], Y[FRESH]) > of_array.score(X[FRESH], Y[FRESH]) - 0.05
    assert held == []
    logits = of_stream.decision_function(streamed(X[FRESH]))
    np.testing.assert_array_equal(logits, of_stream.decision_function(X[FRESH]))
    assert of_stream.score(streamed(X[FRESH]), Y[FRESH]) == of_stream.score(X[FRESH], Y[FRESH])


def test_the_weights_are_those_of_the_array_where_order_is_nothing(monkeypatch):
    whole = Training(20, batch_size=1000)
    monkeypatch.setattr(classification, "HEAD_TRAINING", whole)
    ae = Autoencoder(30, code_activation="relu", training=whole)
    for labels in (Y[LEARNT], FEW):
        both = [model(autoencoder=ae, training=whole).fit(rows, labels) for rows in (X[LEARNT], streamed(X[LEARNT]))]
        np.testing.assert_allclose(*(clf.history_["loss"] for clf in both), rtol=1e-3)
        np.testing.assert_allclose(*(clf.predict_proba(X[FRESH]) for clf in both), atol=1e-2)


@pytest.mark.parametrize("rows", [streamed, np.asarray], ids=["stream", "array"])
def test_what_is_held_out_is_measured(rows):
    training = Training(6, batch_size=50, optimizer=Adam(1e-2), validation_fraction=0.6, patience=2)
    held_out = model(training=training)
    accuracies = held_out.fit(streamed(X[LEARNT]), Y[LEARNT]).history_["validation_accuracy"]
    assert accuracies[-1] > 0.7
    given = clone(held_out).set_params(training__validation_fraction=0)
    given.fit(streamed(X[LEARNT]), FEW, X_val=(rows(X[FRESH]), Y[FRESH]))
    best = max(given.history_["validation_accuracy"])
    assert best == pytest.approx(given.score(X[FRESH], Y[FRESH]), abs=0.01)


def test_labels_stay_with_their_samples():
    """Of which each class is one point, and nothing else tells them apart."""
    rows = np.repeat(np.eye(5, dtype=np.float32), 400, axis=0)
    labels = np.repeat(list("abcde"), 400)
    training = Training(6, batch_size=50, optimizer=Adam(1e-2))
    clf = model(autoencoder=Autoencoder(5, scale=None, training=ONCE), training=training)
    clf.fit(stream(rows, window=2**14), labels)
    assert clf.score(rows, labels) == 1


def test_stacks_images_and_runs(tmp_path):
    images = (X[:300] * 255).astype(np.uint8).reshape(-1, 8, 8, 1)
    clf = model(autoencoder=STACKS["stack"], training=ONCE).set_params(training__run_dir=tmp_path / "run")
    one, other = (clone(clf).fit(stream(images, window=2**12), Y[:300]) for _ in range(2))
    assert one.sample_shape_ == (8, 8, 1)
    np.testing.assert_array_equal(one.predict_proba(images), other.predict_proba(stream(images, window=2**12)))
