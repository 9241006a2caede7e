"""Architectures: the shape of the encoder f and the decoder g."""

from __future__ import annotations

import dataclasses
import itertools
import math
import numbers
from typing import TYPE_CHECKING, Any, cast

from embudo.errors import InvalidParameter, check_choice, check_number
from embudo.nn.activations import ACTIVATIONS
from embudo.parts.part import Part

if TYPE_CHECKING:
    from torch import nn

    from embudo.nn.layers import Layer


@dataclasses.dataclass(frozen=True, repr=False)
class Architecture(Part):
    """Base of the architectures."""

    def mirrored(self) -> Architecture:
        """Return the same layers in reverse order: the decoder of an encoder."""
        raise NotImplementedError(f"{type(self).__name__} does not say what mirrors it.")

    def build_encoder(self, sample_shape: tuple[int, ...], n_components: int, activation: str) -> nn.Sequential:
        """Return the layers from samples, as rows of features, to codes.

        Parameters
        ----------
        sample_shape : tuple of int
            Shape of a sample: (n_features,), or (height, width) or (height, width, channels) of images.
        n_components : int
            Size of the code.
        activation : str
            Activation of the code.

        Raises
        ------
        InvalidParameter
            If the layers do not suit such samples.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say what its encoder is.")

    def build_decoder(
        self, n_components: int, sample_shape: tuple[int, ...], activation: str, tied_to: nn.Sequential | None = None
    ) -> nn.Sequential:
        """Return the layers from codes to samples, as rows of features.

        Parameters
        ----------
        n_components, sample_shape : int, tuple of int
            As for the encoder.
        activation : str
            Activation of the output.
        tied_to : nn.Sequential, optional
            The encoder, mirrored by this decoder, whose weights, transposed, are this decoder's weights.

        Raises
        ------
        InvalidParameter
            If the layers do not suit such samples, or cannot be tied.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say what its decoder is.")


@dataclasses.dataclass(frozen=True, repr=False)
class MLP(Architecture):
    """Fully connected layers, `y = activation(W x + b)`, one after the other.

    Parameters
    ----------
    hidden : tuple of int, default=()
        Units of each layer between input and code, from the input on. A decoder that mirrors an encoder
        has them in reverse.
    activation : {"identity", "relu", "leaky_relu", "gelu", "tanh", "sigmoid", "softplus"}, default="relu"
        Activation of the hidden layers. The code's and the output's are the estimator's
        ``code_activation`` and ``output_activation``.
    unit_norm : bool, default=False
        Whether, in a decoder, the weights that each unit of the code sends out are scaled to norm 1 after every step:
        codes cannot shrink while weights grow [1]_. A decoder that mirrors an encoder has it too.

    Raises
    ------
    InvalidParameter
        If a size is not a positive integer or the activation is unknown.

    References
    ----------
    .. [1] Bricken et al. (2023). Towards monosemanticity: decomposing language models with dictionary learning.
       Transformer Circuits Thread.

    Examples
    --------
    >>> from embudo import MLP
    >>> MLP((512, 256), activation="tanh")
    MLP((512, 256), activation='tanh')
    >>> MLP(128).mirrored()
    MLP((128,))
    """

    hidden: tuple[int, ...] = ()
    _: dataclasses.KW_ONLY
    activation: str = "relu"
    unit_norm: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", _sizes(self.hidden))
        super().__post_init__()

    def validate(self) -> None:
        """Raise `InvalidParameter` if a size or the activation is not allowed."""
        if not isinstance(self.hidden, tuple):
            raise InvalidParameter(f"MLP.hidden must be a tuple of layer sizes; got {self.hidden!r}.")
        for size in self.hidden:
            check_number("A size in MLP.hidden", size, low=1, integer=True)
        check_choice("MLP.activation", self.activation, ACTIVATIONS)
        check_choice("MLP.unit_norm", self.unit_norm, (True, False))

    def mirrored(self) -> MLP:
        """Return the same layers in reverse order."""
        return dataclasses.replace(self, hidden=self.hidden[::-1])

    def build_encoder(self, sample_shape: tuple[int, ...], n_components: int, activation: str) -> nn.Sequential:
        """Return the layers from samples to codes."""
        return self._stack((math.prod(sample_shape), *self.hidden, n_components), activation)

    def build_decoder(
        self, n_components: int, sample_shape: tuple[int, ...], activation: str, tied_to: nn.Sequential | None = None
    ) -> nn.Sequential:
        """Return the layers from codes to samples."""
        layers = self._stack((n_components, *self.hidden, math.prod(sample_shape)), activation, tied_to)
        cast("Layer", layers[0]).unit_norm = self.unit_norm
        return layers

    def _stack(self, sizes: tuple[int, ...], activation: str, tied_to: nn.Sequential | None = None) -> nn.Sequential:
        from embudo.nn.layers import dense_stack

        return dense_stack(sizes, [self.activation] * len(self.hidden) + [activation], tied_to)


