"""What other formats make of an image at the same size, by Pillow."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image, features

#: name: (Pillow's name, feature that it needs or None, options)
PEERS: dict[str, tuple[str, str | None, dict[str, Any]]] = {
    "JPEG": ("jpeg", None, {"optimize": True}),
    "WebP": ("webp", "webp", {"method": 6}),
    "AVIF": ("avif", "avif", {"speed": 6}),
}


def available_peers() -> list[str]:
    """Return the names of the formats that this Pillow writes."""
    return [name for name, (_, feature, _) in PEERS.items() if feature is None or features.check(feature)]


def peer_within(name: str, image: np.ndarray, max_bytes: int) -> tuple[int, np.ndarray] | None:
    """Return size and pixels of the best file of a format that is not larger than `max_bytes`, None if there is none.

    Parameters
    ----------
    name : str
        One of `PEERS`.
    image : ndarray of shape (height, width, 1 or 3), uint8
    max_bytes : int
    """
    best = None
    low, high = 0, 100
    while low <= high:
        quality = (low + high) // 2
        data = _encoded(name, image, quality)
        if len(data) <= max_bytes:
            best, low = data, quality + 1
        else:
            high = quality - 1
    if best is None:
        return None
    with Image.open(io.BytesIO(best)) as decoded:
        pixels = np.asarray(decoded.convert("L" if image.shape[2] == 1 else "RGB"))
    return len(best), pixels.reshape(image.shape)


def _encoded(name: str, image: np.ndarray, quality: int) -> bytes:
    kind, _, options = PEERS[name]
    buffer = io.BytesIO()
    Image.fromarray(image.squeeze(2) if image.shape[2] == 1 else image).save(buffer, kind, quality=quality, **options)
    return buffer.getvalue()
