"""The demonstration, as a new user runs it: what it prints is what its files hold."""

import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from embudo import load
from embudo.cli.patches import compress, decompress, from_patches, to_patches
from embudo.metrics.reconstruction import psnr


def test_what_the_demo_prints_is_true(tmp_path):
    command = [sys.executable, "-m", "embudo", "demo", "-o", tmp_path / "demo"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "demo"

    train, test = train_test_split(load_digits().data / 16, test_size=0.25, random_state=0)
    pca = PCA(8, random_state=0).fit(train)
    pca_error = np.square(pca.inverse_transform(pca.transform(test)) - test).sum(axis=1).mean()
    error = load(folder / "digits.safetensors").reconstruction_error(test).mean()
    assert number(r"test error, autoencoder +([\d.]+)", done.stdout) == pytest.approx(error, abs=1e-3)
    assert number(r"test error, PCA .*?components +([\d.]+)", done.stdout) == pytest.approx(pca_error, abs=1e-3)
    assert error < 0.6 * pca_error

    file = (folder / "china.codes.xz").read_bytes()
    china = load_sample_images().images[0]
    decoded = decompress(file, load(folder / "patches.safetensors"))
    assert number(r"bytes +([\d,]+)", done.stdout) == len(file)
    assert number(r"bits per pixel +([\d.]+)", done.stdout) == pytest.approx(8 * len(file) / (427 * 640), abs=1e-3)
    assert number(r"PSNR .*?([\d.]+) dB", done.stdout) == pytest.approx(psnr(china, decoded), abs=0.01)
    assert psnr(china, decoded) > 22
    with Image.open(folder / "demo.png") as picture:
        assert picture.width > 1000


def number(pattern, text):
    return float(re.search(pattern, text)[1].replace(",", ""))


@pytest.mark.parametrize("shape", [(16, 24, 3), (13, 9, 3), (1, 1, 1)])
def test_patches_make_the_image_again(shape):
    image = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
    np.testing.assert_array_equal(from_patches(to_patches(image), *shape[:2]), image)


def test_eight_bits_a_unit_cost_little(image_patches_model):
    image, model = image_patches_model
    decoded = decompress(compress(image, model), model)
    without = np.clip(np.rint(model.reconstruct(to_patches(image))), 0, 255)
    assert psnr(from_patches(without, *image.shape[:2]), decoded) > 35


@pytest.fixture
def image_patches_model():
    from embudo import Autoencoder, Training

    image = load_sample_images().images[1][:80, :100]
    return image, Autoencoder(16, training=Training(20), random_state=0).fit(to_patches(image))
