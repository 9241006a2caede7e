"""What the prior and the quantiser know of the codes, learnt from those of training images, in closed form."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.optimize import nnls

from embudo.codec.census import Census, laplace_tables
from embudo.codec.entropy import BELOW, MAX_INDEX, N_TABLES, PER_OCTAVE
from embudo.codec.lattices import N_LATTICES, lattices
from embudo.codec.prior import (
    CAP,
    FRACTION,
    N_CLASSES,
    N_LOW,
    Prior,
    around_sum,
    bands,
    near_values,
)
from embudo.codec.quantize import LEVELS_PER_OCTAVE, Quantizer, step_of
from embudo.codec.streams import StreamCoder

ROUNDS = 2  #: the tables change what the quantiser chooses, and what it chooses changes the tables
STRIDE = 3 * LEVELS_PER_OCTAVE // PER_OCTAVE  #: of levels that are learnt from
LEAST_SCALE = 1 / 16  #: of a channel, in the units of the codes
PRIOR_COUNT = 64  #: values' worth of belief that a class of activity tells nothing

Latents = Sequence[np.ndarray]


def fit_coder(latents: Latents) -> StreamCoder:
    """Return the coder that suits codes.

    Parameters
    ----------
    latents : sequence of ndarray of shape (n, n_channels, height, width)
        Codes of training images, the channels from the most to the least variable.
    """
    n_channels = latents[0].shape[1]
    n_low, n_bands = min(N_LOW, n_channels), len(bands(n_channels))
    predictors, low_scales = fit_predictors([y[:, :n_low] for y in latents])
    prior = Prior(
        log_scales(_mean_squares(latents)),
        low_scales,
        predictors,
        np.zeros((n_bands, 2, n_low + max(n_bands - 1, 0)), np.int16),
        np.broadcast_to(np.arange(MAX_INDEX + 1, dtype=np.uint8)[:, None], (2 + n_bands, MAX_INDEX + 1, N_CLASSES)),
    )
    coder = StreamCoder(prior, Quantizer(laplace_tables(), np.zeros((N_TABLES, 4), np.float32)))
    prior = dataclasses.replace(prior, weights=fit_weights(coder, latents))
    prior = dataclasses.replace(prior, indices=fit_indices(StreamCoder(prior, coder.quantizer), latents))
    coder = StreamCoder(prior, coder.quantizer)
    for _ in range(ROUNDS):
        coder = StreamCoder(prior, fit_quantizer(coder, latents))
    return coder


def fit_predictors(latents: Latents) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights that predict low channels from their neighbours by least squares, and what scales are left.

    A lattice with too few places to learn from takes the weights of the next finer one of its kind.
    """
    n_low = latents[0].shape[1]
    predictors = np.zeros((N_LATTICES, n_low, 4 * n_low), np.int16)
    scales = np.zeros((N_LATTICES, n_low), np.int16)
    for number in reversed(range(N_LATTICES)):
        near, target = _neighbourhoods(latents, number)
        if 0 < number <= N_LATTICES - 4:
            predictors[number], scales[number] = predictors[number + 3], scales[number + 3]
        if number and len(target) >= 4 * near.shape[1]:
            moment = near.T @ near
            ridge = PRIOR_COUNT / len(near) * np.trace(moment) / len(moment) * np.eye(len(moment))
            solution = np.linalg.solve(moment + ridge, near.T @ target).T * 2**FRACTION
            predictors[number] = np.clip(np.rint(solution), -(2**15), 2**15 - 1)
        if len(target) >= PRIOR_COUNT:
            left = target - near @ predictors[number].T / 2**FRACTION
            scales[number] = log_scales(np.square(left).mean(axis=0))
        elif number == 0:
            scales[0] = log_scales(_mean_squares(latents))
    return predictors, scales


