"""A codec and a denoiser to explore: photographs, one at a time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embudo.codec.peers import peer_within
from embudo.data.images import n_colours, read_image
from embudo.errors import InvalidData
from embudo.metrics.reconstruction import psnr
from embudo.report.explorer.subject import Subject, as_file, asked_number, png_uri

if TYPE_CHECKING:
    from embudo.apps.denoising import ImageDenoiser
    from embudo.codec.image_codec import ImageCodec

MOST_PIXELS = 1_000_000  #: of a photograph; larger ones are brought down to it
HELD = 4  #: photographs that are held at a time


class Photographs(Subject):
    """Photographs that were opened, the last few of them.

    Parameters
    ----------
    images : sequence of Path or of ndarray of shape (height, width[, channels]), uint8
        To choose from; files are read when they are chosen.
    title : str
    grey : bool
        Whether the model knows no colours.
    """

    def __init__(self, images: Sequence[Path] | Sequence[np.ndarray], title: str, grey: bool) -> None:
        self.images, self.title, self.grey = images, title, grey
        self.held: dict[int, np.ndarray] = {}
        self.numbers = itertools.count()
        self.facts = {"n_samples": len(images)}
        self.calls = {"sample": self.sample, "upload": self.upload}

    def sample(self, query: Mapping[str, str], body: bytes) -> dict[str, Any]:
        """Open one of the images to choose from."""
        if not len(self.images):
            raise InvalidData("There are no images to choose from: open one, or name a folder when you start.")
        image = self.images[asked_number(query, "number", 0, len(self.images) - 1, integer=True)]
        return self._open(self._read(image) if isinstance(image, Path) else image)

    def upload(self, query: Mapping[str, str], body: bytes) -> dict[str, Any]:
        """Open an image that is uploaded."""
        with as_file(query, body) as path:
            return self._open(self._read(path))

    def _read(self, path: Path) -> np.ndarray:
        return read_image(path, "grey" if self.grey else "auto")

    def _open(self, image: np.ndarray) -> dict[str, Any]:
        pixels = shrunk(image.reshape(*image.shape[:2], -1))
        number = next(self.numbers)
        self.held[number] = pixels
        self.held.pop(number - HELD, None)
        (height, width), (full_height, full_width) = pixels.shape[:2], image.shape[:2]
        reduced = f", brought down from {full_width} x {full_height}" if image.shape[:2] != pixels.shape[:2] else ""
        return {"photograph": number, "size": f"{width} x {height} pixels{reduced}", "picture": png_uri(pixels)}

    def _held(self, query: Mapping[str, str]) -> np.ndarray:
        pixels = self.held.get(asked_number(query, "photograph", 0, math.inf, integer=True))
        if pixels is None:
            raise InvalidData("This photograph is not held any more: open it again.")
        return pixels


class CodecExplorer(Photographs):
    """A codec: photographs beside what it keeps of them, and what JPEG does in as many bytes.

    Parameters
    ----------
    codec : ImageCodec
        Fitted.
    images, title
        As of `Photographs`.
    """

    template = "codec.html"
    summary = "Photographs as the codec keeps them, and JPEG in no more bytes."

    def __init__(
        self, codec: ImageCodec, images: Sequence[Path] | Sequence[np.ndarray] = (), *, title: str = "Codec"
    ) -> None:
        super().__init__(images, title, grey=codec.channels_ == 1)
        self.codec = codec
        self.calls["compress"] = self.compress

    def compress(self, query: Mapping[str, str], body: bytes) -> dict[str, Any]:
        """Return a photograph at a quality, and by JPEG."""
        pixels, quality = self._held(query), asked_number(query, "quality", 1, 100)
        data = self.codec.encode(pixels, quality)
        decoded = self.codec.decode(data)
        jpeg = peer_within("JPEG", pixels, len(data))
        bits = 8 * len(data) / (pixels.shape[0] * pixels.shape[1])
        told = f"{len(data):,} bytes, {bits:.3f} bits a pixel, {decibels(pixels, decoded)}"
        found = {"embudo": {"picture": png_uri(decoded), "told": told}, "jpeg": None}
        if jpeg is not None:
            told = f"{len(jpeg.data):,} bytes, {decibels(pixels, jpeg.pixels)}"
            found["jpeg"] = {"picture": png_uri(jpeg.pixels), "told": told}
        return found


class DenoiserExplorer(Photographs):
    """A denoiser: photographs with noise, and without it again.

    Parameters
    ----------
    denoiser : ImageDenoiser
        Fitted.
    images, title
        As of `Photographs`.
    """

    template = "denoiser.html"
    summary = (
        "Gaussian noise is added to a photograph, and taken out again. The network sees for itself how much it is."
    )

    def __init__(
        self, denoiser: ImageDenoiser, images: Sequence[Path] | Sequence[np.ndarray] = (), *, title: str = "Denoiser"
    ) -> None:
        super().__init__(images, title, grey=denoiser.channels_ == (1,))
        self.denoiser = denoiser
        self.calls["denoise"] = self.denoise

    def denoise(self, query: Mapping[str, str], body: bytes) -> dict[str, Any]:
        """Return a photograph with noise of a standard deviation, of 255, and denoised; with 0 as it is."""
        pixels, sigma = self._held(query), asked_number(query, "sigma", 0, 100)
        noise = np.random.default_rng(0).normal(0, sigma, pixels.shape)
        noisy = np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)
        denoised = self.denoiser.denoise(noisy, n_views=1)
        return {
            "noisy": {"picture": png_uri(noisy), "told": decibels(pixels, noisy) if sigma else "as it is"},
            "denoised": {"picture": png_uri(denoised), "told": decibels(pixels, denoised)},
        }


def shrunk(pixels: np.ndarray) -> np.ndarray:
    """Return an image of shape (height, width, channels), uint8, without transparency, of `MOST_PIXELS` at most."""
    from PIL import Image

    height, width, channels = pixels.shape
    pixels = pixels[..., : n_colours(channels)]
    if height * width <= MOST_PIXELS:
        return np.ascontiguousarray(pixels)
    ratio = math.sqrt(MOST_PIXELS / (height * width))
    image = Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels)
    size = (max(1, int(width * ratio)), max(1, int(height * ratio)))
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS)).reshape(size[1], size[0], -1)


def decibels(x: np.ndarray, y: np.ndarray) -> str:
    """Return the PSNR of two images, uint8, as people read it."""
    value = psnr(x, y)
    return f"PSNR {value:.2f} dB" if math.isfinite(value) else "the same to the pixel"
