"""The transforms of a codec: an autoencoder of images, whose code is a grid of channels.

The linear one is PCA of blocks, also known as the Karhunen-Loève transform: the encoder projects each block onto the
principal axes, the decoder, with the same weights, sums them up. No other linear autoencoder has a lower error at any
size of the code (Baldi and Hornik 1989).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from embudo.codec.tiles import blocks_of
from embudo.nn.network import Network


class BlockSum(nn.Module):
    """`x' = W^T h + b`, where W is the weight of a convolution whose stride is its size: one storage, one gradient."""

    def __init__(self, source: nn.Conv2d) -> None:
        super().__init__()
        self._source = (source,)  # not registered: W appears once among parameters and in files
        self.bias = nn.Parameter(torch.empty(source.in_channels))

    def forward(self, h: Tensor) -> Tensor:
        """Map (n, n_components, height, width) to (n, channels, block * height, block * width)."""
        (source,) = self._source
        block = source.stride[0]
        columns, bias = source.weight.flatten(1).t(), self.bias.repeat_interleave(block * block)
        blocks = F.conv2d(h, columns[..., None, None], bias)
        return F.pixel_shuffle(blocks, block)


def linear_network(n_components: int, channels: int, block: int) -> Network:
    """Return `f(x) = W (x - mean)` and `g(h) = W^T h + mean` of blocks, as convolutions that share their weights."""
    projection = nn.Conv2d(channels, n_components, block, stride=block)
    return Network(nn.Sequential(projection), nn.Sequential(BlockSum(projection)))


def principal_axes(images: Iterable[np.ndarray], block: int) -> tuple[np.ndarray, np.ndarray]:
    """Return mean colour and principal axes of the blocks of images.

    Parameters
    ----------
    images : iterable of ndarray of shape (height, width, channels)
    block : int

    Returns
    -------
    mean : ndarray of shape (channels,)
    axes : ndarray of shape (channels * block * block, channels, block, block)
        From the most to the least variance.
    """
    total, moment, n = np.zeros(0), np.zeros(0), 0
    for image in images:
        blocks = blocks_of(image, block).astype(np.float64) - 128  # sums of what lies near 0 keep their precision
        flat = blocks.reshape(len(blocks), -1)
        n += len(flat)
        total = total + flat.sum(axis=0) if total.size else flat.sum(axis=0)
        moment = moment + flat.T @ flat if moment.size else flat.T @ flat
    average = total / n
    mean = average.reshape(-1, block * block).mean(axis=1)
    centre = np.repeat(mean, block * block)
    cross = np.outer(average, centre)
    _, axes = np.linalg.eigh(moment / n - cross - cross.T + np.outer(centre, centre))
    return mean + 128, axes.T[::-1].reshape(-1, len(mean), block, block)
