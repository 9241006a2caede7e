"""Samples of a training in TensorBoard: reconstructions of images, and codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse

from embudo.data.arrays import Matrix
from embudo.data.streams import Stream
from embudo.engine.board import Board

if TYPE_CHECKING:
    from embudo.models.base import BaseAutoencoder

N_IMAGES = 16  #: that are shown beside their reconstructions
N_CODES = 1000  #: samples whose codes are shown
LARGEST = 96  #: pixels in height and width of images that stand for codes


def show_samples(model: BaseAutoencoder, X: Matrix, folder: Any) -> None:
    """Show the codes of the first samples that a model has learnt from, and where they are images how it sees them."""
    rows: Any = next(X.slices(N_CODES))[1] if isinstance(X, Stream) else X[:N_CODES]
    rows = rows.toarray() if scipy.sparse.issparse(rows) else rows
    step, shape, images = int(model.history_["epoch"][-1]), model.sample_shape_, None
    with Board(folder) as board:
        if shape is not None and len(shape) in {2, 3} and shape[2:] in {(), (1,), (3,)}:
            images = as_images(rows, rows, shape)
            passed = np.concatenate([y for _, _, y in model._outputs("forward", rows[:N_IMAGES])])
            board.show_images("samples", images[:N_IMAGES], step)
            board.show_images("reconstructions", as_images(passed, rows, shape), step)
        codes = np.concatenate([h for _, _, h in model._outputs("encode", rows)])
        board.show_codes(codes, images if max(shape or (0,)) <= LARGEST else None, step)


def as_images(values: np.ndarray, whole: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return samples as images of shape (n, height, width, 1 or 3), with 0 and 1 for the extremes of the `whole`."""
    low, high = float(whole.min()), float(whole.max())
    scaled: np.ndarray = np.clip((values.astype(np.float32) - low) / max(high - low, 1e-12), 0, 1)
    return scaled.reshape(-1, *shape[:2], *(shape[2:] or (1,)))
