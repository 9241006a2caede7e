"""Parquet files as streams: row groups, decoded a few rows at a time."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from embudo.data.readers import readable, require_pyarrow
from embudo.data.streams import WINDOW, Stream
from embudo.errors import FileFormatError, InvalidData, InvalidParameter, did_you_mean

#: bytes of a row group up to which it is decoded as a whole, which is faster than some rows at a time
PARQUET_BLOCK = 2**26
#: bytes of columns that are made rows of at a time: few enough to stay in cache
PIECE = 2**21


class ParquetStream(Stream):
    """The row groups of Parquet files with the same columns."""

    def __init__(self, files: list[Path], window: int = WINDOW, drop: tuple[str, ...] = ()) -> None:
        require_pyarrow()
        self.window = window
        self.groups: list[tuple[Path, int]] = []
        self.counts: list[int] = []
        names: list[str] = []
        dtypes: list[np.dtype[Any]] = []
        self._opened: tuple[Path, Any] | None = None
        for path in files:
            file = self._file(path)
            kept = file.schema_arrow
            index = (kept.pandas_metadata or {}).get("index_columns", [])
            for name in (*(name for name in index if isinstance(name, str)), *drop):
                if name not in kept.names:
                    raise InvalidParameter(f"'{path}' has no column {name!r}{did_you_mean(name, kept.names)}.")
                kept = kept.remove(kept.get_field_index(name))
            names = names or list(kept.names)
            if differing := set(names).symmetric_difference(kept.names):
                raise InvalidData(f"Only one of '{files[0]}' and '{path}' has the column {min(differing)!r}.")
            dtypes.append(_dtype_of(kept))
            for number in range(file.num_row_groups):
                self.groups.append((path, number))
                self.counts.append(file.metadata.row_group(number).num_rows)
        self.names = self.columns = names
        self.n_features, self.dtype = len(names), np.result_type(*dtypes)

    def select(self, names: Sequence[str]) -> Self:
        """Return the columns of these names, in their order; others are left out.

        Raises
        ------
        InvalidData
            If one is missing.
        """
        for name in names:
            if name not in self.columns:
                raise InvalidData(f"The table has no column {name!r}{did_you_mean(name, self.columns)}.")
        chosen = copy.copy(self)
        chosen.names = chosen.columns = [str(name) for name in names]
        chosen.n_features = len(chosen.columns)
        return chosen

    def cut(self, size: int) -> list[Self]:
        """Return streams of consecutive row groups, each of at most `size` bytes of samples, or of one group."""
        pieces: list[Self] = []
        for group, count in zip(self.groups, self.counts, strict=True):
            if not count:
                continue
            if not pieces or (pieces[-1].shape[0] + count) * self.row_bytes > size:
                piece = copy.copy(self)
                piece.groups, piece.counts, piece._opened = [], [], None
                pieces.append(piece)
            pieces[-1].groups.append(group)
            pieces[-1].counts.append(count)
        return pieces

    def part(self, number: int) -> Iterator[np.ndarray]:
        """Yield a row group, a few rows at a time."""
        path, group = self.groups[number]
        size, piece = (max(1, block // self.row_bytes) for block in (PARQUET_BLOCK // 2, PIECE))
        with readable(path):
            if self.counts[number] * self.row_bytes <= PARQUET_BLOCK:
                batches = iter(self._file(path).read_row_group(group, self.columns).to_batches())
            else:
                batches = self._file(path).iter_batches(size, row_groups=[group], columns=self.columns)
            while (batch := next(batches, None)) is not None:
                yield from _as_rows(batch.select(self.columns), self.dtype, piece)

    def _file(self, path: Path) -> Any:
        """Return the open file; the last one stays open, as its index is long where columns are many."""
        import pyarrow.parquet as pq

        if self._opened is None or self._opened[0] != path:
            self._opened = path, pq.ParquetFile(path, buffer_size=2**16)
        return self._opened[1]


def _dtype_of(schema: Any) -> np.dtype[Any]:
    """Return the type that holds the numbers of all columns."""
    import pyarrow as pa

    numeric = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
    bad = [field.name for field in schema if not any(test(field.type) for test in numeric)]
    if bad:
        shown = ", ".join(map(repr, bad[:8])) + (" ..." if len(bad) > 8 else "")
        raise InvalidData(f"X has columns that are not numeric: {shown}; leave them out with drop.")
    if not len(schema):
        raise InvalidData("X has no columns.")
    return plain_dtype(np.result_type(*{np.dtype(field.type.to_pandas_dtype()) for field in schema}))


def _as_rows(batch: Any, dtype: np.dtype[Any], size: int) -> Iterator[np.ndarray]:
    """Yield the rows of a record batch, `size` at a time, missing values as NaN."""
    import pyarrow as pa

    if any(pa.types.is_boolean(field.type) for field in batch.schema):
        kinds = [pa.uint8() if pa.types.is_boolean(field.type) else field.type for field in batch.schema]
        batch = batch.cast(pa.schema(list(zip(batch.schema.names, kinds, strict=True))))
    gaps = any(column.null_count for column in batch.columns)
    for start in range(0, batch.num_rows, size):
        columns = batch.slice(start, size).to_tensor(null_to_nan=gaps, row_major=False).to_numpy()
        yield np.ascontiguousarray(columns, None if gaps else dtype)  # NumPy turns them around in less time


def parquet_files(path: Path) -> list[Path]:
    """Return the Parquet files at `path`, which may be a folder; hidden ones, and those that begin with _, left out."""
    if path.is_dir():
        return sorted(file for file in path.rglob("*.parquet") if file.name[0] not in "._" and file.is_file())
    return [path] if path.suffix.lower() == ".parquet" else []


def tables(paths: Sequence[Path], window: int, drop: tuple[str, ...] = ()) -> ParquetStream:
    """Return the rows of several Parquet files, or folders of them, one after the other.

    Raises
    ------
    FileFormatError
        If one is missing, or holds none.
    """
    files = []
    for path in paths:
        with readable(path):
            if not (found := parquet_files(path)):
                raise FileFormatError(f"'{path}' is neither a Parquet file nor a folder of them.")
            files += [file.absolute() for file in found]
    with readable(files[0]):
        return ParquetStream(files, window, drop)


def plain_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type in which blocks are given: numbers of at most 8 bytes, in native byte order."""
    if dtype.kind == "b":
        return np.dtype(np.float32)
    return dtype.newbyteorder("=") if dtype.itemsize <= 8 else np.dtype(np.float64)
