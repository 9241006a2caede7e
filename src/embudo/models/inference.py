"""Samples through a network that was learnt, a block at a time."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
import torch
from torch import nn

from embudo.data.arrays import Matrix
from embudo.data.batches import block_rows, dense_block, slices
from embudo.data.scaling import Scaler
from embudo.data.sources import stream
from embudo.data.writing import check_rows_file, write_rows
from embudo.engine.runtime import Runtime
from embudo.errors import InvalidData
from embudo.nn.active import SparseCode
from embudo.nn.convolutional import most_values

#: how much more a value of a feature map counts than a feature where samples are cut into blocks, for maps to stay in
#: cache
MAPS_WEIGH = 8
#: which samples, these, and what a network makes of them
Outcome = tuple[slice, Matrix, np.ndarray]


def result_dtype(X: Matrix) -> type[np.floating]:
    """Return float32 where it holds numbers like those of X exactly, else float64."""
    return np.result_type(X.dtype, np.float32).type


def gathered(
    blocks: Iterator[Outcome],
    shape: tuple[int, int],
    dtype: type[np.floating],
    out: str | Path | None = None,
    names: Callable[[], Sequence[str]] = tuple,
    sample_shape: tuple[int, ...] | None = None,
) -> Any:
    """Return what `outputs` makes of samples as one array; with `out`, write it there as it comes.

    Parameters
    ----------
    blocks : iterator of Outcome
    shape : (int, int)
        Samples, -1 where only the end of the blocks tells, and columns.
    dtype : type
    out : str or Path, optional
        A .npy or .parquet file.
    names : callable, default=tuple
        Returns those of the columns, for a .parquet file.
    sample_shape : tuple of int, optional
        What each row is reshaped to.

    Returns
    -------
    ndarray, or memory map of the .npy file, or stream of the .parquet file

    Raises
    ------
    InvalidParameter
        If `out` has another ending.
    FileFormatError
        If it cannot be written.
    """
    if out is not None:
        check_rows_file(out)
        write_rows(out, (block for *_, block in blocks), dtype, names(), sample_shape)
        return np.load(out, mmap_mode="r") if Path(out).suffix.lower() == ".npy" else stream(out)
    if shape[0] < 0:
        result = np.concatenate([block for *_, block in blocks])
    else:
        result = np.empty(shape, dtype)
        for where, _, block in blocks:
            result[where] = block
    return result if sample_shape is None else result.reshape(-1, *sample_shape)


def outputs(
    network: nn.Module, scaler: Scaler, call: str, X: Matrix, *, width: int, bfloat16: bool = False
) -> Iterator[Outcome]:
    """Yield slices of the samples, the samples, and what a method of the network makes of them, in the data's units.

    float64 samples pass through the network in float64, whatever type it was trained in: so a sample's result does not
    depend on which others stand beside it.

    Parameters
    ----------
    network : nn.Module
    scaler : Scaler
    call : {"encode", "decode", "forward", "logits"}
        The method.
    X : array, CSR matrix or stream of shape (n_samples, n_features), or codes for "decode"
    width : int
        Features or code units, whichever are more: they decide how many samples make a block.
    bfloat16 : bool, default=False
        Whether float32 samples are multiplied in bfloat16.

    Yields
    ------
    Outcome

    Raises
    ------
    InvalidData
        If what comes out is beyond the type that it is returned in.
    """
    dtype, weight = result_dtype(X), next(network.parameters())
    if dtype == np.float64 and weight.dtype != torch.float64 and weight.device.type != "mps":
        network = copy.deepcopy(network).double()
        weight = next(network.parameters())
    runtime = Runtime(weight.device, weight.dtype, bfloat16 and weight.dtype == torch.float32)
    scaler_in = Scaler(None) if call == "decode" else scaler
    scaler_out = scaler if call in ("decode", "forward") else Scaler(None)
    sparse = call == "decode" and scipy.sparse.issparse(X) and network.takes_sparse_codes
    size = block_rows(max(width, MAPS_WEIGH * most_values(network)))
    for where, rows in slices(X, size, "The codes hold" if call == "decode" else "X holds"):
        x = sparse_code(rows, runtime) if sparse else dense_block(rows, scaler_in, runtime.dtype).to(runtime.device)
        with torch.inference_mode(), runtime.autocast():
            y = getattr(network, call)(x).to(runtime.dtype).cpu().numpy()
        result = scaler_out.invert(y.astype(dtype, copy=False))
        _check_reach(result, where.start)
        yield where, rows, result


def _check_reach(result: np.ndarray, first_row: int) -> None:
    """Refuse results that are not finite, of samples that are."""
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(result.sum()) or np.isfinite(result).all():
            return
    row = first_row + int((~np.isfinite(result)).any(axis=1).argmax())
    wider = "float64 values, or " if result.dtype == np.float32 else ""
    raise InvalidData(f"What the network makes of row {row} is beyond {result.dtype}: pass {wider}smaller ones.")


def sparse_code(rows: Matrix, runtime: Runtime) -> SparseCode:
    """Return a few rows of a CSR matrix as a code."""
    values, *where = (torch.from_numpy(a).to(runtime.device) for a in (rows.data, rows.indices, rows.indptr))
    units, starts = (indices.long() for indices in where)
    return SparseCode(values.to(runtime.dtype), units, starts, rows.shape[1])
