"""Patches of images: cut where chance has it, turned and mirrored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from embudo.data.batches import Share


class Patches:
    """Batches of square patches of images; what epoch there is, seed and number decide.

    Parameters
    ----------
    images : sequence of ndarray of shape (height, width, channels), uint8 or float32
        What is learnt from; a patch is as likely to come from one place as from any other. Those smaller than a patch
        are continued by reflection.
    targets : sequence of ndarray, optional
        What shall come out for each, of the same height and width. None is the images themselves.
    size : int
        Pixels on the side of a patch.
    batch_size, n_samples : int
        Patches in a batch, and in an epoch.
    seed : int
    """

    def __init__(
        self,
        images: Sequence[np.ndarray],
        targets: Sequence[np.ndarray] | None = None,
        *,
        size: int,
        batch_size: int,
        n_samples: int,
        seed: int,
    ) -> None:
        self.images = [_at_least(image, size) for image in images]
        self.targets = None if targets is None else [_at_least(image, size) for image in targets]
        self.size, self.batch_size, self.n_samples, self.seed = size, batch_size, n_samples, seed
        areas = np.array([image.shape[0] * image.shape[1] for image in self.images], float)
        self.shares = areas / areas.sum()

    def __len__(self) -> int:
        return -(-self.n_samples // self.batch_size)

    def epoch(self, number: int, share: Share | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of epoch `number`, or a share of each, and their targets.

        They are of shape (n, channels, size, size), from 0 to 1.
        """
        rng = np.random.default_rng((self.seed, number))
        for start in range(0, self.n_samples, self.batch_size):
            n = min(self.batch_size, self.n_samples - start)
            numbers = rng.choice(len(self.images), n, p=self.shares)
            places = [self._place(self.images[i].shape, rng) for i in numbers]
            if share is not None:
                mine = share.share(n)
                numbers, places = numbers[mine], places[mine]
            x = self._batch(self.images, numbers, places)
            yield x, x if self.targets is None else self._batch(self.targets, numbers, places)

    def _place(self, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[int, int, int]:
        top, left = (int(rng.integers(length - self.size + 1)) for length in shape[:2])
        return top, left, int(rng.integers(8))

    def _batch(
        self, images: Sequence[np.ndarray], numbers: np.ndarray, places: Sequence[tuple[int, int, int]]
    ) -> Tensor:
        patches = []
        for number, (top, left, turn) in zip(numbers, places, strict=True):
            patch = np.rot90(images[number][top : top + self.size, left : left + self.size], turn % 4)
            patches.append(patch[:, ::-1] if turn >= 4 else patch)
        return as_tensor(np.ascontiguousarray(np.stack(patches)))  # along whose memory noise is drawn


def as_tensor(images: np.ndarray) -> Tensor:
    """Return images of shape (n, height, width, channels) as (n, channels, height, width), from 0 to 1.

    A pixel's channels stay beside each other in memory, which is how convolutions are fastest.
    """
    x = torch.tensor(images).permute(0, 3, 1, 2)
    return x / 255 if images.dtype == np.uint8 else x.float()


def _at_least(image: np.ndarray, size: int) -> np.ndarray:
    missing = [max(0, size - length) for length in image.shape[:2]]
    return np.pad(image, [(0, missing[0]), (0, missing[1]), (0, 0)], "symmetric") if any(missing) else image