@dataclasses.dataclass(frozen=True, repr=False)
class ConvNet(Architecture):
    """Convolutions over images, ever smaller and with more channels, and one dense layer to the code.

    A decoder is the way back: a dense layer, then transposed convolutions [1]_ up to the size of the images, whether or
    not the strides divide it. Samples are images of one size, of shape (height, width) or (height, width, channels), or
    rows of their values in that order; best 8-bit or in [0, 1], as ``scale="auto"`` then treats all pixels alike.

    Parameters
    ----------
    channels : tuple of int, default=(32, 64)
        Channels of each convolution's output, from the image on; of a decoder those of each input, from the code on.
        A decoder that mirrors an encoder has them in reverse.
    kernel_size : int, default=3
        Height and width of the kernels; odd where `stride` is 1.
    stride : int, default=2
        Pixels by which the kernels move, at most `kernel_size`: height and width are divided by it, and rounded up.
    residual_blocks : int, default=0
        Blocks of two 3 x 3 convolutions whose result is added to their input [2]_, after each convolution and before
        each transposed one. Blocks begin as the identity.
    activation : str, default="relu"
        Activation of all but the last layer, one of those of `MLP`.
    image_shape : (int, int) or (int, int, int) or None, default=None
        Height, width and, but for one, channels of the images, where X holds rows. None is that of the images in X.

    Raises
    ------
    InvalidParameter
        If a field is not allowed; from `fit`, if X holds no images, or images of another size.

    References
    ----------
    .. [1] Masci, Meier, Ciresan and Schmidhuber (2011). Stacked convolutional auto-encoders for hierarchical feature
       extraction. ICANN.
    .. [2] He, Zhang, Ren and Sun (2016). Deep residual learning for image recognition. CVPR.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from embudo import Autoencoder, ConvNet, Training
    >>> images = load_digits().images  # (1797, 8, 8)
    >>> ae = Autoencoder(8, encoder=ConvNet((8, 16)), training=Training(2), random_state=0).fit(images)
    >>> ae.reconstruct(images).shape
    (1797, 8, 8)
    >>> ConvNet((8, 16), image_shape=(8, 8)).mirrored()
    ConvNet((16, 8), image_shape=(8, 8))
    """

    channels: tuple[int, ...] = (32, 64)
    _: dataclasses.KW_ONLY
    kernel_size: int = 3
    stride: int = 2
    residual_blocks: int = 0
    activation: str = "relu"
    image_shape: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", _sizes(self.channels))
        super().__post_init__()

    def validate(self) -> None:
        """Raise `InvalidParameter` if a field is not allowed."""
        if not isinstance(self.channels, tuple) or not self.channels:
            raise InvalidParameter(f"ConvNet.channels must be a tuple of at least one size; got {self.channels!r}.")
        for size in self.channels:
            check_number("A size in ConvNet.channels", size, low=1, integer=True)
        check_number("ConvNet.kernel_size", self.kernel_size, low=1, integer=True)
        check_number("ConvNet.stride", self.stride, low=1, high=self.kernel_size, integer=True)
        if self.stride == 1 and self.kernel_size % 2 == 0:
            raise InvalidParameter(f"ConvNet.kernel_size must be odd where stride is 1; got {self.kernel_size!r}.")
        check_number("ConvNet.residual_blocks", self.residual_blocks, low=0, high=100, integer=True)
        check_choice("ConvNet.activation", self.activation, ACTIVATIONS)
        if self.image_shape is not None:
            if not isinstance(self.image_shape, tuple) or len(self.image_shape) not in {2, 3}:
                raise InvalidParameter(
                    "ConvNet.image_shape must be (height, width) or (height, width, channels); "
                    f"got {self.image_shape!r}."
                )
            for size in self.image_shape:
                check_number("A size in ConvNet.image_shape", size, low=1, integer=True)

    def mirrored(self) -> ConvNet:
        """Return the same layers in reverse order."""
        return dataclasses.replace(self, channels=self.channels[::-1])

    def build_encoder(self, sample_shape: tuple[int, ...], n_components: int, activation: str) -> nn.Sequential:
        """Return the layers from images to codes."""
        from torch import nn

        from embudo.nn.activations import make_activation
        from embudo.nn.convolutional import Convolution, ToMaps, ToRows
        from embudo.nn.layers import Dense, activated

        image = self._image(sample_shape)
        layers: list[nn.Module] = [ToMaps(image)]
        sizes, channels = self._map_sizes(image), (image[2], *self.channels)
        for (n_in, n_out), (size, smaller) in zip(itertools.pairwise(channels), itertools.pairwise(sizes), strict=True):
            layers.append(Convolution(n_in, n_out, self.kernel_size, self.stride, size, self.activation))
            layers += [make_activation(self.activation), *self._blocks(n_out, smaller)]
        dense = Dense(self.channels[-1] * math.prod(sizes[-1]), n_components, activation)
        return nn.Sequential(*layers, ToRows(), *activated(dense, activation))

    def build_decoder(
        self, n_components: int, sample_shape: tuple[int, ...], activation: str, tied_to: nn.Sequential | None = None
    ) -> nn.Sequential:
        """Return the layers from codes to images."""
        from torch import nn

        from embudo.nn.activations import make_activation
        from embudo.nn.convolutional import TiedTransposedConvolution, ToMaps, ToRows, TransposedConvolution
        from embudo.nn.layers import Dense, Layer, TiedDense, activated

        if tied_to is not None and self.residual_blocks:
            raise InvalidParameter(
                f"tied=True ties layer to layer, but the residual blocks of {self!r} have no transpose: set "
                "residual_blocks=0, or tied=False."
            )
        image = self._image(sample_shape)
        sizes, channels = self._map_sizes(image)[::-1], (*self.channels, image[2])
        maps = (*sizes[0], channels[0])
        sources: list[Any] = [None] * (len(self.channels) + 1)
        if tied_to is not None:
            sources = [layer for layer in reversed(tied_to) if isinstance(layer, Layer)]
        dense = Dense(n_components, math.prod(maps), self.activation) if tied_to is None else TiedDense(sources[0])
        layers: list[nn.Module] = [*activated(dense, self.activation), ToMaps(maps)]
        names = [self.activation] * (len(self.channels) - 1) + [activation]
        ways = zip(itertools.pairwise(channels), itertools.pairwise(sizes), names, sources[1:], strict=True)
        for (n_in, n_out), (size, larger), name, source in ways:
            transposed = (
                TransposedConvolution(n_in, n_out, self.kernel_size, self.stride, larger, name)
                if source is None
                else TiedTransposedConvolution(source, larger)
            )
            layers += [*self._blocks(n_in, size), transposed, make_activation(name)]
        return nn.Sequential(*layers[:-1], *activated(ToRows(), activation))

    def _blocks(self, n_channels: int, size: tuple[int, int]) -> list[nn.Module]:
        from embudo.nn.convolutional import ResidualBlock

        return [ResidualBlock(n_channels, size, self.activation) for _ in range(self.residual_blocks)]

    def _map_sizes(self, image: tuple[int, int, int]) -> list[tuple[int, int]]:
        """Return height and width of the image and of each layer's maps, ever smaller."""
        sizes = [image[:2]]
        for _ in self.channels:
            height, width = sizes[-1]
            sizes.append((-(-height // self.stride), -(-width // self.stride)))
        return sizes

    def _image(self, sample_shape: tuple[int, ...]) -> tuple[int, int, int]:
        """Return height, width and channels of the images."""
        shape = self.image_shape or sample_shape
        if len(shape) not in {2, 3}:
            what = f"rows of {shape[0]} features" if len(shape) == 1 else f"samples of shape {shape}"
            raise InvalidParameter(
                f"ConvNet needs images, but X holds {what}: pass X of shape (n_samples, height, width[, channels]), or "
                "say what a row is, as in ConvNet(image_shape=(28, 28))."
            )
        height, width, channels = (*shape, 1)[:3]
        of_rows = len(sample_shape) == 1 and sample_shape[0] == height * width * channels
        if not of_rows and (*sample_shape, 1)[:3] != (height, width, channels):
            raise InvalidParameter(
                f"ConvNet.image_shape={shape} has {math.prod(shape)} values, but X holds "
                f"{f'rows of {sample_shape[0]}' if len(sample_shape) == 1 else f'samples of shape {sample_shape}'}."
            )
        return height, width, channels


def _sizes(value: Any) -> Any:
    """Return one number as a tuple of one."""
    return (int(value),) if isinstance(value, numbers.Integral) and not isinstance(value, bool) else value
