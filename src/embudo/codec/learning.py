"""From training images to a codec.

First the transform: principal axes in closed form, or those of the codec that comes with the package. Then the coder:
in closed form too, and by networks that learn from integer codes, of all qualities, how large the next will be.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from embudo.codec.context import N_HIDDEN, NetworkPrior
from embudo.codec.images import Images
from embudo.codec.objectives import NOT_CODED, CodeLength, in_integers, trainable
from embudo.codec.quantize import LEVELS_PER_OCTAVE
from embudo.codec.statistics import ROUNDS, fit_coder, fit_quantizer
from embudo.codec.streams import StreamCoder
from embudo.codec.transform import principal_axes
from embudo.data.batches import TensorRows, split
from embudo.engine.fitting import make_step
from embudo.engine.history import History
from embudo.engine.objective import Objective
from embudo.engine.runtime import resolve_runtime
from embudo.metrics.reconstruction import psnr

if TYPE_CHECKING:
    from embudo.codec.image_codec import ImageCodec

N_BLOCKS = 8000  #: as many codes a channel tell what the entropy coder has to know in closed form
CROP = 24  #: blocks on the side of the parts of images that they are taken from
N_PLACES = 2**17  #: places whose codes the networks of the prior learn from, over all levels
BITS_BY_OCTAVE = 1.2  #: octaves by which the bits of an image fall for an octave of the step, about
QUALITIES = (5, 15, 30, 50, 70, 85, 95)


def learn(codec: ImageCodec, images: Images) -> None:
    """Fit a codec to images."""
    if codec.method == "finetune":
        _take_over(codec)
    else:
        _fit_closed_form(codec, images)
    if codec.method == "linear":
        return
    _train_prior(codec, images)


def _take_over(codec: ImageCodec) -> None:
    """Begin with the codec that comes with the package."""
    shipped = codec.pretrained()
    codec._load_weights(shipped.module_.state_dict())
    codec.coder_ = shipped.coder_


def _fit_closed_form(codec: ImageCodec, images: Images) -> None:
    """Fit the linear codec: the transform by PCA, the coder by counting."""
    mean, axes = principal_axes(images, codec.block)
    weight = torch.from_numpy(axes[: codec.n_components_].astype(np.float16)).float()  # as a model file holds it
    offset = torch.from_numpy(mean).float()
    bias = -(weight.sum(dim=(2, 3)) @ offset)
    codec._load_weights({"projection.weight": weight, "projection.bias": bias, "mean": offset})
    codec.coder_ = fit_coder(_latents(codec, images))


def _latents(codec: ImageCodec, images: Images) -> list[np.ndarray]:
    """Return the codes of parts of images, `N_BLOCKS` of each channel if there are so many."""
    by_shape = defaultdict(list)  # many small images are quicker at once
    for crop in _crops(images, codec.block):
        for y in codec._latents(crop[None]):
            by_shape[y.shape].append(y)
    return [np.concatenate(group) for group in by_shape.values()]


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


def _train_prior(codec: ImageCodec, images: Images) -> None:
    """Teach the networks of the prior how large codes will be, one network after the other; count the tables again."""
    prior = _network_prior(codec)
    rows = _prior_rows(prior, _quantized(codec, images))
    networks = list(prior.networks)
    for number in sorted(rows):
        network = trainable(networks[number]).to(resolve_runtime(codec.training_).device)
        objective = CodeLength(network, codec.coder_.quantizer.tables, codec.seed_)
        _train(codec, f"network {number}", objective, rows.pop(number))
        networks[number] = in_integers(network)
        if not codec._completed:  # Ctrl-C
            break
    prior = dataclasses.replace(prior, networks=networks)
    coder, latents = StreamCoder(prior, codec.coder_.quantizer), _latents(codec, images)
    for _ in range(ROUNDS):
        coder = StreamCoder(prior, fit_quantizer(coder, latents))
    codec.coder_ = coder


def _network_prior(codec: ImageCodec) -> NetworkPrior:
    """Return the prior of the codec; networks that add nothing, where it has none."""
    prior = codec.coder_.prior
    if isinstance(prior, NetworkPrior):
        return prior
    generator = torch.Generator().manual_seed(codec.seed_)
    networks = []
    for n_inputs, n_outputs in NetworkPrior.sizes(codec.n_components_):
        widths = [n_inputs, N_HIDDEN, N_HIDDEN, n_outputs]
        layers = [nn.utils.skip_init(nn.Linear, *pair) for pair in pairwise(widths)]
        for layer in layers:
            nn.init.kaiming_uniform_(layer.weight, a=5**0.5, generator=generator)
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(layers[-1].weight)
        networks.append(in_integers(nn.Sequential(*layers)))
    return NetworkPrior(**vars(prior), networks=networks)


def _quantized(codec: ImageCodec, images: Images) -> Iterator[tuple[np.ndarray, int]]:
    """Yield integers for codes of images, and the level, drawn at random: `N_PLACES` if there are so many."""
    rng = np.random.default_rng(codec.seed_)
    left = N_PLACES
    while left > 0:
        before = left
        for i in rng.permutation(len(images)):
            for y in codec._latents(images[int(i)][None]):
                level = int(rng.integers(codec.coder_.prior.coarsest + 1))
                yield codec.coder_.quantize(y, level), level
                left -= y.shape[2] * y.shape[3]
            if left <= 0:
                return
        if before - left < N_PLACES // 8:  # few images say the same again and again
            left -= 7 * (before - left)


def _prior_rows(
    prior: NetworkPrior, samples: Iterable[tuple[np.ndarray, int]]
) -> dict[int, tuple[TensorRows, TensorRows]]:
    """Return features and targets, as `CodeLength` takes them, by number of the network that learns from them."""
    found = defaultdict(list)
    for codes, level in samples:
        weight = max(1, round(2 ** (14 - BITS_BY_OCTAVE * (prior.coarsest - level) / LEVELS_PER_OCTAVE)))
        for part in prior.parts(codes, level):
            if part.kind:
                n_outputs = len(prior.networks[part.kind - 1].layers[-1][1])
                magnitudes = np.minimum(np.abs(codes[part.where] - part.mean), np.iinfo(np.int16).max)
                n_active = magnitudes.shape[1]
                target = np.full((1 + 2 * n_outputs, magnitudes[:, 0].size), NOT_CODED, np.int16)
                target[0] = weight
                target[1 : 1 + n_active] = _columns(part.base)
                target[1 + n_outputs :][:n_active] = _columns(magnitudes)
                found[part.kind - 1].append((_columns(part.context).astype(np.int16).T, target.T))
    rows = {}
    for number in sorted(found):
        features, targets = zip(*found.pop(number), strict=True)
        rows[number] = (_joined(features), _joined(targets))
    return rows


def _columns(values: np.ndarray) -> np.ndarray:
    """Return an array of shape (n, n_channels, height, width) as n_channels rows of all places."""
    rows: np.ndarray = values.swapaxes(0, 1).reshape(values.shape[1], -1)
    return rows


def _joined(parts: Sequence[np.ndarray]) -> TensorRows:
    return TensorRows(torch.from_numpy(np.concatenate(parts)))


def _train(codec: ImageCodec, stage: str, objective: Objective, rows: tuple[TensorRows, TensorRows]) -> None:
    """Train a network by the one loop; its history is kept by the name of the stage."""
    training, validation = codec.training_, None
    if training.validation_fraction:
        parts = split(len(rows[0]), training.validation_fraction, codec.seed_)
        rows, validation = (_taken(rows, torch.from_numpy(indices)) for indices in parts)
    n_rows = len(rows[0])
    training = dataclasses.replace(training, batch_size=training.batch_rows(n_rows), epochs=training.n_epochs(n_rows))
    training = dataclasses.replace(training, **training.folders(stage))
    codec.history_ = codec.training_history_[stage] = {}
    codec._train(make_step(objective, training, resolve_runtime(training)), rows, training, validation)


def _taken(rows: tuple[TensorRows, TensorRows], indices: Tensor) -> tuple[TensorRows, TensorRows]:
    features, targets = rows
    return TensorRows(features.take(indices)), TensorRows(targets.take(indices))


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
