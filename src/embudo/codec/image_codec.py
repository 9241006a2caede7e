"""The image codec: an autoencoder, a quantiser and an entropy coder, between images and bytes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from embudo.codec.container import Container, Header, pack, unpack
from embudo.codec.images import as_frames, as_images, pack_chunks, unpack_alpha
from embudo.codec.learning import learn, rate_distortion
from embudo.codec.persistence import load, model_id, save, tensors_of
from embudo.codec.quantize import level_of
from embudo.codec.rate import finest_within
from embudo.codec.streams import StreamCoder
from embudo.codec.tiles import LARGEST_BLOCK, filled, segments
from embudo.codec.transform import linear_network
from embudo.engine.history import History
from embudo.errors import FileFormatError, InvalidData, InvalidParameter, check_choice, check_number
from embudo.models.composed import Composed
from embudo.nn.network import Network

BLOCKS = tuple(2**k for k in range(2, LARGEST_BLOCK.bit_length()))
MAX_FEATURES = 4096  #: of a block: PCA takes the cube of them in time


class ImageCodec(Composed):
    """Lossy compression of images by an autoencoder, to files that say which model decodes them.

    The encoder f turns an image into a grid of codes; they are divided by a step that the quality sets, rounded where
    that costs more error than it saves bits, and entropy-coded; the decoder g turns them back. This is transform
    coding (Goyal 2001, Theoretical foundations of transform coding), the transform learnt from images.

    Here f and g are linear: PCA of blocks, fitted in closed form.

    Parameters
    ----------
    n_components : int, optional
        Channels of the code. None is as many as a block has values: what is left out is then the quality's to say.
    block : {16, 4, 8, 32, 64}, default=16
        Pixels on the side of a block. Smaller ones suit small images.

    Attributes
    ----------
    module_ : Network
        Encoder and decoder, in torch.
    coder_ : StreamCoder
        Quantiser and entropy coder.
    channels_ : int
        Of the images it was fitted on: 1 is grey, 3 is RGB.
    model_id_ : str
        8 hexadecimal digits that depend on all that decodes a file.
    history_ : dict of lists
        Rate and distortion on images that were held out: quality, bits_per_pixel, psnr.

    Examples
    --------
    >>> from sklearn.datasets import load_sample_images
    >>> from embudo import ImageCodec
    >>> china, flower = load_sample_images().images
    >>> codec = ImageCodec(block=8).fit([flower])
    >>> data = codec.encode(china, bpp=1)
    >>> len(data) <= 427 * 640 / 8
    True
    >>> codec.decode(data).shape
    (427, 640, 3)
    """

    module_: Network
    coder_: StreamCoder
    channels_: int
    n_components_: int
    model_id_: str
    history_: History

    def __init__(self, n_components: int | None = None, *, block: int = 16) -> None:
        self.n_components = n_components
        self.block = block

    @classmethod
    def pretrained(cls) -> ImageCodec:
        """Return the codec that comes with the package, learnt from photographs."""
        return cls.load(Path(__file__).with_name("pretrained.safetensors"))

    # ------------------------------------------------------------------ learning

    def fit(self, X: Any, y: Any = None, *, X_val: Any = None) -> Self:
        """Learn from images.

        Parameters
        ----------
        X : path, or sequence of ndarray of shape (height, width[, channels]), uint8
            A folder of images, or images of any sizes, grey or RGB.
        y : None
            Not used.
        X_val : like X, optional
            Images that are not learnt from, for the rate-distortion curve in `history_`.

        Raises
        ------
        InvalidData
            If there is no image, or some are grey and some in colour.
        InvalidParameter
        """
        images = as_images(X)
        self.check_sizes(images.channels)
        self.channels_ = images.channels
        self.n_components_ = self.n_components or images.channels * self.block**2
        learn(self, images)
        self.model_id_ = model_id(tensors_of(self))
        self.history_ = {} if X_val is None else rate_distortion(self, as_images(X_val))
        return self

    def check_sizes(self, channels: int) -> None:
        """Refuse parameters that images of so many channels do not allow.

        Raises
        ------
        InvalidParameter
        """
        check_choice("ImageCodec.block", self.block, BLOCKS)
        features = channels * self.block**2
        if features > MAX_FEATURES:
            raise InvalidParameter(
                f"ImageCodec.block={self.block} makes blocks of {features:,} values, and PCA takes at most "
                f"{MAX_FEATURES:,}: choose a smaller block."
            )
        if self.n_components is not None:
            check_number("ImageCodec.n_components", self.n_components, low=1, high=features, integer=True)

    def _build_network(self) -> Network:
        return linear_network(self.n_components_, self.channels_, self.block)

    # ------------------------------------------------------------------ coding

    def encode(
        self,
        image: Any,
        quality: float = 50,
        *,
        max_bytes: int | None = None,
        bpp: float | None = None,
        metadata: Mapping[str, bytes] | None = None,
    ) -> bytes:
        """Compress an image, or several of one size.

        Parameters
        ----------
        image : ndarray of shape (height, width[, channels]) or (n, height, width, channels), uint8
            1 channel is grey, 2 are grey and alpha, 3 RGB, 4 RGB and alpha. Alpha is kept as it is.
        quality : float, default=50
            From 1 to 100. A file of a higher quality is larger.
        max_bytes : int, optional
            Instead of a quality: the best one whose file is not larger.
        bpp : float, optional
            The same in bits a pixel.
        metadata : mapping of str to bytes, optional
            What is kept beside the pixels, by kind: "icc", "exif", "xmp".

        Returns
        -------
        bytes
            The content of an ``.emb`` file.

        Raises
        ------
        InvalidData
            If the image is not one, or in colour where the codec is not.
        InvalidParameter
            If the quality is out of range, or the size cannot be reached.
        """
        check_is_fitted(self)
        frames = as_frames(image)
        n, height, width, channels = frames.shape
        colours = channels - (channels % 2 == 0)
        if colours > self.channels_:
            raise InvalidData("This codec was fitted on grey images and cannot encode one in colour.")
        header = Header(bytes.fromhex(self.model_id_), width, height, channels, 0, n)
        header.check()
        chunks = pack_chunks(frames[..., colours:], metadata or {})

        def encoded(level: int) -> bytes:
            streams = [self.coder_.encode(y, level) for y in self._latents(frames[..., :colours])]
            return pack(Container(dataclasses.replace(header, level=level), streams, chunks))

        if bpp is not None:
            check_number("bpp", bpp, low=0, open_low=True)
            if max_bytes is not None:
                raise InvalidParameter("Give max_bytes or bpp, not both.")
            max_bytes = int(bpp * n * height * width / 8)
        if max_bytes is None:
            return encoded(level_of(quality, self.coder_.prior.coarsest))
        check_number("max_bytes", max_bytes, low=1, integer=True)
        return finest_within(encoded, self.coder_.prior.coarsest, max_bytes)

    def decode(self, data: bytes) -> np.ndarray:
        """Return the image, or the images, of an ``.emb`` file.

        Parameters
        ----------
        data : bytes

        Returns
        -------
        ndarray of shape (height, width, channels), or (n, height, width, channels) for several, uint8
            With the channels that were encoded.

        Raises
        ------
        FileFormatError
            If the file is damaged, or was encoded by another model.
        """
        check_is_fitted(self)
        container = unpack(data)
        header = container.header
        if header.model_id.hex() != self.model_id_:
            raise FileFormatError(
                f"The .emb file was encoded by the model {header.model_id.hex()}, and this is {self.model_id_}: "
                "decode it with the model that encoded it."
            )
        colours = header.channels - (header.channels % 2 == 0)
        if colours > self.channels_:
            raise FileFormatError("The .emb file is damaged: it is in colour, and its model is not.")
        frames = np.empty((header.frames, header.height, header.width, header.channels), np.uint8)
        unpack_alpha(container, frames[..., colours:])
        for tiles, segment in zip(segments(*frames.shape[:3]), container.segments, strict=True):
            grid = (-(-tiles[0].height // self.block), -(-tiles[0].width // self.block))
            y = self.coder_.decode(segment, (len(tiles), self.n_components_, *grid), header.level)
            for tile, pixels in zip(tiles, self._pixels(y, colours), strict=True):
                frames[tile.where][..., :colours] = pixels[: tile.height, : tile.width]
        return frames if header.frames > 1 else frames[0]

    @torch.inference_mode()
    def _latents(self, frames: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the codes h = f(x) of each segment, shape (n, n_components_, height, width)."""
        for tiles in segments(*frames.shape[:3]):
            pixels = filled(np.stack([frames[tile.where] for tile in tiles]), self.block)
            x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
            yield self.module_.encode(x.expand(-1, self.channels_, -1, -1)).numpy()

    @torch.inference_mode()
    def _pixels(self, y: np.ndarray, colours: int) -> np.ndarray:
        """Return the pixels x' = g(h) of a segment, shape (n, height, width, colours), uint8."""
        x = self.module_.decode(torch.from_numpy(y))
        x = x if colours == self.channels_ else x.mean(dim=1, keepdim=True)
        pixels: np.ndarray = x.round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
        return pixels

    # ------------------------------------------------------------------ files

    def save(self, path: str | Path) -> None:
        """Write the codec to one safetensors file, that `ImageCodec.load` reads.

        Parameters
        ----------
        path : str or Path
            Replaced as a whole, or not at all.
        """
        check_is_fitted(self)
        save(self, path)

    @classmethod
    def load(cls, path: str | Path) -> ImageCodec:
        """Read a codec that `save` wrote.

        Raises
        ------
        FileFormatError
            If the file is missing, damaged, or not a codec.
        """
        return load(path)
