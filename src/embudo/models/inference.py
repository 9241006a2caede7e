"""Samples through a network that was learnt, a block at a time."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from embudo.data.arrays import Matrix
from embudo.data.batches import block_rows, dense_block
from embudo.data.scaling import Scaler
from embudo.engine.runtime import Runtime
from embudo.nn.convolutional import most_values

#: how much more a value of a feature map counts than a feature where samples are cut into blocks, for maps to stay in
#: cache
MAPS_WEIGH = 8


def result_dtype(X: Matrix) -> type[np.floating]:
    """Return float32 where it holds numbers like those of X exactly, else float64."""
    return np.result_type(X.dtype, np.float32).type


def outputs(
    network: nn.Module, scaler: Scaler, call: str, X: Matrix, *, width: int, bfloat16: bool = False
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield slices of the samples, and what a method of the network makes of each, in the units of the data.

    float64 samples pass through the network in float64, whatever type it was trained in: so a sample's result does not
    depend on which others stand beside it.

    Parameters
    ----------
    network : nn.Module
    scaler : Scaler
    call : {"encode", "decode", "forward", "logits"}
        The method.
    X : array or CSR matrix of shape (n_samples, n_features), or codes for "decode"
    width : int
        Features or code units, whichever are more: they decide how many samples make a block.
    bfloat16 : bool, default=False
        Whether float32 samples are multiplied in bfloat16.

    Yields
    ------
    slice, ndarray
    """
    dtype, weight = result_dtype(X), next(network.parameters())
    if dtype == np.float64 and weight.dtype != torch.float64 and weight.device.type != "mps":
        network = copy.deepcopy(network).double()
        weight = next(network.parameters())
    runtime = Runtime(weight.device, weight.dtype, bfloat16 and weight.dtype == torch.float32)
    scaler_in = Scaler(None) if call == "decode" else scaler
    scaler_out = scaler if call in ("decode", "forward") else Scaler(None)
    size = block_rows(max(width, MAPS_WEIGH * most_values(network)))
    for start in range(0, X.shape[0], size):
        where = slice(start, min(start + size, X.shape[0]))
        x = dense_block(X[where], scaler_in, runtime.dtype).to(runtime.device)
        with torch.inference_mode(), runtime.autocast():
            y = getattr(network, call)(x).to(runtime.dtype).cpu().numpy()
        yield where, scaler_out.invert(y.astype(dtype, copy=False))
