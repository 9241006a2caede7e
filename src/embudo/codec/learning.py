"""From training images to a codec."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch

from embudo.codec.images import Images
from embudo.codec.statistics import fit_coder
from embudo.codec.transform import principal_axes
from embudo.engine.history import History
from embudo.metrics.reconstruction import psnr

if TYPE_CHECKING:
    from embudo.codec.image_codec import ImageCodec

N_BLOCKS = 8000  #: as many codes a channel tell what the entropy coder has to know
CROP = 24  #: blocks on the side of the parts of images that they are taken from
QUALITIES = (5, 15, 30, 50, 70, 85, 95)


def learn(codec: ImageCodec, images: Images) -> None:
    """Fit a linear codec in closed form: the network by PCA of blocks, the coder by counting."""
    mean, axes = principal_axes(images, codec.block)
    weight = torch.from_numpy(axes[: codec.n_components_].astype(np.float16)).float()  # as a model file holds it
    offset = torch.from_numpy(mean).float()
    bias = -(weight.sum(dim=(2, 3)) @ offset)
    weights = {"encoder.0.weight": weight, "encoder.0.bias": bias, "decoder.0.bias": offset}
    codec._load_weights(weights)
    by_shape = defaultdict(list)  # many small images are quicker at once
    for crop in _crops(images, codec.block):
        for y in codec._latents(crop[None]):
            by_shape[y.shape].append(y)
    codec.coder_ = fit_coder([np.concatenate(group) for group in by_shape.values()])


def _crops(images: Images, block: int) -> Iterator[np.ndarray]:
    """Yield parts of images drawn from all of them, whole blocks each, `N_BLOCKS` together if there are so many."""
    rng = np.random.default_rng(0)
    left = N_BLOCKS
    for i in rng.permutation(len(images)):
        image, side = images[int(i)], block * CROP
        top, start = (block * rng.integers(max(0, length - side) // block + 1) for length in image.shape[:2])
        crop = image[top : top + side, start : start + side]
        yield crop
        left -= -(-crop.shape[0] // block) * -(-crop.shape[1] // block)
        if left <= 0:
            return


def rate_distortion(codec: ImageCodec, images: Images) -> History:
    """Return mean bits a pixel of whole files and mean PSNR of images, for several qualities."""
    history: History = {"quality": [], "bits_per_pixel": [], "psnr": []}
    for quality in QUALITIES:
        points = []
        for image in images:
            data = codec.encode(image, quality)
            points.append((8 * len(data) / (image.shape[0] * image.shape[1]), psnr(image, codec.decode(data))))
        rate, distortion = np.mean(points, axis=0)
        for name, value in zip(history, (quality, float(rate), float(distortion)), strict=True):
            history[name].append(value)
    return history
