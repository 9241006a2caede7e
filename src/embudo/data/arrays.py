"""What a user passes as X, made an array or a sparse matrix, with one sentence for what cannot be."""

from __future__ import annotations

import decimal
import numbers
import sys
from typing import Any

import numpy as np
import scipy.sparse

from embudo.errors import InvalidData, TextColumns

GREATEST = 1e150  #: magnitude that a value may have: its square, and a sum of such, must be a number

#: samples by features: a NumPy array or a SciPy CSR matrix (which has no type stubs)
Matrix = Any


class NotNumeric(InvalidData, TypeError):
    """An entry of X that is neither a number nor text."""


def as_array(X: Any) -> Any:
    """Return X as an array of real numbers in native byte order, a sparse matrix, or the data frame that it is.

    Torch tensors are brought to the CPU, lists and objects become numbers, masked entries NaN. Frames are
    kept, so that their feature names can be read.

    Raises
    ------
    InvalidData
        If X is ragged, complex, or holds what is not a number; such columns of a frame are named.
    """
    torch, pandas, polars = (sys.modules.get(name) for name in ("torch", "pandas", "polars"))
    if torch is not None and isinstance(X, torch.Tensor):
        X = _from_torch(X)
    if pandas is not None and isinstance(X, pandas.DataFrame):
        _refuse_columns([str(name) for name, column in X.items() if not is_numeric(column)])
        twice = X.columns[X.columns.duplicated()]
        if len(twice):
            raise InvalidData(f"X has more than one column named {twice[0]!r}: rename them.")
        return X
    if polars is not None and isinstance(X, polars.DataFrame):
        _refuse_columns([n for n, kind in X.schema.items() if not (kind.is_numeric() or kind == polars.Boolean)])
        return X
    try:
        if isinstance(X, np.ma.MaskedArray) and np.ma.is_masked(X):
            X = np.ma.filled(X.astype(np.float64), np.nan)
        array = X if scipy.sparse.issparse(X) else np.asarray(X)
    except ValueError:
        raise InvalidData(
            "X is ragged: its rows differ in length; expected n_samples rows of n_features numbers each."
        ) from None
    kind = array.dtype.kind
    if kind == "c":
        raise InvalidData(
            f"Complex data not supported: X is {array.dtype}; pass real and imaginary parts as separate features."
        )
    if kind in "OUS" and not scipy.sparse.issparse(array):
        return _from_objects(array, type(X).__name__)
    if kind not in "biuf":
        raise InvalidData(f"X must be numeric; got dtype {array.dtype}.")
    if array.dtype.itemsize > 8:
        with np.errstate(over="ignore"):
            return array.astype(np.float64)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def as_dense(rows: Matrix) -> np.ndarray:
    """Return samples as an array: a sparse matrix made dense, an array as it is."""
    array: np.ndarray = rows.toarray() if scipy.sparse.issparse(rows) else rows
    return array


def _from_torch(X: Any) -> np.ndarray:
    import torch

    if X.is_meta:
        raise InvalidData("X is a tensor on the device 'meta', which holds no values.")
    if X.layout != torch.strided:
        raise InvalidData(
            "X is a sparse tensor of PyTorch, which is not supported: pass a SciPy sparse matrix, or X.to_dense()."
        )
    X = X.detach().cpu().resolve_neg().resolve_conj()
    small = X.is_floating_point() and X.dtype not in {torch.float16, torch.float32, torch.float64}
    array: np.ndarray = (X.float() if small else X).numpy()  # NumPy has no bfloat16
    return array


def _refuse_columns(names: list[str]) -> None:
    if names:
        raise TextColumns(names)


def is_numeric(column: Any) -> bool:
    """Tell whether a column of a pandas frame holds real numbers, be it as objects."""
    if column.dtype != object:
        from pandas.api.types import is_numeric_dtype

        return bool(is_numeric_dtype(column.dtype)) and column.dtype.kind != "c"
    try:
        _from_objects(column.to_numpy(), "")
    except InvalidData:
        return False
    return True


def _from_objects(array: np.ndarray, came: str) -> np.ndarray:
    """Return an array of Python objects as float64, None as NaN; say which entry is not a number."""
    if not array.ndim:
        raise NotNumeric(
            f"X must be an array, a frame or a sparse matrix of numbers; got a {came}. "
            "Files, and iterables of batches, go through embudo.stream."
        )
    for position, value in np.ndenumerate(array):
        where = "row " + ", column ".join(map(str, position[:2]))
        if isinstance(value, list | tuple | np.ndarray):
            raise InvalidData(f"X is ragged: {where} holds a {type(value).__name__}, not one number.")
        if isinstance(value, str | bytes):
            raise InvalidData(
                f"X holds text where numbers are expected: {str(value)[:40]!r} in {where}; drop such columns, "
                "encode them, or make numbers of them with X.astype(float)."
            )
        if value is not None and not isinstance(value, numbers.Real | decimal.Decimal | np.bool_):
            raise NotNumeric(
                f"X holds a {type(value).__name__} in {where}, but each entry of this argument must be a number, "
                "not a string or another object that is no number."
            )
    try:
        return array.astype(np.float64)
    except OverflowError:
        raise InvalidData("X holds an integer that is too great for float64: rescale or drop its feature.") from None


def check_finite(
    X: Matrix, names: Any = None, *, subject: str = "X holds", allow_nan: bool = False, first_row: int | None = None
) -> None:
    """Refuse NaN, infinity and what is too great to be squared, and say where the first one is.

    Parameters
    ----------
    X : array or CSR matrix of shape (n_samples, n_features)
    names : sequence of str, optional
        Names of the features.
    subject : str, default="X holds"
        How the error sentence begins.
    allow_nan : bool, default=False
        Whether NaN is let in.
    first_row : int, optional
        Number of the first row, where X is a block of more samples.

    Raises
    ------
    InvalidData
    """
    values = X.data if scipy.sparse.issparse(X) else X
    if values.dtype.kind != "f":
        return
    axes = list(range(values.ndim))
    with np.errstate(over="ignore", invalid="ignore"):
        # one that is not finite makes the sum so, one that is too great that of squares; good ones may do that too
        if np.isfinite(np.einsum(values, axes, values, axes, []) if values.dtype == np.float64 else values.sum()):
            return
    bad = np.isinf(values) if allow_nan else ~np.isfinite(values)
    count = int(bad.sum())
    if not count and values.dtype == np.float64:
        bad = np.abs(values) > GREATEST
    if not bad.any():
        return
    first = np.unravel_index(int(bad.argmax()), bad.shape)
    if scipy.sparse.issparse(X):
        row, column = int(np.searchsorted(X.indptr, first[0], side="right")) - 1, int(X.indices[first[0]])
    else:
        row, column = map(int, first)
    where = f"in row {row + (first_row or 0)}, column {column if names is None else repr(str(names[column]))}"
    if not count:
        raise InvalidData(
            f"{subject} {values[first]:g} {where}, whose square is beyond float64: bring its feature to smaller units, "
            "or fill the value where it stands for a missing one."
        )
    kind = "NaN" if np.isnan(values[first]) else "infinity"
    kinds = "infinite" if allow_nan else "NaN or infinity"
    in_all = "" if first_row is not None else f" ({count} value{'s' if count > 1 else ''} in all are {kinds})"
    raise InvalidData(
        f"{subject} {kind} {where}{in_all}: drop or fill them first (for example with sklearn.impute.SimpleImputer)."
    )
