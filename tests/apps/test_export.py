"""A detector outside of embudo: scores and flags are those of the model."""

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from embudo import AnomalyDetector, Autoencoder, ImageDenoiser, Training, stream
from embudo.errors import InvalidData, InvalidParameter
from embudo.nn.denoising import DenoisingNetwork
from embudo.nn.layers import initialise

RNG = np.random.default_rng(0)
X = RNG.normal([5, -3, 100, 0], [1, 0.1, 20, 3], size=(120, 4)).astype(np.float32)
ODD = np.concatenate([X[:20], X[20:40] * 2])
AE = Autoencoder(3, code_activation="tanh", scale="standard", training=Training(3), random_state=0)


def run(path, rows):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["score", "anomaly"], {"x": rows})


@pytest.mark.parametrize("criterion", ["denoising", "whitened", "squared", "density"])
def test_onnx_scores_and_flags(criterion, tmp_path):
    detector = AnomalyDetector(AE, criterion=criterion, n_estimators=2, n_subsampled=1, random_state=0).fit(X)
    detector.to_onnx(tmp_path / "d.onnx")
    detector.to_onnx(tmp_path / "d.onnx", X=stream([ODD], window=64))
    rows = ODD.copy()
    rows[::3, 1] = np.nan
    rows[1] = np.nan
    for inputs in (ODD, rows, rows[:1]):
        score, anomaly = run(tmp_path / "d.onnx", inputs)
        assert_allclose(score, detector.score_samples(inputs), rtol=1e-4, atol=1e-5)
        assert_array_equal(anomaly, detector.predict(inputs) == -1)
    assert anomaly.dtype == bool
    assert 0 < run(tmp_path / "d.onnx", ODD)[1].sum() < len(ODD)


def test_a_gap_that_the_detector_does_not_take_is_an_anomaly():
    detector = AnomalyDetector(clone(AE).set_params(scale=None), random_state=0).fit(X / 100)
    gap = torch.tensor([[0.05, torch.nan, 1.0, 0.0]])
    score, anomaly = detector.to_torch()(gap)
    assert score.isnan().all()
    assert anomaly.all()


def test_torch_can_export_a_calibrated_detector_of_images():
    images = X.reshape(-1, 2, 2)
    detector = AnomalyDetector(AE, contamination=0, random_state=0).fit(images[:60]).calibrate(images[60:], 0.05)
    rows = torch.from_numpy(images)
    program = torch.export.export(
        detector.to_torch(), (rows[:3],), dynamic_shapes=({0: torch.export.Dim("n")},)
    ).module()
    score, anomaly = program(rows)
    assert_allclose(score.detach(), detector.score_samples(images), rtol=1e-4)
    certain = np.abs(detector.decision_function(images)) > 1e-4  # the threshold is the score of one of the samples
    assert certain.sum() >= 119
    assert_array_equal(anomaly[certain], detector.predict(images)[certain] == -1)


def test_a_table_with_categories_is_refused(tmp_path):
    table = pd.DataFrame(X, columns=list("abcd")).assign(kind=np.where(X[:, 0] > 5, "high", "low"))
    detector = AnomalyDetector(AE, random_state=0).fit(table)
    with pytest.raises(InvalidParameter, match=r"categories or missing values cannot be exported: fit it on numbers"):
        detector.to_onnx(tmp_path / "d.onnx")


def test_a_denoiser_of_images_of_any_size(tmp_path):
    denoiser = ImageDenoiser.pretrained()
    small = DenoisingNetwork(3, (4, 8, 8), 1)
    initialise(small, torch.Generator().manual_seed(0))
    denoiser.module_["colour"] = small.eval()
    assert denoiser.to_onnx(tmp_path / "d.onnx", "colour") < 1e-5
    session = onnxruntime.InferenceSession(tmp_path / "d.onnx", providers=["CPUExecutionProvider"])
    levels = np.array([0, 0.1, 0.5], np.float32)
    for height, width in ((1, 1), (16, 24), (37, 9), (5, 50)):
        images = RNG.random((3, height, width, 3), dtype=np.float32)
        (found,) = session.run(["denoised"], {"x": images, "sigma": levels})
        expected = [denoiser.denoise(x, level or None, n_views=1) for x, level in zip(images, levels, strict=True)]
        assert_allclose(found, expected, atol=1e-5)
    with pytest.raises(InvalidParameter, match="part must be one of 'grey', 'colour'; got 'encoder'"):
        denoiser.to_onnx(tmp_path / "d.onnx", "encoder")
    for given, words in (
        ([images[0], images[0, :1]], "must be of one size"),
        (images[..., 0], "must have 3 channels"),
    ):
        with pytest.raises(InvalidData, match=f"images to compare on {words}"):
            denoiser.to_onnx(tmp_path / "d.onnx", "colour", X=given)
