"""Promises on new samples."""

import copy

import numpy as np
import pytest
from anomalies import FRESH, OFF, X, normal
from sklearn.exceptions import NotFittedError

from embudo.errors import InvalidData, InvalidParameter


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
