"""What a detector learnt, kept: files, copies, streams and run folders."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from anomalies import FRESH, OFF, SHORT, X, criteria, detector, mixed, normal
from forging import put_together, taken_apart
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from zoo import QUICK, STACKS

from embudo import Autoencoder, ConvNet, GaussianNoise, Training, load
from embudo.errors import FileFormatError, InvalidParameter


@criteria
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


def test_a_damaged_file_is_refused(tmp_path):
    quick = detector(criterion="whitened", autoencoder=clone(SHORT).set_params(training=QUICK)).fit(mixed(100))
    quick.save(tmp_path / "detector.safetensors")
    card, tensors = taken_apart(tmp_path / "detector.safetensors")

    def changed(tensors=tensors, **entries):
        path = tmp_path / "changed.safetensors"
        put_together(path, card | entries, tensors)
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
