"""Measured pairs: noisy samples, and the clean ones that shall come out."""

import numpy as np
import pytest
import scipy.sparse
from zoo import digits

from embudo import MLP, Adam, Autoencoder, MaskingNoise, Training
from embudo.errors import InvalidData

CLEAN = digits(n_samples=600)
NOISY = np.clip(CLEAN + 0.4 * np.random.default_rng(0).normal(size=CLEAN.shape), 0, 1)
QUICK = Training(2, batch_size=50)


def model(**params):
    return Autoencoder(20, **{"training": QUICK, "random_state": 0, **params})


def test_pairs_teach_to_denoise_and_noisy_samples_alone_do_not():
    training = Training(40, optimizer=Adam(3e-3))
    errors = []
    for target in (CLEAN[:500], None):
        ae = model(encoder=MLP(100), training=training).fit(NOISY[:500], X_clean=target)
        errors.append(np.square(ae.reconstruct(NOISY[500:]) - CLEAN[500:]).sum(axis=1).mean())
    assert errors[0] < 0.75 * errors[1]
    assert errors[0] < 0.6 * np.square(NOISY[500:] - CLEAN[500:]).sum(axis=1).mean()


def test_the_loss_is_the_distance_from_the_clean_samples():
    still = Training(1, optimizer=Adam(1e-30))
    ae = model(training=still).fit(NOISY, X_clean=CLEAN)
    expected = np.square(ae.reconstruct(NOISY) - CLEAN).sum(axis=1).mean()
    assert ae.history_["loss"] == [pytest.approx(expected, rel=1e-5)]


def test_validation_measures_pairs():
    ae = model().fit(NOISY[:400], X_clean=CLEAN[:400], X_val=(NOISY[400:], CLEAN[400:]))
    expected = np.square(ae.reconstruct(NOISY[400:]) - CLEAN[400:]).sum(axis=1).mean()
    assert ae.history_["validation_loss"][-1] == pytest.approx(expected, rel=1e-5)
    alone = model().fit(NOISY[:400], X_clean=CLEAN[:400], X_val=NOISY[400:])
    assert alone.history_["validation_loss"][-1] == pytest.approx(-alone.score(NOISY[400:]), rel=1e-5)


def test_a_validation_fraction_keeps_pairs_together():
    still = Training(1, optimizer=Adam(1e-30), validation_fraction=0.3)
    ae = model(training=still).fit(NOISY, X_clean=CLEAN)
    errors = np.square(ae.reconstruct(NOISY) - CLEAN).sum(axis=1)
    together = 0.7 * ae.history_["loss"][0] + 0.3 * ae.history_["validation_loss"][0]
    assert together == pytest.approx(errors.mean(), rel=1e-5)


@pytest.mark.parametrize("kinds", [(scipy.sparse.csr_matrix, np.asarray), (np.asarray, scipy.sparse.csr_array)])
def test_sparse_pairs_learn_what_dense_ones_do(kinds):
    of_x, of_clean = kinds
    noisy = np.where(NOISY > 0.5, NOISY, 0)
    expected = model(scale=None).fit(noisy, X_clean=CLEAN).transform(noisy)
    found = model(scale=None).fit(of_x(noisy), X_clean=of_clean(CLEAN)).transform(noisy)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_pairs_and_a_corruption_go_together():
    history = model(corruption=MaskingNoise(0.2)).fit(NOISY, X_clean=CLEAN).history_
    assert history["loss"][-1] < history["loss"][0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"X_clean": CLEAN[:5]}, r"^X_clean must have a row for each of the 600 of X; got 5\.$"),
        ({"X_clean": CLEAN[:, :5]}, r"X has 5 features, but Autoencoder is expecting 64 features"),
        ({"X_clean": np.where(CLEAN > 0.9, np.nan, CLEAN)}, r"holds NaN in row"),
        ({"X_val": (NOISY, CLEAN[:7])}, r"^X_clean must have a row for each of the 600 of X; got 7\.$"),
    ],
)
def test_pairs_that_do_not_fit_are_refused(options, words):
    with pytest.raises(InvalidData, match=words):
        model().fit(NOISY, **options)


PROBABILITIES = {"output_activation": "sigmoid", "loss": "cross_entropy"}


@pytest.mark.parametrize("of_clean", [np.asarray, scipy.sparse.csr_matrix])
@pytest.mark.parametrize(
    ("scale", "noisy", "clean", "words"),
    [
        (None, NOISY, 2 * CLEAN, r"X_clean ranges from 0 to 2: bring X"),
        ("auto", 9 * NOISY, 18 * CLEAN + 9, r"X_clean ranges from 1 to \S+ after scale='minmax': bring X"),
        ("standard", NOISY, CLEAN, r"X_clean ranges from -\S+ to \S+ after scale='standard': bring X"),
    ],
)
def test_clean_samples_that_the_output_cannot_reach_are_refused(scale, noisy, clean, words, of_clean):
    with pytest.raises(InvalidData, match=words):
        model(scale=scale, **PROBABILITIES).fit(noisy, X_clean=of_clean(clean))
    assert model(scale=scale).fit(noisy, X_clean=of_clean(clean)).history_["loss"]


def test_noisy_samples_may_go_where_the_output_cannot():
    noisy = CLEAN + 0.4 * np.random.default_rng(0).normal(size=CLEAN.shape)
    history = model(scale=None, **PROBABILITIES).fit(noisy, X_clean=CLEAN).history_
    assert history["loss"][-1] < history["loss"][0]
