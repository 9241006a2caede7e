"""Rows on their way to a file, written as they come: whole in the end, or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from embudo.data.files import replaced_whole
from embudo.data.readers import require_pyarrow
from embudo.data.streams import recut
from embudo.errors import InvalidParameter

GROUP = 2**25  #: bytes of a row group that is written


def check_rows_file(path: str | Path) -> None:
    """Refuse a file that rows cannot be written to as they come.

    Raises
    ------
    InvalidParameter
    MissingDependency
        If Parquet is to be written and pyarrow is not installed.
    """
    if Path(path).suffix.lower() not in {".npy", ".parquet"}:
        raise InvalidParameter(f"out must end in .npy or .parquet; got '{path}'.")
    if Path(path).suffix.lower() == ".parquet":
        require_pyarrow()


def write_rows(
    path: str | Path,
    blocks: Iterable[np.ndarray],
    dtype: Any,
    names: Sequence[str],
    sample_shape: tuple[int, ...] | None = None,
) -> None:
    """Write blocks of rows to a ``.npy`` or ``.parquet`` file as they come.

    Parameters
    ----------
    path : str or Path
        Checked by `check_rows_file`.
    blocks : iterable of ndarray of shape (n, n_columns)
    dtype : dtype
        Of what is written.
    names : sequence of str
        Of the columns of a table.
    sample_shape : tuple of int, optional
        What each row of a ``.npy`` file is reshaped to.

    Raises
    ------
    FileFormatError
        If the file cannot be written.
    """
    path, dtype = Path(path), np.dtype(dtype)
    with replaced_whole(path) as temporary:
        if path.suffix.lower() == ".npy":
            with temporary.open("wb") as file:
                _write_npy(file, blocks, dtype, sample_shape or (len(names),))
        else:
            with _table(temporary, dtype, names) as append:
                for group in recut(blocks, max(1, GROUP // (len(names) * dtype.itemsize))):
                    append(group)


def _write_npy(file: BinaryIO, blocks: Iterable[np.ndarray], dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    """Write an array whose length only its end tells: the header leaves room for it."""
    header: dict[str, Any] = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False}
    np.lib.format.write_array_header_1_0(file, header | {"shape": (0, *shape)})
    begin, n = file.tell(), 0
    for block in blocks:
        file.write(np.ascontiguousarray(block, dtype).data)
        n += len(block)
    file.seek(0)
    np.lib.format.write_array_header_1_0(file, header | {"shape": (n, *shape)})
    if file.tell() != begin:
        raise OSError("the header of the file grew")


@contextlib.contextmanager
def _table(path: Path, dtype: np.dtype[Any], names: Sequence[str]) -> Iterator[Callable[[np.ndarray], None]]:
    """Give a function that appends a row group to a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(name, pa.from_numpy_dtype(dtype)) for name in names])
    with pq.ParquetWriter(path, schema) as writer:

        def append(rows: np.ndarray) -> None:
            columns = [np.ascontiguousarray(column, dtype) for column in rows.T]
            writer.write_table(pa.table(columns, schema))

        yield append
