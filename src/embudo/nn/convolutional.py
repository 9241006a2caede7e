"""Convolutional layers, transposed and tied ones, and the way from rows of features to feature maps and back."""

from __future__ import annotations

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
    """A convolution whose kernels move by `stride`, with zeros around the maps, so that no pixel is left out.

    Maps of size h become maps of size ``ceil(h / stride)`` where kernels are odd; see `convolved_size`.
    """

    def __init__(self, n_in: int, n_out: int, kernel_size: int, stride: int, activation: str) -> None:
        self.family = ACTIVATIONS[activation][1]
        super().__init__(n_in, n_out, kernel_size, stride, padding=padding(kernel_size))

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the weights anew."""
        area = self.kernel_size[0] ** 2
        fans = (self.in_channels * area, self.out_channels * area / self.stride[0] ** 2)
        draw(self.weight, self.family, fans, generator)
        super().reset_parameters()


class TransposedConvolution(Layer, nn.ConvTranspose2d):
    """The transpose of a convolution, back to maps of the size `to` that it was given.

    Parameters
    ----------
    n_in, n_out : int
        Channels.
    kernel_size, stride : int
        Those of the convolution.
    to : (int, int)
        Height and width that come out.
    activation : str
        What follows, to which the first weights are suited.
    """

    def __init__(
        self, n_in: int, n_out: int, kernel_size: int, stride: int, to: tuple[int, int], activation: str
    ) -> None:
        self.family = ACTIVATIONS[activation][1]
        extra = uncovered(to, kernel_size, stride)
        super().__init__(n_in, n_out, kernel_size, stride, padding(kernel_size), output_padding=extra)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the weights anew."""
        area = self.kernel_size[0] ** 2
        fans = (self.in_channels * area / self.stride[0] ** 2, self.out_channels * area)
        draw(self.weight, self.family, fans, generator)
        super().reset_parameters()


class TiedTransposedConvolution(Layer):
    """The transpose of a convolution with the kernels of that convolution: one storage, one gradient.

    The other layer is not registered as a submodule, so its kernels appear once among parameters and in files.
    """

    def __init__(self, source: Convolution, to: tuple[int, int]) -> None:
        super().__init__()
        self._source = (source,)
        self.output_padding = uncovered(to, source.kernel_size[0], source.stride[0])
        self.bias = nn.Parameter(torch.empty(source.in_channels))

    @property
    def weight(self) -> Tensor:
        """The other layer's kernels, shape `(n_in, n_out, kernel_size, kernel_size)`."""
        return self._source[0].weight

    def forward(self, x: Tensor) -> Tensor:
        """Map feature maps to those that the convolution came from."""
        source = self._source[0]
        pads = padding(source.kernel_size[0])
        return F.conv_transpose2d(x, self.weight, self.bias, source.stride, pads, self.output_padding)


class ResidualBlock(nn.Module):
    """`y = x + K2 s(K1 x + b1) + b2`, with 3 x 3 kernels and an activation s; at first `y = x`, as K2 begins at 0."""

    def __init__(self, n_channels: int, activation: str) -> None:
        super().__init__()
        self.first = Convolution(n_channels, n_channels, 3, 1, activation)
        self.activation = make_activation(activation)
        self.second = Convolution(n_channels, n_channels, 3, 1, activation)
        self.second.family = "zero"

    def forward(self, x: Tensor) -> Tensor:
        """Map feature maps to maps of the same shape."""
        y: Tensor = x + self.second(self.activation(self.first(x)))
        return y


def padding(kernel_size: int) -> int:
    """Return how many zeros lie around the maps, on each side."""
    return (kernel_size - 1) // 2


def convolved_size(size: tuple[int, int], kernel_size: int, stride: int) -> tuple[int, int]:
    """Return height and width of what a `Convolution` makes of maps of `size`."""
    height, width = ((length + 2 * padding(kernel_size) - kernel_size) // stride + 1 for length in size)
    return height, width


def uncovered(size: tuple[int, int], kernel_size: int, stride: int) -> tuple[int, int]:
    """Return the rows and columns of maps of `size` that the last step of a `Convolution` does not reach."""
    height, width = ((length + 2 * padding(kernel_size) - kernel_size) % stride for length in size)
    return height, width
