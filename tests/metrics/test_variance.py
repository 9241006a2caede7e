"""Variance explained, against scikit-learn and closed forms."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.metrics import explained_variance_score, r2_score

from embudo.metrics.variance import Covariance, Residuals

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 5)) * [1, 2, 3, 4, 5] + 100
Y = X + RNG.normal(size=X.shape) + 0.5


def residuals_of(x, y):
    residuals = Residuals()
    for block in np.split(np.arange(len(x)), [1, 50, 150]):
        residuals.update(x[block], y[block])
    return residuals


@pytest.mark.parametrize(("dtype", "rel"), [(np.float64, 1e-9), (np.float32, 1e-4)])
def test_blocks_come_to_scikit_learns_scores_of_the_whole(dtype, rel):
    residuals = residuals_of(X.astype(dtype), Y.astype(dtype))
    weighted = {"multioutput": "variance_weighted"}
    assert residuals.fvu == pytest.approx(1 - r2_score(X, Y, **weighted), rel=rel)
    assert residuals.explained_variance == pytest.approx(explained_variance_score(X, Y, **weighted), rel=rel)
    assert residuals.error == pytest.approx(np.square(X - Y).sum(axis=1).mean(), rel=rel)
    assert residuals.variance == pytest.approx(X.var(axis=0).sum(), rel=rel)
    assert residuals.relative_change == pytest.approx(residuals.fvu**0.5)


def test_the_mean_explains_nothing_and_the_samples_themselves_all():
    assert residuals_of(X, np.tile(X.mean(axis=0), (200, 1))).fvu == pytest.approx(1)
    assert residuals_of(X, X).fvu == 0
    assert residuals_of(X, X + 7).explained_variance == pytest.approx(1)


def test_samples_without_variance_have_no_fraction_of_it():
    assert np.isnan(residuals_of(np.ones((200, 3)), np.zeros((200, 3))).fvu)


@pytest.mark.parametrize("n_components", [1, 3, 5])
def test_pca_is_that_of_scikit_learn(n_components):
    covariance = Covariance()
    for block in np.split(X, [1, 50, 150]):
        covariance.update(block)
    ours, pca = covariance.pca(n_components), PCA(n_components).fit(X)
    left = np.square(pca.inverse_transform(pca.transform(X)) - X).mean(axis=0)
    np.testing.assert_allclose(ours.residuals, left, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(ours.reconstruct(Y), pca.inverse_transform(pca.transform(Y)), rtol=1e-6)
