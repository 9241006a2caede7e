"""What a user passes as X, made an array or a CSR matrix, with one sentence for what cannot be."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import scipy.sparse

from embudo.errors import InvalidData

#: samples by features: a NumPy array or a SciPy CSR matrix (which has no type stubs)
Matrix = Any


def as_array(X: Any) -> Any:
    """Return X as a NumPy array, a SciPy sparse matrix, or the data frame that it is.

    Torch tensors are brought to the CPU, lists become arrays, frames are kept, so that their feature names
    can be read. Values are not looked at, but for strings.

    Raises
    ------
    InvalidData
        If X is ragged, complex, or holds text; columns of a frame that are not numeric are named.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(X, torch.Tensor):
        X = X.detach().cpu()
        return (X.float() if X.dtype == torch.bfloat16 else X).numpy()
    if scipy.sparse.issparse(X):
        return X
    if hasattr(X, "columns") and hasattr(X, "dtypes"):
        _refuse_text_columns(X)
        return X
    try:
        array = np.asarray(X)
    except ValueError:
        raise InvalidData(
            "X is ragged: its rows differ in length; expected n_samples rows of n_features numbers each."
        ) from None
    if array.dtype.kind == "c":
        raise InvalidData(
            f"Complex data not supported: X is {array.dtype}; pass real and imaginary parts as separate features."
        )
    if array.dtype.kind in "OUS":
        _refuse_text(array)
    elif array.dtype.kind not in "biuf":
        raise InvalidData(f"X must be numeric; got dtype {array.dtype}.")
    return array


def _refuse_text_columns(frame: Any) -> None:
    """Raise `InvalidData` that names the columns which are neither numeric nor boolean."""
    polars, pandas = sys.modules.get("polars"), sys.modules.get("pandas")
    if polars is not None and isinstance(frame, polars.DataFrame):
        text = [name for name, kind in frame.schema.items() if not (kind.is_numeric() or kind == polars.Boolean)]
    elif pandas is not None and isinstance(frame, pandas.DataFrame):
        numeric = pandas.api.types.is_numeric_dtype
        text = [
            name
            for name, kind, column in zip(frame.columns, frame.dtypes, frame.items(), strict=True)
            if not numeric(kind) and not (kind.kind == "O" and _is_numeric(column[1].to_numpy()))
        ]
    else:
        return
    if text:
        shown = ", ".join(map(repr, text[:8])) + (" ..." if len(text) > 8 else "")
        raise InvalidData(
            f"X has columns that are not numeric: {shown}; drop them or encode them as numbers first "
            "(for example with sklearn.preprocessing.OneHotEncoder)."
        )


def _is_numeric(column: np.ndarray) -> bool:
    try:
        column.astype(np.float64)
    except (TypeError, ValueError):
        return False
    return True


def _refuse_text(array: np.ndarray) -> None:
    """Raise `InvalidData` that shows the first entry of an object or string array which is text."""
    for position, value in np.ndenumerate(array):
        if isinstance(value, list | tuple):
            raise InvalidData("X is ragged: its rows differ in length; expected rows of equal length.")
        if isinstance(value, str | bytes):
            try:
                float(value)
            except ValueError:
                row = position[0] if position else 0
                raise InvalidData(
                    f"X holds text where numbers are expected: {value!r} in row {row}; "
                    "drop such columns or encode them as numbers first."
                ) from None


def check_finite(X: Matrix, names: Any = None) -> None:
    """Refuse NaN and infinity, and say where the first one is.

    Raises
    ------
    InvalidData
    """
    values = X.data if scipy.sparse.issparse(X) else X
    if values.dtype.kind != "f":
        return
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(values.sum(dtype=np.float64)):
            return
    bad = ~np.isfinite(values)
    count = int(bad.sum())
    if not count:
        return
    if scipy.sparse.issparse(X):
        entry = int(np.flatnonzero(bad)[0])
        row, column = int(np.searchsorted(X.indptr, entry, side="right")) - 1, int(X.indices[entry])
        first = values[entry]
    else:
        row, column = (int(index[0]) for index in np.nonzero(bad))
        first = X[row, column]
    kind = "NaN" if np.isnan(first) else "infinity"
    where = repr(str(names[column])) if names is not None else str(column)
    raise InvalidData(
        f"X holds {kind} in row {row}, column {where} ({count} value{'s' if count > 1 else ''} in all are NaN or "
        "infinity): drop or fill them first (for example with sklearn.impute.SimpleImputer)."
    )
