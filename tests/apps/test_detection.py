"""The detector: scikit-learn's contract, and known traps."""

import numpy as np
import pytest
import scipy.sparse
import torch
from anomalies import FRESH, OFF, X, criteria, detector
from sklearn.datasets import make_blobs
from sklearn.utils.estimator_checks import parametrize_with_checks

from embudo import AnomalyDetector, Autoencoder, Training
from embudo.apps import judgement
from embudo.errors import InvalidData, InvalidParameter


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
        AnomalyDetector(
            Autoencoder(8, training=Training(5)),
            criterion="density",
            n_subsampled=0,
            contamination=0.2,
            random_state=0,
        ),
    ]
)
def test_scikit_learns_checks_pass(estimator, check, monkeypatch):
    monkeypatch.setattr(judgement, "FEW_STEPS", 20)  # a tenth of them, where few samples are learnt from
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


def test_fewer_samples_than_a_batch_and_than_parts_will_do():
    for n in (2, 3, 5, 11):
        model = detector(autoencoder=Autoencoder(3, training=Training(3, batch_size=64)), n_estimators=3).fit(X[:n])
        assert np.isfinite(model.score_samples(FRESH)).all()


def test_one_column_is_not_spread_over_six(fitted):
    with pytest.raises(InvalidData, match="X has 1 features, but AnomalyDetector is expecting 6 features"):
        fitted["whitened"].predict(X[:, :1])


def test_sparse_samples_score_as_dense_ones():
    rows = np.where(X > 0.5, X, 0)
    dense, sparse = detector().fit(rows), detector().fit(scipy.sparse.csr_matrix(rows))
    np.testing.assert_allclose(sparse.score_samples(scipy.sparse.csr_matrix(FRESH)), dense.score_samples(FRESH), 1e-3)


def test_nested_parameters_reach_the_default_autoencoder():
    model = AnomalyDetector(n_subsampled=0, random_state=0).set_params(autoencoder__training__epochs=2)
    assert model.autoencoder.training.epochs == 2
    assert len(model.fit(X).history_["loss"]) == 2
