"""What other formats make of an image at the same size, by Pillow."""

from __future__ import annotations

import importlib
import importlib.util
import io
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, features

JPEG_XL = "pillow_jxl"  #: the module of pillow-jxl-plugin, used where it is installed

#: name: (Pillow's name, options); the quality, 0 to 100, is one more
PEERS: dict[str, tuple[str, dict[str, Any]]] = {
    "JPEG": ("jpeg", {"optimize": True, "subsampling": "4:2:0"}),
    "WebP": ("webp", {"method": 6}),
    "AVIF": ("avif", {"speed": 6}),
    "JPEG XL": ("jxl", {"effort": 7}),
}


class Encoded(NamedTuple):
    """A file of another format: its bytes, and the pixels that it decodes to, as the image's."""

    data: bytes
    pixels: np.ndarray


def available_peers() -> list[str]:
    """Return the names of the formats that this Pillow writes."""
    available = {
        "JPEG": True,
        "WebP": features.check("webp"),
        "AVIF": "avif" in features.modules and features.check("avif"),  # older versions of Pillow warn
        "JPEG XL": importlib.util.find_spec(JPEG_XL) is not None,
    }
    return [name for name in PEERS if available[name]]


def encode_peer(name: str, image: np.ndarray, quality: int) -> Encoded:
    """Return the file of a format, and what it decodes to.

    Parameters
    ----------
    name : str
        One of `available_peers`.
    image : ndarray of shape (height, width, 1 or 3), uint8
    quality : int
        From 0 to 100.
    """
    kind, options = PEERS[name]
    grey = image.shape[2] == 1
    if name == "JPEG XL":
        importlib.import_module(JPEG_XL)  # makes itself known to Pillow
        options = options | {"lossless": quality == 100}
    if name == "AVIF" and grey:
        options = options | {"subsampling": "4:0:0"}
    buffer = io.BytesIO()
    Image.fromarray(image.squeeze(2) if grey else image).save(buffer, kind, quality=quality, **options)
    return Encoded(buffer.getvalue(), decoded_pixels(buffer.getvalue(), image.shape[2]))


def decoded_pixels(data: bytes, channels: int) -> np.ndarray:
    """Return the pixels of an image file in memory, shape (height, width, channels), 1 or 3 of them."""
    with Image.open(io.BytesIO(data)) as decoded:
        pixels = np.asarray(decoded.convert("L" if channels == 1 else "RGB"))
    return pixels.reshape(*pixels.shape[:2], channels)


def peer_within(name: str, image: np.ndarray, max_bytes: int) -> Encoded | None:
    """Return the file of the highest quality that is not larger than `max_bytes`, None if there is none.

    Parameters
    ----------
    name, image
        As in `encode_peer`.
    max_bytes : int
    """
    best = None
    low, high = 0, 100
    while low <= high:
        quality = (low + high) // 2
        found = encode_peer(name, image, quality)
        if len(found.data) <= max_bytes:
            best, low = found, quality + 1
        else:
            high = quality - 1
    return best
