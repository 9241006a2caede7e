"""Convolutional layers, transposed and tied ones, and the way from rows of features to feature maps and back."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from embudo.nn.activations import ACTIVATIONS, make_activation
from embudo.nn.layers import Layer, draw


class ToMaps(nn.Module):
    """Rows of pixels, `(n, height * width * channels)`, as feature maps `(n, channels, height, width)`.

    A view: a pixel's channels stay beside each other in memory, which is also how convolutions are fastest.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        """Map `(n, height * width * channels)` to `(n, channels, height, width)`."""
        return x.reshape(-1, *self.shape).permute(0, 3, 1, 2)


class ToRows(nn.Module):
    """The way back from `ToMaps`."""

    def forward(self, x: Tensor) -> Tensor:
        """Map `(n, channels, height, width)` to `(n, height * width * channels)`."""
        return x.permute(0, 2, 3, 1).flatten(1)


class Convolution(Layer, nn.Conv2d):
    """A convolution whose kernels reach every pixel: maps of height h become maps of height ``ceil(h / stride)``.

    Parameters
    ----------
    n_in, n_out : int
        Channels.
    kernel_size, stride : int
        Of the kernels, in both directions; where the stride is 1, the size is odd.
    size : (int, int)
        Height and width of what goes in.
    activation : str
        What follows, to which the first weights are suited.
    """

    def __init__(
        self, n_in: int, n_out: int, kernel_size: int, stride: int, size: tuple[int, int], activation: str
    ) -> None:
        self.family = ACTIVATIONS[activation][1]
        sides, _ = padding(size, kernel_size, stride)
        super().__init__(n_in, n_out, kernel_size, stride, sides)
        self.n_places = math.prod(-(-length // stride) for length in size)
        self.n_values = n_out * self.n_places

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the weights anew."""
        area = self.kernel_size[0] ** 2
        fans = (self.in_channels * area, self.out_channels * area / self.stride[0] ** 2)
        draw(self.weight, self.family, fans, generator)
        super().reset_parameters()


class TransposedConvolution(Layer, nn.ConvTranspose2d):
    """The transpose of a `Convolution` from `n_out` to `n_in` channels: back to maps of the `size` it was given."""

    def __init__(
        self, n_in: int, n_out: int, kernel_size: int, stride: int, size: tuple[int, int], activation: str
    ) -> None:
        self.family = ACTIVATIONS[activation][1]
        sides, extra = padding(size, kernel_size, stride)
        super().__init__(n_in, n_out, kernel_size, stride, sides, output_padding=extra)
        self.n_places = math.prod(-(-length // stride) for length in size)
        self.n_values = n_out * math.prod(size)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the weights anew."""
        area = self.kernel_size[0] ** 2
        fans = (self.in_channels * area / self.stride[0] ** 2, self.out_channels * area)
        draw(self.weight, self.family, fans, generator)
        super().reset_parameters()


class TiedTransposedConvolution(Layer):
    """The transpose of a `Convolution` with that one's kernels: one storage, one gradient.

    The other layer is not registered as a submodule, so its kernels appear once among parameters and in files.
    """

    def __init__(self, source: Convolution, size: tuple[int, int]) -> None:
        super().__init__()
        self._source = (source,)
        self.sides, self.extra = padding(size, source.kernel_size[0], source.stride[0])
        self.n_places = source.n_places
        self.bias = nn.Parameter(torch.empty(source.in_channels))

    @property
    def source(self) -> Convolution:
        """The other layer."""
        return self._source[0]

    @property
    def weight(self) -> Tensor:
        """The other layer's kernels, shape `(n_in, n_out, kernel_size, kernel_size)`."""
        return self.source.weight

    def forward(self, x: Tensor) -> Tensor:
        """Map feature maps to those that the convolution came from."""
        return F.conv_transpose2d(x, self.weight, self.bias, self.source.stride, self.sides, self.extra)


class ResidualBlock(nn.Module):
    """`y = x + K2 s(K1 x + b1) + b2`, with 3 x 3 kernels and an activation s; at first `y = x`, as K2 begins at 0."""

    def __init__(self, n_channels: int, size: tuple[int, int], activation: str) -> None:
        super().__init__()
        self.first = Convolution(n_channels, n_channels, 3, 1, size, activation)
        self.activation = make_activation(activation)
        self.second = Convolution(n_channels, n_channels, 3, 1, size, activation)
        self.second.family = "zero"

    def forward(self, x: Tensor) -> Tensor:
        """Map feature maps to maps of the same shape."""
        y: Tensor = x + self.second(self.activation(self.first(x)))
        return y


def most_values(network: nn.Module) -> int:
    """Return how many values a sample has in the largest feature maps of `network`, 0 where there are none."""
    convolutions = (m for m in network.modules() if isinstance(m, Convolution | TransposedConvolution))
    return max((convolution.n_values for convolution in convolutions), default=0)


def padding(size: tuple[int, int], kernel_size: int, stride: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the zeros around maps of `size`, by which kernels reach every pixel in ``ceil(size / stride)`` steps.

    Returns
    -------
    sides : (int, int)
        Rows above and below, columns left and right.
    extra : (int, int)
        How many of these, on the far side, no kernel reaches: 0 or 1.
    """
    needed = [(-(-length // stride) - 1) * stride + kernel_size - length for length in size]
    return ((needed[0] + 1) // 2, (needed[1] + 1) // 2), (needed[0] % 2, needed[1] % 2)
