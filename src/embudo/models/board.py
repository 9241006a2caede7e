"""Samples of a training: as the model sees them by now, and in the end in TensorBoard, with their codes."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from embudo.data.arrays import Matrix
from embudo.data.batches import Rows, StreamRows
from embudo.data.streams import Stream
from embudo.engine.board import Board
from embudo.engine.progress import Look, Preview
from embudo.parts.corruptions import Corruption

if TYPE_CHECKING:
    from embudo.models.base import BaseAutoencoder

N_IMAGES = 16  #: that are shown beside their reconstructions
N_CODES = 1000  #: samples whose codes are shown
LARGEST = 96  #: pixels in height and width of images that stand for codes
N_LOOKED_AT = 12  #: samples at most that are looked at in the course of a training
MOST_VALUES = 2**18  #: in these, where that leaves a few samples


def show_samples(model: BaseAutoencoder, X: Matrix, folder: Any) -> None:
    """Show the codes of the first samples that a model has learnt from, and where they are images how it sees them."""
    rows: Any = next(X.slices(N_CODES))[1] if isinstance(X, Stream) else X[:N_CODES]
    rows = rows.toarray() if scipy.sparse.issparse(rows) else rows
    step, shape, images = int(model.history_["epoch"][-1]), image_shape(model), None
    with Board(folder) as board:
        if shape is not None:
            images = as_images(rows, rows, shape)
            passed = np.concatenate([y for _, _, y in model._outputs("forward", rows[:N_IMAGES])])
            board.show_images("samples", images[:N_IMAGES], step)
            board.show_images("reconstructions", as_images(passed, rows, shape), step)
        codes = np.concatenate([h for _, _, h in model._outputs("encode", rows)])
        board.show_codes(codes, images if max(shape or (0,)) <= LARGEST else None, step)


def image_shape(model: BaseAutoencoder) -> tuple[int, ...] | None:
    """Return the shape in which samples are images, (height, width) or (height, width, 1 or 3); None: they are none."""
    first: Any = model.layers_[0][1] if hasattr(model, "layers_") else model
    shape: tuple[int, ...] | None = model.sample_shape_ or getattr(first.encoder_, "image_shape", None)
    return shape if shape is not None and len(shape) in {2, 3} and shape[2:] in {(), (1,), (3,)} else None


def as_images(values: np.ndarray, whole: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return samples as images of shape (n, height, width, 1 or 3), with 0 and 1 for the extremes of the `whole`."""
    low, high = float(whole.min()), float(whole.max())
    scaled: np.ndarray = np.clip((values.astype(np.float32) - low) / max(high - low, 1e-12), 0, 1)
    return scaled.reshape(-1, *shape[:2], *(shape[2:] or (1,)))


def look_at(model: BaseAutoencoder, learnt: tuple[Rows, Rows]) -> Look:
    """Return what tells how a model sees a few of the samples that it learns from: the same each time, noise too.

    Parameters
    ----------
    model : Autoencoder or StackedAutoencoder
    learnt : (Rows, Rows)
        Samples and their targets. None is read before the first look.
    """

    @functools.cache
    def chosen() -> tuple[Tensor, Tensor]:
        rows, targets = learnt
        n_features = model.n_features_in_
        n = min(len(rows), max(4, min(N_LOOKED_AT, MOST_VALUES // n_features)))
        indices = torch.from_numpy(np.linspace(0, len(rows) - 1, n, dtype=np.int64))
        given = next(rows.blocks())[:n] if isinstance(rows, StreamRows) else rows.take(indices)
        target = given if targets is rows else targets.take(indices)[:, :n_features]
        if isinstance(model.corruption, Corruption):
            given, _ = model.corruption(given, torch.Generator(given.device).manual_seed(model.seed_))
        return given, target

    def unscaled(x: Tensor) -> np.ndarray:
        return model.scaler_.invert(x.cpu().double().numpy())

    @torch.no_grad()
    def look() -> Preview:
        (given, target), runtime = chosen(), model._runtime()
        with runtime.autocast():
            y = model.module_(given.to(runtime.device))
        return Preview(
            samples=unscaled(target),
            given=None if given is target else unscaled(given),
            reconstructions=unscaled(y),
            shape=image_shape(model),
        )

    return look
