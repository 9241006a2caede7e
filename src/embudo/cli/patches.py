"""A photograph as the codes of its patches: the demonstration of compression, in one file.

The file holds the codes, 8 bits a unit, their ranges and the size of the image; the model lies beside it.
"""

from __future__ import annotations

import io
import lzma
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from embudo.models.autoencoder import Autoencoder

SIDE = 8  #: pixels on the side of a patch


def random_patches(image: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return `n` patches from anywhere in an image, shape (n, SIDE * SIDE * channels)."""
    height, width, channels = image.shape
    windows = np.lib.stride_tricks.sliding_window_view(image, (SIDE, SIDE, channels))[:, :, 0]
    rows, columns = rng.integers(height - SIDE + 1, size=n), rng.integers(width - SIDE + 1, size=n)
    return windows[rows, columns].reshape(n, -1)


def to_patches(image: np.ndarray) -> np.ndarray:
    """Cut an image into patches, row by row; its last rows and columns are repeated to fill the last patches."""
    height, width, channels = image.shape
    padded = np.pad(image, ((0, -height % SIDE), (0, -width % SIDE), (0, 0)), mode="edge")
    grid = padded.reshape(-(-height // SIDE), SIDE, -(-width // SIDE), SIDE, channels)
    return grid.swapaxes(1, 2).reshape(-1, SIDE * SIDE * channels)


def from_patches(patches: np.ndarray, height: int, width: int) -> np.ndarray:
    """Put an image together from what `to_patches` returned."""
    grid = patches.reshape(-(-height // SIDE), -(-width // SIDE), SIDE, SIDE, -1).swapaxes(1, 2)
    return grid.reshape(grid.shape[0] * SIDE, grid.shape[2] * SIDE, -1)[:height, :width]


def compress(image: np.ndarray, model: Autoencoder) -> bytes:
    """Return the content of a compressed file.

    Parameters
    ----------
    image : ndarray of shape (height, width, channels), uint8
    model : Autoencoder
        Fitted on patches.
    """
    codes = model.transform(to_patches(image))
    low, high = codes.min(axis=0), codes.max(axis=0)
    levels = np.rint((codes - low) / np.maximum(high - low, 1e-12) * 255).astype(np.uint8)
    packed = io.BytesIO()
    # one plane a code unit: neighbours in a plane are alike, which the packer makes use of
    np.savez(packed, planes=np.ascontiguousarray(levels.T), low=low, high=high, size=image.shape[:2])
    return lzma.compress(packed.getvalue(), preset=9)


def decompress(data: bytes, model: Autoencoder) -> np.ndarray:
    """Return the image that `compress` made `data` of, uint8, decoded by the same model."""
    with np.load(io.BytesIO(lzma.decompress(data)), allow_pickle=False) as file:
        planes, low, high, (height, width) = file["planes"], file["low"], file["high"], file["size"]
    codes = low + planes.T.astype(np.float32) / 255 * (high - low)
    patches = np.clip(np.rint(model.inverse_transform(codes)), 0, 255).astype(np.uint8)
    return from_patches(patches, int(height), int(width))
