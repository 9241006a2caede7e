"""What the scores of a detector mean, and which features they come from."""

import numpy as np
import pandas as pd
import pytest
from anomalies import FRESH, OFF, SHORT, X, criteria, detector
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from embudo.apps.judgement import scaled
from embudo.apps.scores import passed
from embudo.errors import InvalidParameter


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
    np.testing.assert_allclose(whitened.var(axis=0), 1, atol=0.7)
    assert whitened.var() == pytest.approx(1, abs=0.3)
    assert -model.score_samples(FRESH).mean() == pytest.approx(6, rel=0.3)


@criteria
def test_a_constant_column_that_moves_a_little_does_not_explode(criterion):
    still = np.column_stack([X, np.full(400, 7.0)])
    model = detector(criterion=criterion).fit(still)
    moved = np.column_stack([FRESH, np.full(400, 7.001)])
    same = np.column_stack([FRESH, np.full(400, 7.0)])
    np.testing.assert_allclose(model.score_samples(moved), model.score_samples(same), rtol=0.2, atol=0.5)


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
