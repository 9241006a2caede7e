"""Which samples each autoencoder of a detector learns from, and how much it counts."""

import numpy as np
from anomalies import FRESH, OFF, SHORT, X, detector
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from zoo import QUICK

from embudo import AnomalyDetector, Autoencoder
from embudo.apps.judgement import Judges


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
