"""Images on their way into a denoiser: checked, paired, held out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from embudo.data.images import channels_last, list_images, read_image, refuse_name
from embudo.data.patches import as_tensor
from embudo.errors import InvalidData

#: type of the pixels: the value that stands for white
WHITE = {"uint8": 255, "uint16": 65535, "float16": 1, "float32": 1, "float64": 1}


def checked(image: Any) -> np.ndarray:
    """Return an image as an array of finite values, shape (height, width[, 1 to 4 channels]).

    Raises
    ------
    InvalidData
    """
    refuse_name(image)
    pixels = np.asarray(image)
    if pixels.dtype.name not in WHITE:
        raise InvalidData(
            f"An image must be of type {', '.join(WHITE)}; got {pixels.dtype}: where its values are from 0 to 255, "
            "image.astype('uint8') mends it."
        )
    if pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (1,), (2,), (3,), (4,)) or not pixels.size:
        raise InvalidData(
            f"An image must be of shape (height, width) or (height, width, 1 to 4 channels); got {pixels.shape}"
            f"{channels_last(pixels.shape)}."
        )
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise InvalidData("The image has values that are NaN or infinite: replace them before it is denoised.")
    return pixels


def check_range(pixels: np.ndarray, white: float) -> None:
    """Refuse what is not on the scale from black to white, even with strong noise."""
    least, greatest = float(pixels.min()), float(pixels.max())
    if not -8 * white <= least <= greatest <= 8 * white:
        raise InvalidData(
            f"The image has values from {least:.4g} to {greatest:.4g}, where black is 0 and white {white:g}: say what "
            "white is by data_range, such as data_range=255."
        )


def paired(X: Any, X_clean: Any) -> tuple[list[np.ndarray], list[np.ndarray] | None]:
    """Return images to learn from and what shall come out, all of the same number of channels."""
    images = _images(X, "X")
    targets = None if X_clean is None else _images(X_clean, "X_clean")
    channels = max(image.shape[2] for image in [*images, *(targets or [])])
    if targets is not None:
        if len(targets) != len(images):
            raise InvalidData(f"X_clean must have an image for each of the {len(images)} of X; got {len(targets)}.")
        for number, (image, target) in enumerate(zip(images, targets, strict=True)):
            if image.shape[:2] != target.shape[:2]:
                raise InvalidData(
                    f"The images of a pair must be of one size; pair {number} has {image.shape[:2]} in X and "
                    f"{target.shape[:2]} in X_clean."
                )
        targets = [np.broadcast_to(target, (*target.shape[:2], channels)) for target in targets]
    return [np.broadcast_to(image, (*image.shape[:2], channels)) for image in images], targets


def _images(X: Any, name: str) -> list[np.ndarray]:
    """Return a folder of images, or a sequence of arrays, as uint8 or float32 of shape (height, width, 1 or 3)."""
    if isinstance(X, str | Path):
        path = Path(X)
        return [read_image(file) for file in (list_images(path) if path.is_dir() else [path])]
    if isinstance(X, np.ndarray) and X.ndim < 3:
        raise InvalidData(f"{name} must be a folder of images, or a sequence of arrays; got one array.")
    images = []
    for image in X:
        pixels = checked(image)
        pixels = pixels.reshape(*pixels.shape[:2], -1)
        pixels = pixels[..., : 1 if pixels.shape[2] < 3 else 3]
        if pixels.dtype != np.uint8:
            pixels = pixels.astype(np.float32) / WHITE[pixels.dtype.name]
            check_range(pixels, 1)
        images.append(pixels)
    if not images:
        raise InvalidData(f"{name} holds no image.")
    return images


class HeldOut:
    """Images of any sizes, one at a time."""

    def __init__(self, images: Sequence[Tensor]) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: Tensor) -> Tensor:
        """Return the one image that is asked for."""
        return self.images[int(indices)]

    def blocks(self) -> Iterator[Tensor]:
        """Yield all images."""
        yield from self.images


def held_out(pair: Any, channels: int, multiple: int) -> tuple[HeldOut, HeldOut]:
    """Return noisy and clean images that are measured, cut to whole blocks."""
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise InvalidData("X_val must be a pair (X, X_clean): noisy and clean images.")
    images, targets = paired(*pair)
    held = []
    for part in (images, targets or []):
        sizes = [tuple(length - length % multiple for length in image.shape[:2]) for image in part]
        cut = [image[:height, :width] for image, (height, width) in zip(part, sizes, strict=True)]
        held.append(HeldOut([as_tensor(np.broadcast_to(i, (*i.shape[:2], channels))[None]) for i in cut]))
    return held[0], held[1]
