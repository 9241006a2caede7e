"""The detector that the documentation makes of embudo's keeps the promises that PyOD's tests hold detectors to."""

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

pytest.importorskip("pyod", reason="pip install pyod")
from pyod.utils.data import generate_data

GUIDE = Path(__file__).parents[2] / "docs" / "migrating.md"
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:The cost of rejection")
TRAINED, NEW = 200, 100


@pytest.fixture(scope="module")
def data():
    return generate_data(n_train=TRAINED, n_test=NEW, n_features=10, contamination=0.1, random_state=42)


@pytest.fixture(scope="module")
def detector(data):
    (code,) = re.findall(r"```python\n([^`]*BaseDetector[^`]*)```", GUIDE.read_text())
    names = {}
    exec(code, names)
    return names["EmbudoDetector"](random_state=0).fit(data[0])


def test_what_is_learnt_of_the_training_samples(detector, data):
    assert detector.decision_scores_.shape == detector.labels_.shape == (TRAINED,)
    assert detector.labels_.sum() == pytest.approx(0.1 * TRAINED, abs=1)
    assert all(np.isfinite(value) for value in (detector.threshold_, detector._mu, detector._sigma))
    assert detector.history_["loss"]
    np.testing.assert_array_equal(detector.decision_function(data[0]), detector.decision_scores_)


def test_anomalies_score_higher_and_are_labelled_one(detector, data):
    _, X, _, y = data
    assert roc_auc_score(y, detector.decision_function(X)) >= 0.8
    assert set(detector.predict(X)) == {0, 1}
    assert detector.predict(X)[y == 1].mean() > detector.predict(X)[y == 0].mean()


@pytest.mark.parametrize("method", ["linear", "unify"])
def test_probabilities(detector, data, method):
    probabilities, confidence = detector.predict_proba(data[1], method=method, return_confidence=True)
    assert probabilities.shape == (NEW, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    for values in (probabilities, confidence):
        assert 0 <= values.min() <= values.max() <= 1


def test_an_unknown_method_is_refused(detector, data):
    with pytest.raises(ValueError, match="something"):
        detector.predict_proba(data[1], method="something")


def test_labels_with_confidence_and_with_rejection(detector, data):
    labels, confidence = detector.predict(data[1], return_confidence=True)
    assert labels.shape == confidence.shape == (NEW,)
    assert 0 <= confidence.min() <= confidence.max() <= 1
    labels, (expected, bound, cost) = detector.predict_with_rejection(data[1], return_stats=True)
    assert labels.shape == (NEW,)
    assert 0 <= expected <= 1
    assert 0 <= bound <= 1
    assert cost >= 0


@pytest.mark.parametrize("normalized", [False, True])
def test_ranks_among_the_training_samples_follow_the_scores(detector, data, normalized):
    ranks = detector._predict_rank(data[1], normalized=normalized)
    assert (np.diff(ranks[np.argsort(detector.decision_function(data[1]))]) >= 0).all()
    assert 0 <= ranks.min() <= ranks.max() <= (1 if normalized else TRAINED)


def test_clones_learn_the_same(detector, data):
    again = clone(detector)
    with warnings.catch_warnings(action="ignore"):
        labels = again.fit_predict(data[0])
        assert again.fit_predict_score(*data[1::2], scoring="prc_n_score") >= 0.8
        with pytest.raises(NotImplementedError):
            again.fit_predict_score(*data[1::2], scoring="something")
    np.testing.assert_array_equal(labels, detector.labels_)