def _neighbourhoods(latents: Latents, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the codes on a lattice, shape (n, n_low), and those of their neighbours, shape (n, 4 * n_low)."""
    n_low = latents[0].shape[1]
    near, target = [np.empty((0, 4 * n_low))], [np.empty((0, n_low))]
    for y in latents:
        for lattice, rows, columns, neighbours in lattices(*y.shape[2:]):
            if lattice == number:
                places = y[:, :, rows, columns].transpose(0, 2, 3, 1).reshape(-1, n_low)
                target.append(places)
                values = near_values(y, neighbours) if neighbours else np.zeros((len(places), 4, n_low, 1, 1))
                near.append(values.transpose(0, 3, 4, 1, 2).reshape(-1, 4 * n_low))
    return np.concatenate(near), np.concatenate(target)


def log_scales(squares: np.ndarray) -> np.ndarray:
    """Return the logarithms, in the units of a level, of standard deviations, given their squares; int16."""
    scales: np.ndarray = np.rint(np.log2(np.maximum(np.sqrt(squares), LEAST_SCALE)) * LEVELS_PER_OCTAVE)
    return scales.astype(np.int16)


def _mean_squares(latents: Latents) -> np.ndarray:
    total = sum(np.square(y, dtype=np.float64).sum(axis=(0, 2, 3)) for y in latents)
    mean: np.ndarray = total / sum(y[:, 0].size for y in latents)
    return mean


def _quantized(coder: StreamCoder, latents: Latents) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Yield integers, the scaled codes that they stand for, and the level, of all latents at many levels.

    They are three tables apart, so that a channel comes to ask for each table.
    """
    for level in range(LEVELS_PER_OCTAVE // 2, coder.prior.coarsest + LEVELS_PER_OCTAVE // 2, STRIDE):
        for y in latents:
            codes = coder.quantize(y, level)
            yield codes, y[:, : codes.shape[1]] / step_of(level), level


def fit_weights(coder: StreamCoder, latents: Latents) -> np.ndarray:
    """Return the weights that foretell the magnitudes of a band from those of the channels before it.

    By least squares with no weight below 0 (Lawson and Hanson 1974), every place at every level weighing as much as the
    inverse of its variance, which grows with the magnitude.
    """
    n_low, edges = coder.prior.predictors.shape[1], bands(len(coder.prior.scales))
    weights = np.zeros_like(coder.prior.weights)
    rows: list[list[np.ndarray]] = [[] for _ in edges]
    for codes, _, _ in _quantized(coder, latents):
        small = np.minimum(np.abs(codes.astype(np.int64)), CAP)
        values = small[:, :n_low]
        for band, (start, stop) in enumerate(edges):
            if start >= codes.shape[1]:
                break
            total = small[:, start:stop].sum(axis=1, keepdims=True)
            features = np.concatenate([values, around_sum(values), total], axis=1)
            rows[band].append(np.moveaxis(features, 1, 3).reshape(-1, features.shape[1]))
            values = np.concatenate([values, total], axis=1)
    for band, found in enumerate(rows):
        if found:
            table = np.concatenate(found).astype(np.float64)
            table /= np.sqrt(1 + table[:, -1:])
            solution, _ = nnls(table[:, :-1], table[:, -1])
            parts = solution.reshape(2, -1) * 2**FRACTION
            weights[band, :, : parts.shape[1]] = np.minimum(np.rint(parts), 2**15 - 1)
    return weights


def fit_indices(coder: StreamCoder, latents: Latents) -> np.ndarray:
    """Return the table for each scale and class of activity: that of the standard deviation found there."""
    shape = coder.prior.indices.shape
    counts, squares = np.zeros(shape), np.zeros(shape)
    for codes, scaled, level in _quantized(coder, latents):
        for part in coder.prior.parts(codes, level):
            cell = (part.kind * shape[1] + part.base) * shape[2] + part.context
            left = np.square(scaled[part.where] - part.mean)
            cell = np.broadcast_to(cell, left.shape).ravel()
            counts += np.bincount(cell, minlength=counts.size).reshape(shape)
            squares += np.bincount(cell, left.ravel(), minlength=counts.size).reshape(shape)
    middle = np.arange(MAX_INDEX + 1)[:, None] + 0.5
    expected = 4 ** (middle / PER_OCTAVE - BELOW)
    found = (squares + PRIOR_COUNT * expected) / (counts + PRIOR_COUNT)
    index = np.floor((np.log2(found) / 2 + BELOW) * PER_OCTAVE + 1e-9)
    return np.clip(index, 0, MAX_INDEX).astype(np.uint8)


def fit_quantizer(coder: StreamCoder, latents: Latents) -> Quantizer:
    """Return tables and reconstruction points, counted."""
    census = Census()
    for codes, scaled, level in _quantized(coder, latents):
        for part in coder.prior.parts(codes, level):
            left = scaled[part.where] - part.mean
            census.add(codes[part.where] - part.mean, left, part.table)
    return Quantizer(census.tables(), census.shrinkage())
