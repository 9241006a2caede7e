"""A page with a map of samples: one file that asks for nothing outside itself."""

from __future__ import annotations

import base64
import io
import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from embudo.report.templates import template

#: ten colours that are told apart with any colour vision (Petroff 2021, Accessible color sequences)
PALETTE = (
    *("#3f90da", "#ffa90e", "#bd1f01", "#832db6", "#92dadd"),
    *("#a96b59", "#e76300", "#717581", "#b9ac70", "#94a4a2"),
)
NO_LABEL, NO_LABEL_COLOR = "no label", "#d0d0d0"
RANGES = 8  #: that numbers are put into, where there are more of them than colours
LARGEST_TILE = 32  #: pixels on the longer side of a thumbnail
SPRITE_BYTES = 2_500_000  #: of all thumbnails: samples beyond have none


def map_page(
    codes: np.ndarray,
    *,
    title: str,
    labels: np.ndarray | None = None,
    images: np.ndarray | None = None,
    facts: Mapping[str, str] | None = None,
) -> str:
    """Return an HTML page in which samples lie where their codes are.

    Parameters
    ----------
    codes : ndarray of shape (n_samples, 1, 2 or 3)
    title : str
    labels : ndarray of shape (n_samples,), optional
        Text or numbers, by which points are coloured; None where a sample has none.
    images : ndarray of shape (n_samples, height, width[, channels]), optional
        Thumbnails, shown for the sample that is pointed at: uint8, or numbers that are stretched to black and white.
    facts : mapping of str to str, optional
        What is said below the title.
    """
    said = "; ".join(f"{name} {value}" for name, value in (facts or {}).items())
    data = map_data(codes, labels, images)
    return template("map.html").render(title=title, facts=said, data=data, help=help_on(codes.shape[1]))


def help_on(dimensions: int) -> str:
    """Return how a map of so many dimensions is moved."""
    moved = "turn it, with Shift move it" if dimensions == 3 else "move it"
    return f"Drag or arrow keys {moved}; wheel, + and - zoom; 0 shows all. Boxes hide labels."


def map_data(codes: np.ndarray, labels: np.ndarray | None = None, images: np.ndarray | None = None) -> dict[str, Any]:
    """Return what the script scatter.js draws, of what `map_page` is given."""
    groups, names, colors = grouped(labels, len(codes))
    low, span = codes.min(axis=0), float(np.ptp(codes, axis=0).max()) or 1.0
    centred = (codes - low - np.ptp(codes, axis=0) / 2) / span  # one scale for all dimensions
    sprite = thumbnails(images) if images is not None else {"sprite": None, "pictured": ""}
    return {
        "n": len(codes),
        "dimensions": codes.shape[1],
        "codes": _base64(np.rint((centred + 0.5) * 65535).astype("<u2").tobytes()),
        "groups": _base64(groups.astype("<u2").tobytes()),
        "labels": [
            {"name": name, "color": color, "count": int(count)}
            for name, color, count in zip(names, colors, np.bincount(groups, minlength=len(names)), strict=True)
        ],
        **sprite,
    }


def grouped(labels: np.ndarray | None, n: int) -> tuple[np.ndarray, list[str], list[str]]:
    """Return the number of each sample's label, and names and colours of the labels.

    Numbers that are many are put into ranges; text of which there are more kinds than colours has colours that repeat.
    """
    if labels is None:
        return np.zeros(n, np.int64), [""], [PALETTE[0]]
    known = np.array([label is not None and label == label for label in labels])
    values, places = np.unique(np.array(labels[known].tolist()), return_inverse=True)
    if len(values) > len(PALETTE) and values.dtype.kind in "iuf":
        places, names, colors = _ranges(np.array(labels[known].tolist(), dtype=float))
    else:
        names, colors = [str(value) for value in values], [PALETTE[i % len(PALETTE)] for i in range(len(values))]
    groups = np.full(n, len(names))
    groups[known] = places
    return (groups, names, colors) if known.all() else (groups, [*names, NO_LABEL], [*colors, NO_LABEL_COLOR])


def _ranges(values: np.ndarray) -> tuple[np.ndarray, list[str], list[str]]:
    """Return in which range each value lies, and names and colours of ranges that hold equally many."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    edges = np.unique(np.quantile(values, np.linspace(0, 1, RANGES + 1)))
    names = [f"{low:.4g} to {high:.4g}" for low, high in itertools.pairwise(edges)]
    colors = [to_hex(colormaps["cividis"](i / max(1, len(names) - 1))) for i in range(len(names))]
    return np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(names) - 1), names, colors


def thumbnails(images: np.ndarray) -> dict[str, Any]:
    """Return pictures of as many samples as fit into `SPRITE_BYTES`, spread over all, side by side as one PNG image."""
    pixels = _as_bytes(images)
    step = max(1, math.ceil(max(pixels.shape[1:3]) / LARGEST_TILE))
    pixels = pixels[:, ::step, ::step] if step > 1 else pixels
    spread = np.linspace(0, len(pixels) - 1, min(len(pixels), 400)).astype(int)
    fitting = int(SPRITE_BYTES * len(spread) / len(_sprite(pixels[spread], 20)))
    chosen = np.unique(np.linspace(0, len(pixels) - 1, min(len(pixels), fitting)).astype(int))
    columns = math.ceil(math.sqrt(len(chosen)))
    return {
        "sprite": f"data:image/png;base64,{_base64(_sprite(pixels[chosen], columns))}",
        "tile": [pixels.shape[2], pixels.shape[1]],
        "columns": columns,
        "pictured": _base64(chosen.astype("<u4").tobytes()),
    }


def _as_bytes(images: np.ndarray) -> np.ndarray:
    """Return images of shape (n, height, width, 1 or 3), uint8."""
    if images.dtype != np.uint8:
        low, high = float(images.min()), float(images.max())
        images = np.rint((images - low) * (255 / ((high - low) or 1))).astype(np.uint8)
    return images[..., np.newaxis] if images.ndim == 3 else images


def _sprite(pixels: np.ndarray, columns: int) -> bytes:
    from PIL import Image

    n, height, width, channels = pixels.shape
    rows = math.ceil(n / columns)
    cells = np.zeros((rows * columns, height, width, channels), np.uint8)
    cells[:n] = pixels
    whole = cells.reshape(rows, columns, height, width, channels).swapaxes(1, 2).reshape(rows * height, -1, channels)
    if channels == 1:  # sixteen greys, two pixels a byte
        image = Image.fromarray(((whole.squeeze(2).astype(np.uint16) + 8) // 17).astype(np.uint8))
        image.putpalette([17 * grey for grey in range(16) for _ in range(3)])
    else:
        image = Image.fromarray(whole).quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    file = io.BytesIO()
    image.save(file, "png", bits=4 if channels == 1 else 8)
    return file.getvalue()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
