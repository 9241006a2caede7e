"""The image codec: an autoencoder, a quantiser and an entropy coder, between images and bytes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from embudo.codec.container import Container, Header, pack, unpack
from embudo.codec.images import as_frames, as_images, pack_chunks, unpack_alpha
from embudo.codec.learning import learn, rate_distortion
from embudo.codec.persistence import load, model_id, save, tensors_of
from embudo.codec.quantize import level_of
from embudo.codec.rate import finest_within
from embudo.codec.streams import StreamCoder
from embudo.codec.tiles import LARGEST_BLOCK, Tile, filled, segments
from embudo.codec.transform import CodecNetwork, decoded
from embudo.data.images import n_colours
from embudo.engine.history import History
from embudo.errors import FileFormatError, InvalidData, InvalidParameter, check_choice, check_number
from embudo.models.composed import Composed
from embudo.parts.optimizers import Adam
from embudo.parts.training import Training

BLOCKS = tuple(2**k for k in range(2, LARGEST_BLOCK.bit_length()))
METHODS = ("finetune", "scratch", "linear")
MAX_FEATURES = 4096  #: of a block: PCA takes the cube of them in time


class ImageCodec(Composed):
    """Lossy compression of images by an autoencoder, to files that say which model decodes them.

    The encoder f turns an image into a grid of codes; they are divided by a step that the quality sets, rounded where
    that costs more error than it saves bits, and entropy-coded; the decoder g turns them back. This is transform
    coding (Goyal 2001, Theoretical foundations of transform coding), the transform learnt from images.

    f and g are linear: PCA of blocks that overlap, fitted in closed form. How many bits a code takes depends on the
    codes before it: networks, trained by gradient, say how large it will be.

    Parameters
    ----------
    n_components : int, optional
        Channels of the code. None is as many as a block has values: what is left out is then the quality's to say.
    block : {16, 4, 8, 32, 64}, default=16
        Pixels on the side of a block. Smaller ones suit small images.
    method : {"finetune", "scratch", "linear"}, default="finetune"
        How `fit` learns: by training that begins with the codec that comes with the package, whose block and number of
        components these must be; by PCA, and training from random weights; or in closed form alone, within seconds.
    training : Training, optional
        How the networks are trained; a sample is the codes of one place. With `run_dir`, a training that was stopped
        goes on. None is ``Training(20, batch_size=1024, optimizer=Adam(2e-3), schedule="warmup_cosine")``.
    random_state : int, RandomState or None, default=None
        Decides which codes are learnt from, in what order, and the first weights.

    Attributes
    ----------
    module_ : CodecNetwork
        Encoder and decoder, in torch.
    coder_ : StreamCoder
        Quantiser and entropy coder.
    channels_ : int
        Of the images it was fitted on: 1 is grey, 3 is RGB.
    model_id_ : str
        8 hexadecimal digits that depend on all that decodes a file.
    history_ : dict of lists
        Rate and distortion on images that were held out: quality, bits_per_pixel, psnr.
    training_history_ : dict of dict of lists
        What the training of each network came to after each epoch, by network.

    Examples
    --------
    >>> from sklearn.datasets import load_sample_images
    >>> from embudo import ImageCodec
    >>> china, flower = load_sample_images().images
    >>> codec = ImageCodec(block=8, method="linear").fit([flower])
    >>> data = codec.encode(china, bpp=1)
    >>> len(data) <= 427 * 640 / 8
    True
    >>> codec.decode(data).shape
    (427, 640, 3)
    """

    _default_parts = MappingProxyType(
        {"training": Training(20, batch_size=1024, optimizer=Adam(2e-3), schedule="warmup_cosine")}
    )
    module_: CodecNetwork
    coder_: StreamCoder
    channels_: int
    n_components_: int
    model_id_: str
    history_: History
    training_history_: dict[str, History]

    def __init__(
        self,
        n_components: int | None = None,
        *,
        block: int = 16,
        method: str = "finetune",
        training: Training | None = None,
        random_state: Any = None,
    ) -> None:
        self.n_components = n_components
        self.block = block
        self.method = method
        self.training = training
        self.random_state = random_state

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
        if self.method == "finetune":
            images.channels = 3
        self.check_sizes(images.channels)
        self.training_ = self._part("training", Training)
        self._check_patience(self.training_, validated=False)
        self._check_repeatable(self.training_)
        self.seed_ = self._draw_seed()
        self.channels_ = images.channels
        self.n_components_ = self.n_components or images.channels * self.block**2
        self.training_history_ = {}
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
        check_choice("ImageCodec.method", self.method, METHODS)
        if self.method == "finetune" and (self.block != 16 or self.n_components is not None):
            raise InvalidParameter(
                'ImageCodec.method="finetune" goes on with the codec that comes with the package, of blocks of 16 and '
                'all their components: choose method="scratch" or "linear" for others.'
            )
        features = channels * self.block**2
        if features > MAX_FEATURES:
            raise InvalidParameter(
                f"ImageCodec.block={self.block} makes blocks of {features:,} values, and PCA takes at most "
                f"{MAX_FEATURES:,}: choose a smaller block."
            )
        if self.n_components is not None:
            check_number("ImageCodec.n_components", self.n_components, low=1, high=features, integer=True)

    def _build_network(self) -> CodecNetwork:  # type: ignore[override]
        return CodecNetwork(self.n_components_, self.channels_, self.block)

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
        colours = n_colours(channels)
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
        colours = n_colours(header.channels)
        if colours > self.channels_:
            raise FileFormatError("The .emb file is damaged: it is in colour, and its model is not.")
        frames = np.empty((header.frames, header.height, header.width, header.channels), np.uint8)
        unpack_alpha(container, frames[..., colours:])
        codes = self._codes(container, frames.shape[:3])
        for where, pixels in decoded(self.module_, codes, (header.height, header.width)):
            frames[where][..., :colours] = _as_pixels(pixels, colours)
        return frames if header.frames > 1 else frames[0]

    def _codes(self, container: Container, shape: tuple[int, int, int]) -> Iterator[tuple[Tile, Tensor]]:
        """Yield the tiles of a file, each with its codes, shape (n_components_, height, width)."""
        for tiles, segment in zip(segments(*shape), container.segments, strict=True):
            grid = (-(-tiles[0].height // self.block), -(-tiles[0].width // self.block))
            y = self.coder_.decode(segment, (len(tiles), self.n_components_, *grid), container.header.level)
            yield from zip(tiles, torch.from_numpy(y), strict=True)

    @torch.inference_mode()
    def _latents(self, frames: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the codes h = f(x) of each segment, shape (n, n_components_, height, width)."""
        for tiles in segments(*frames.shape[:3]):
            yield np.stack([self._latent(frames, tile) for tile in tiles])

    def _latent(self, frames: np.ndarray, tile: Tile) -> np.ndarray:
        """Return the codes of a tile, from its pixels and those of a block around it, as far as there are any."""
        block = self.block
        top, left = max(tile.top - block, 0), max(tile.left - block, 0)
        window = frames[tile.frame, top : tile.top + tile.height + block, left : tile.left + tile.width + block]
        x = torch.from_numpy(filled(window[None], block)).permute(0, 3, 1, 2).float()
        h = self.module_.encode(x.expand(-1, self.channels_, -1, -1))[0].numpy()
        rows, columns = (tile.top - top) // block, (tile.left - left) // block
        codes: np.ndarray = h[:, rows : rows - (-tile.height // block), columns : columns - (-tile.width // block)]
        return codes

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


def _as_pixels(x: Tensor, colours: int) -> np.ndarray:
    """Return images of shape (channels, height, width) as pixels, shape (height, width, colours), uint8."""
    x = x if colours == len(x) else x.mean(dim=0, keepdim=True)
    pixels: np.ndarray = x.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
    return pixels
