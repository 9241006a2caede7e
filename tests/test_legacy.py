"""The files of every release so far are read, and hold what they held."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors
import zoo
from legacy.write import in_run_folder
from numpy.testing import assert_allclose, assert_array_equal

from embudo import ImageCodec, load

LEGACY = Path(__file__).parent / "legacy"
RELEASES = sorted(path for path in LEGACY.iterdir() if (path / "expected.npz").exists())
METHODS = {
    "autoencoder": "transform",
    "stack": "transform",
    "classifier": "predict_proba",
    "detector": "score_samples",
}

each_release = pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)


def test_there_is_a_release():
    assert RELEASES


@each_release
@pytest.mark.parametrize("name", METHODS)
def test_models_do_what_they_did(release, name):
    model = load(release / f"{name}.safetensors")
    found = getattr(model, METHODS[name])(zoo.digits()[:5])
    assert_allclose(found, np.load(release / "expected.npz")[name], rtol=1e-4, atol=1e-5)


@each_release
def test_a_compressed_image_is_decoded_to_the_same_pixels(release):
    codec = ImageCodec.load(release / "codec.safetensors")
    pixels = codec.decode((release / "photo.emb").read_bytes())
    assert_array_equal(pixels, np.load(release / "expected.npz")["photo"])


@each_release
def test_a_training_that_was_kept_is_not_begun_anew(release, tmp_path):
    shutil.copytree(release / "run", tmp_path / "run")
    with safetensors.safe_open(release / "run" / "state.safetensors", "pt") as file:
        kept = json.loads(file.metadata()["embudo_training"])
    model = in_run_folder(tmp_path / "run").fit(zoo.digits())
    assert model.history_ == kept["history"]  # also the seconds that it took then
