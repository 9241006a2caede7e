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

from embudo import ImageCodec, load
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

    file = (folder / "china.emb").read_bytes()
    china = load_sample_images().images[0]
    decoded = ImageCodec.pretrained().decode(file)
    assert number(r"china\.emb: ([\d,]+) bytes", done.stdout) == len(file)
    assert number(r"bytes.*\n.*\n.* ([\d.]+) +[\d.]+ +[\d.]+ +[\d.]+ *\n", done.stdout) == pytest.approx(
        8 * len(file) / (427 * 640), abs=1e-3
    )
    embudo, jpeg = (number(rf"PSNR at.*\n.*\n +\S+{' +[0-9.]+' * i} +([0-9.]+)", done.stdout) for i in (0, 1))
    assert embudo == pytest.approx(psnr(china, decoded), abs=0.01)
    assert embudo > jpeg
    with Image.open(folder / "demo.png") as picture:
        assert picture.width > 1000


def number(pattern, text):
    return float(re.search(pattern, text)[1].replace(",", ""))
