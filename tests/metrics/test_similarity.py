"""MS-SSIM against its definition, written out, and what it must order."""

import math

import numpy as np
import pytest
from scipy.signal import convolve2d
from sklearn.datasets import load_sample_images

from embudo.metrics.similarity import WEIGHTS, ms_ssim


@pytest.fixture(scope="module")
def image():
    return load_sample_images().images[0][:200, :220]


def by_definition(x, y):
    taps = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    window = np.outer(taps, taps) / taps.sum() ** 2
    total = 1.0
    for scale, weight in enumerate(WEIGHTS):
        mean = [convolve2d(z, window, "valid") for z in (x, y)]
        square = [convolve2d(z * w, window, "valid") for z, w in ((x, x), (y, y), (x, y))]
        variance = [square[0] - mean[0] ** 2, square[1] - mean[1] ** 2, square[2] - mean[0] * mean[1]]
        value = (2 * variance[2] + 58.5225) / (variance[0] + variance[1] + 58.5225)
        if scale == 4:
            value = value * (2 * mean[0] * mean[1] + 6.5025) / (mean[0] ** 2 + mean[1] ** 2 + 6.5025)
        total *= value.mean() ** weight
        height, width = x.shape[0] // 2, x.shape[1] // 2
        x, y = (z[: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean(axis=(1, 3)) for z in (x, y))
    return total


def test_it_is_what_the_paper_defines(image):
    noisy = np.clip(image + np.random.default_rng(0).normal(0, 12, image.shape), 0, 255)
    expected = by_definition(image[..., 0].astype(float), noisy[..., 0])
    assert ms_ssim(image[..., :1], noisy[..., :1]) == pytest.approx(expected, abs=1e-4)


def test_more_noise_is_less_alike(image):
    rng = np.random.default_rng(0)
    values = [ms_ssim(image, image + rng.normal(0, std, image.shape)) for std in (0, 5, 20, 60)]
    assert values[0] == 1
    assert values == sorted(values, reverse=True)


def test_small_images_have_none(image):
    assert math.isnan(ms_ssim(image[:175], image[:175]))
    with pytest.raises(ValueError, match="one shape"):
        ms_ssim(image, image[:-1])
