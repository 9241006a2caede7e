"""Measures of how close a reconstruction is to its original."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike


def psnr(x: ArrayLike, y: ArrayLike, peak: float = 255) -> float:
    """Return the peak signal-to-noise ratio of two images, in decibels.

    ``10 log10(peak^2 / mean_i (x_i - y_i)^2)``, infinite for equal images.

    Parameters
    ----------
    x, y : array-like of one shape
        Original and reconstruction.
    peak : float, default=255
        The greatest value that a pixel can have.

    Returns
    -------
    float

    Examples
    --------
    >>> psnr([[0, 255], [255, 0]], [[0, 254], [255, 1]])
    51.14...
    >>> psnr([0.0, 1.0], [0.1, 0.9], peak=1)
    20.0...
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if x.shape != y.shape:
        raise ValueError(f"x and y must have one shape; got {x.shape} and {y.shape}.")
    error = np.square(x - y).mean()
    return math.inf if error == 0 else 10 * math.log10(peak**2 / error)
