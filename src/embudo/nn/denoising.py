"""The network that takes noise out of images: an encoder, a decoder, and paths between levels of one size."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from embudo.nn.convolutional import Convolution, ResidualBlock, TransposedConvolution

FOLD = 2  #: pixels on the side of the squares whose values become channels, ahead of all convolutions


class DenoisingNetwork(nn.Module):
    """`x' = x - r(x, sigma)`, where r finds the noise.

    A U-Net (Ronneberger, Fischer and Brox 2015) of residual blocks without normalisation. As in FFDNet (Zhang, Zuo and
    Zhang 2018), squares of 2 x 2 pixels are folded into channels, and the noise level is a channel of its own.

    Parameters
    ----------
    channels : int
        Of the images.
    widths : sequence of int
        Channels of the feature maps at each level; every level has half the height and width of the one before.
    n_blocks : int
        Residual blocks of a level, in the encoder and again in the decoder; the deepest has them once.
    """

    def __init__(self, channels: int, widths: Sequence[int], n_blocks: int) -> None:
        super().__init__()
        size = (64, 64)  # nominal: kernels of stride 1 and 2 reach maps of any even size in the same way
        sizes = [(size[0] >> level, size[1] >> level) for level in range(1, len(widths) + 1)]
        folded = channels * FOLD**2
        self.channels, self.n_blocks = channels, n_blocks
        self.multiple: int = FOLD * 2 ** (len(widths) - 1)
        self.head = Convolution(folded + 1, widths[0], 3, 1, sizes[0], "identity")
        self.encoder = nn.ModuleList(self._level(width, size) for width, size in zip(widths, sizes, strict=True))
        self.down = nn.ModuleList(
            Convolution(wide, deep, 2, 2, size, "identity")
            for (wide, deep), size in zip(pairwise(widths), sizes, strict=False)
        )
        self.up = nn.ModuleList(
            TransposedConvolution(deep, wide, 2, 2, size, "identity")
            for (wide, deep), size in zip(pairwise(widths), sizes, strict=False)
        )
        self.decoder = nn.ModuleList(
            self._level(width, size) for width, size in zip(widths[:-1], sizes[:-1], strict=True)
        )
        self.tail = Convolution(widths[0], folded, 3, 1, sizes[0], "identity")
        self.tail.family = "zero"

    def _level(self, width: int, size: tuple[int, int]) -> nn.Sequential:
        return nn.Sequential(*(ResidualBlock(width, size, "relu") for _ in range(self.n_blocks)))

    @property
    def reach(self) -> int:
        """How many pixels away, in each direction, a value of the input may still change one of the output."""
        levels = [
            FOLD << level for level in range(len(self.down))
        ]  # pixels that a value of the feature maps stands for
        return 4 * self.n_blocks * sum(levels) + 2 * (self.n_blocks + 1) * self.multiple + 2 * FOLD

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return images without their noise.

        Parameters
        ----------
        x : Tensor of shape (n, channels, height, width)
            From 0 to 1; height and width are multiples of `multiple`.
        sigma : Tensor of shape (n,)
            Standard deviation of the noise of each image, in the same units; 0 where it is not known.
        """
        folded = F.pixel_unshuffle(x, FOLD)
        level = sigma.to(x.dtype).view(-1, 1, 1, 1).expand(-1, 1, *folded.shape[2:])
        h, paths = self.head(torch.cat([folded, level], dim=1)), []
        for blocks, down in zip(self.encoder, self.down, strict=False):
            h = blocks(h)
            paths.append(h)
            h = down(h)
        h = self.encoder[-1](h)
        for blocks, up in zip(reversed(self.decoder), reversed(self.up), strict=True):
            h = blocks(paths.pop() + up(h))
        y: Tensor = x - F.pixel_shuffle(self.tail(h), FOLD)
        return y
