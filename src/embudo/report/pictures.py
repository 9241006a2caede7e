"""Drawings of images and filters, on axes of matplotlib."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from embudo.report.curves import TrainingDisplay
from embudo.report.display import SIGNED, painted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def mosaic(images: np.ndarray, n_columns: int, gap: int = 1, fill: float = np.nan) -> np.ndarray:
    """Return images side by side, row by row, as one.

    Parameters
    ----------
    images : ndarray of shape (n, height, width[, channels])
    n_columns : int
        Images in a row.
    gap : int, default=1
        Pixels between images.
    fill : float, default=NaN
        What stands where there is none.
    """
    n, height, width, *channels = images.shape
    n_rows = math.ceil(n / n_columns)
    cells = np.full((n_rows * n_columns, height + gap, width + gap, *channels), fill)
    cells[:n, :height, :width] = images
    rows = cells.reshape(n_rows, n_columns, height + gap, width + gap, *channels).swapaxes(1, 2)
    return rows.reshape(n_rows * (height + gap), -1, *channels)[: -gap or None, : -gap or None]


def draw_images(ax: Axes, rows: Mapping[str, np.ndarray]) -> None:
    """Draw rows of images, one below the other, each named on its left.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    rows : mapping of str to ndarray of shape (n, height, width[, 3 or 4])
        Equal numbers of images of one size: greys, 1 as black, or colours, from 0 to 1.
    """
    images = np.concatenate(list(rows.values()))
    n_columns = len(images) // len(rows)
    whole = mosaic(images, n_columns, fill=np.nan if images.ndim == 3 else 1.0)
    ax.imshow(whole, cmap="gray_r", vmin=0, vmax=1)
    step = images.shape[1] + 1
    ax.set_yticks([step * i + step / 2 - 1 for i in range(len(rows))], list(rows))
    ax.set_xticks([])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def strongest(weights: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the `n` units with the greatest weights, and these, each unit's by its own greatest.

    Parameters
    ----------
    weights : ndarray of shape (n_units, ...)
    n : int
        How many units at most.
    """
    rows = weights.reshape(len(weights), -1)
    units = np.argsort(-np.linalg.norm(rows, axis=1))[:n]
    scaled = rows[units] / np.maximum(np.abs(rows[units]).max(axis=1, keepdims=True), 1e-30)
    return units, scaled.reshape(-1, *weights.shape[1:])


def draw_filters(ax: Axes, filters: np.ndarray, n_columns: int = 8) -> None:
    """Draw weights from -1 to 1 as images: in colour, or red where they are positive and blue where negative.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    filters : ndarray of shape (n, height, width[, 3])
    n_columns : int, default=8
        How many in a row.
    """
    whole = mosaic(filters, n_columns) if filters.ndim == 3 else mosaic(painted(filters, -1, 1), n_columns, fill=1.0)
    ax.imshow(whole, cmap=SIGNED, vmin=-1, vmax=1)
    ax.set_axis_off()


def draw_photograph(ax: Axes, image: np.ndarray, **style: Any) -> None:
    """Draw a photograph, shape (height, width) or (height, width, 3), without axes."""
    ax.imshow(image, interpolation="antialiased", **style)
    ax.set_axis_off()


def difference(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the root of the mean squared difference over the channels of two images, shape (height, width)."""
    root: np.ndarray = np.sqrt(np.square(x.astype(np.float64) - y).mean(axis=2))
    return root


def comparison_figure(original: np.ndarray, decoded: np.ndarray, captions: tuple[str, str]) -> Figure:
    """Assemble a picture of an image, what a codec made of it, and the difference.

    Parameters
    ----------
    original, decoded : ndarray of shape (height, width, 1 or 3), uint8
    captions : (str, str)
        Titles of both.
    """
    from matplotlib.figure import Figure

    height, width = original.shape[:2]
    figure = Figure(figsize=(15, min(15, 5 * height / width) + 0.5), layout="constrained")
    axes: Any = figure.subplots(1, 3)
    for ax, image, caption in zip(axes, (original, decoded), captions, strict=False):
        draw_photograph(ax, image.squeeze(), cmap="gray", vmin=0, vmax=255)
        ax.set_title(caption)
    draw_photograph(axes[2], difference(original, decoded), cmap="magma", vmin=0, vmax=64)
    axes[2].set_title("Difference (black: none, white: 64 of 255 or more)")
    return figure


def demo_figure(
    digits: Mapping[str, np.ndarray],
    filters: np.ndarray,
    history: Mapping[str, Sequence[float]],
    photograph: np.ndarray,
    decoded: np.ndarray,
    captions: Mapping[str, str],
) -> Figure:
    """Assemble the picture of ``embudo demo``: digits, filters and training above, a photograph below.

    Parameters
    ----------
    digits : mapping of str to ndarray of shape (n, 8, 8)
        Rows of digits.
    filters : ndarray of shape (n_units, 64)
        Weights of the first layer.
    history : mapping
        History of the training on digits.
    photograph, decoded : ndarray of shape (height, width, 3), uint8
        Before and after compression.
    captions : mapping of str to str
        Titles of "digits", "original" and "decoded".
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 6.8), layout="constrained")
    halves: Any = figure.subfigures(2, 1, height_ratios=(0.88, 1), hspace=0.03)
    above, below = halves
    left, middle, right = above.subplots(1, 3, width_ratios=(2.3, 1.3, 1.5))
    draw_images(left, digits)
    left.set_title(captions["digits"])
    draw_filters(middle, strongest(filters.reshape(-1, 8, 8), 48)[1])
    middle.set_title("First-layer filters, the strongest 48")
    TrainingDisplay({"": history}).plot(right)
    right.set_title("Training on digits")
    original, compressed, error = below.subplots(1, 3)
    draw_photograph(original, photograph)
    original.set_title(captions["original"])
    draw_photograph(compressed, decoded)
    compressed.set_title(captions["decoded"])
    draw_photograph(error, difference(photograph, decoded), cmap="magma", vmin=0, vmax=64)
    error.set_title("Difference (black: none, white: 64 of 255 or more)")
    return figure
