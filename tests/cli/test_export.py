"""``embudo export``: the file computes what the model does."""

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from embudo import ImageCodec, load


def test_a_part_of_a_model(embudo, files, model, digits, tmp_path):
    done = embudo("export", model, "-o", tmp_path / "e.onnx", "--part", "encoder", "--check", files / "digits.csv")
    assert done.status == 0, done.err
    assert "onnxruntime computes the same but for" in done.out
    (codes,) = onnxruntime.InferenceSession(tmp_path / "e.onnx").run(None, {"x": digits})
    assert_allclose(codes, load(model).transform(pd.read_csv(files / "digits.csv")), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        (["--part", "encodr"], 2, "did you mean 'encoder'"),
        (["--check", "no.csv"], 1, "no.csv"),
        (["-o", "m.pt"], 2, ".onnx"),
        (["-o", "folder", "--part", "encoder"], 2, "would be a folder"),
    ],
)
def test_a_bad_call_is_answered_in_one_line(refused, model, tmp_path, options, status, words):
    refused(("export", model, "-o", tmp_path / "m.onnx", *options), status, words)


def test_a_folder_is_taken_for_the_model(embudo, files, model, tmp_path):
    assert embudo("export", model, "-o", tmp_path / "digits").status == 0
    codes = []
    for source in (model, tmp_path / "digits"):
        assert embudo("encode", source, files / "digits.csv", "-o", tmp_path / "codes.npy").status == 0
        codes.append(np.load(tmp_path / "codes.npy"))
    np.testing.assert_array_equal(*codes)


def test_a_codec_has_no_such_form(refused, tmp_path):
    images = [np.random.default_rng(0).integers(256, size=(40, 40, 3), dtype=np.uint8)]
    ImageCodec(block=4, method="linear").fit(images).save(tmp_path / "c.safetensors")
    args = ("export", tmp_path / "c.safetensors", "-o", tmp_path / "m.onnx")
    refused(
        args,
        1,
        'class ImageCodec: expected an autoencoder, a stack, a classifier, a detector or a denoiser; "embudo comp',
    )
