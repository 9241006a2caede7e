"""The transforms of a codec: an autoencoder of images, whose code is a grid of channels.

The linear part is PCA of blocks that overlap. Blocks cut edges: what lies on both sides of one is alike, and neither
block knows. So a first filter, across the edges between blocks, takes what they share to one side; then the blocks
are projected onto their principal axes, the Karhunen-Loève transform. Both steps are orthogonal; the decoder takes them
back with the same weights. No other linear autoencoder of the blocks has a lower error at any size of the code (Baldi
and Hornik 1989).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from itertools import groupby

import numpy as np
import torch
import torch.nn.functional as F
from scipy.fft import dct
from torch import Tensor, nn

from embudo.codec.tiles import SIDE, Tile, filled


def overlap_matrix(block: int) -> np.ndarray:
    """Return the orthogonal filter across an edge between blocks, shape (block, block).

    Sums of what lies symmetrically about the edge are left alone, differences are rotated, so that block and filter
    together come near to the lapped orthogonal transform (Tran, Liang and Tu 2003, Lapped transform via time-domain
    pre- and post-filtering).

    Examples
    --------
    >>> matrix = overlap_matrix(8)
    >>> np.allclose(matrix @ matrix.T, np.eye(8), atol=1e-6)
    True
    """
    half = block // 2
    eye, mirror = np.eye(half), np.eye(half)[::-1]
    butterfly = np.block([[eye, mirror], [mirror, -eye]]) / np.sqrt(2)
    second, fourth = (dct(eye, type=kind, norm="ortho", axis=0) for kind in (2, 4))
    rotation = mirror @ second.T @ fourth @ mirror
    middle = np.block([[eye, np.zeros_like(eye)], [np.zeros_like(eye), rotation]])
    matrix: np.ndarray = butterfly @ middle @ butterfly
    return matrix


@cache
def _overlap(block: int) -> Tensor:
    return torch.from_numpy(overlap_matrix(block)).float()


def overlapped(x: Tensor, block: int, *, back: bool = False) -> Tensor:
    """Return images after the filter across the edges between blocks, in rows and columns, or taken `back`.

    Parameters
    ----------
    x : Tensor of shape (..., height, width)
        Both multiples of the block.
    block : int
    back : bool, default=False
    """
    matrix, half = _overlap(block).to(x.device), block // 2
    if back:
        matrix = matrix.t()
    for axis in (-2, -1):
        x = x.transpose(axis, -1)
        if x.shape[-1] > 2 * half:
            inner = x[..., half:-half].unflatten(-1, (-1, 2 * half)) @ matrix.t()
            x = torch.cat([x[..., :half], inner.flatten(-2), x[..., -half:]], dim=-1)
        x = x.transpose(axis, -1)
    return x


class CodecNetwork(nn.Module):
    """Encoder `f(x) = W (overlapped(x) - mean)` and decoder, its transpose, of images.

    Parameters
    ----------
    n_components : int
        Channels of the code.
    channels : int
        Of the images.
    block : int
        Pixels on the side of a block.
    """

    def __init__(self, n_components: int, channels: int, block: int) -> None:
        super().__init__()
        self.block = block
        self.projection = nn.Conv2d(channels, n_components, block, stride=block)
        self.mean = nn.Parameter(torch.empty(channels))

    def encode(self, x: Tensor) -> Tensor:
        """Return codes, shape (n, n_components, height / block, width / block), of images."""
        h: Tensor = self.projection(overlapped(x, self.block))
        return h

    def blocks(self, h: Tensor) -> Tensor:
        """Return what codes stand for, block by block, shape (n, channels, height, width), not yet filtered back."""
        columns = self.projection.weight.flatten(1).t()[..., None, None]
        mean = self.mean.repeat_interleave(self.block**2)
        return F.pixel_shuffle(F.conv2d(h, columns, mean), self.block)

    def decode(self, h: Tensor) -> Tensor:
        """Return images, shape (n, channels, height, width), for codes."""
        return overlapped(self.blocks(h), self.block, back=True)


@torch.inference_mode()
def decoded(
    network: CodecNetwork, codes: Iterable[tuple[Tile, Tensor]], size: tuple[int, int]
) -> Iterator[tuple[tuple[int, slice, slice], Tensor]]:
    """Yield what the codes of tiles stand for: where it belongs, and an image of shape (channels, height, width).

    Blocks overlap across the edges of tiles, so a place is decoded when all tiles around it are there. No more than a
    row of tiles is kept.

    Parameters
    ----------
    network : CodecNetwork
    codes : iterable of (Tile, Tensor)
        The tiles row by row, with their codes, shape (n_components, height, width).
    size : (height, width)
        Of a frame.
    """
    (height, width), block = size, network.block
    for frame, tiles in groupby(codes, key=lambda pair: pair[0].frame):
        above, done = network.mean.new_empty(len(network.mean), 0, width + -width % block), 0
        for start, row in groupby(tiles, key=lambda pair: pair[0].top):
            window = _below(above, ((tile.left, network.blocks(h[None])[0]) for tile, h in row))
            top = start - above.shape[1]
            end = top + window.shape[1] - block
            end = end if end + block < height else height
            for left in range(0, width, SIDE):
                begin, stop = max(left - block, 0), min(left + SIDE, width)
                x = overlapped(window[..., begin : left + SIDE + block], block, back=True)
                yield (
                    (frame, slice(done, end), slice(left, stop)),
                    x[:, done - top : end - top, left - begin : stop - begin],
                )
            done = end
            above = window[:, done - block - top :].clone()


def _below(above: Tensor, row: Iterable[tuple[int, Tensor]]) -> Tensor:
    """Return a strip of images, shape (channels, height, width), with a row of tiles below it, given by their left."""
    window = above
    for left, x in row:
        if window is above:
            window = F.pad(above, (0, 0, 0, x.shape[1]))
        window[:, above.shape[1] :, left : left + x.shape[2]] = x
    return window


def overlapped_blocks(image: np.ndarray, block: int) -> np.ndarray:
    """Return the blocks of an image less 128, shape (n, channels * block * block), after the filter across edges."""
    pixels = filled(image[None], block).astype(np.float32) - 128  # sums of what lies near 0 keep their precision
    x = overlapped(torch.from_numpy(pixels).permute(0, 3, 1, 2), block)
    flat: np.ndarray = F.unfold(x, block, stride=block)[0].t().numpy().astype(np.float64)
    return flat


def principal_axes(images: Iterable[np.ndarray], block: int) -> tuple[np.ndarray, np.ndarray]:
    """Return mean colour and principal axes of the blocks of images, after the filter across their edges.

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
        flat = overlapped_blocks(image, block)
        n += len(flat)
        total = total + flat.sum(axis=0) if total.size else flat.sum(axis=0)
        moment = moment + flat.T @ flat if moment.size else flat.T @ flat
    average = total / n
    mean = average.reshape(-1, block * block).mean(axis=1)
    centre = np.repeat(mean, block * block)
    cross = np.outer(average, centre)
    _, axes = np.linalg.eigh(moment / n - cross - cross.T + np.outer(centre, centre))
    return mean + 128, axes.T[::-1].reshape(-1, len(mean), block, block)
