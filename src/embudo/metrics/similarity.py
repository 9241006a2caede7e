"""Measures of how alike two images look."""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import gaussian_filter1d

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  #: of the scales, from the finest on
SMALLEST = 11 * 2 ** (len(WEIGHTS) - 1)  #: pixels on the shorter side: the window must fit at the coarsest scale


def ms_ssim(x: np.ndarray, y: np.ndarray, peak: float = 255) -> float:
    """Return the multi-scale structural similarity of two images: 1 for equal ones.

    Wang, Simoncelli and Bovik 2003, Multiscale structural similarity for image quality assessment: Gaussian windows of
    11 pixels and a standard deviation of 1.5, five scales, the mean over the channels.

    Parameters
    ----------
    x, y : ndarray of shape (height, width, channels)
        Original and reconstruction.
    peak : float, default=255
        The greatest value that a pixel can have.

    Returns
    -------
    float
        NaN where a side is shorter than 176 pixels.

    Examples
    --------
    >>> x = np.random.default_rng(0).integers(256, size=(180, 200, 3))
    >>> ms_ssim(x, x)
    1.0
    """
    if x.shape != y.shape:
        raise ValueError(f"x and y must have one shape; got {x.shape} and {y.shape}.")
    if min(x.shape[:2]) < SMALLEST:
        return math.nan
    x, y = (np.moveaxis(image, 2, 0).astype(np.float32) for image in (x, y))
    similarity = np.ones(len(x))
    for scale, weight in enumerate(WEIGHTS):
        luminance, contrast = _ssim_terms(x, y, peak)
        last = scale == len(WEIGHTS) - 1
        similarity *= np.maximum((luminance * contrast if last else contrast).mean(axis=(1, 2)), 0) ** weight
        x, y = _halved(x), _halved(y)
    return float(similarity.mean())


def _ssim_terms(x: np.ndarray, y: np.ndarray, peak: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the comparison of luminance, and that of contrast and structure, at each place where the window fits."""
    a, b = _windowed(x), _windowed(y)
    xx, yy, xy = _windowed(x * x) - a * a, _windowed(y * y) - b * b, _windowed(x * y) - a * b
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    return (2 * a * b + c1) / (a * a + b * b + c1), (2 * xy + c2) / (xx + yy + c2)


def _windowed(x: np.ndarray) -> np.ndarray:
    for axis in (1, 2):
        x = gaussian_filter1d(x, 1.5, axis=axis, radius=5)
    return x[:, 5:-5, 5:-5]


def _halved(x: np.ndarray) -> np.ndarray:
    height, width = x.shape[1] // 2, x.shape[2] // 2
    halved: np.ndarray = x[:, : 2 * height, : 2 * width].reshape(-1, height, 2, width, 2).mean(axis=(2, 4))
    return halved
