"""Files and folders, read into arrays and frames."""

from __future__ import annotations

import contextlib
import csv
import gzip
import math
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse

from embudo.data.images import read_images
from embudo.errors import (
    EmbudoError,
    FileFormatError,
    InvalidParameter,
    MissingDependency,
    check_exists,
    did_you_mean,
    reason,
)

if TYPE_CHECKING:
    import pandas as pd

#: what a third byte of an idx file stands for
_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
#: data.idx, data.idx.gz, and as MNIST's files are called: train-images-idx3-ubyte.gz, train-images.idx3-ubyte
_IDX_NAME = re.compile(r"[.-]idx\d?(-ubyte)?(\.gz)?$", re.IGNORECASE)
#: gzip makes data shorter by no more than this
_GZIP_RATIO = 1032


def read(
    path: str | Path,
    *,
    key: str | None = None,
    drop: tuple[str, ...] = (),
    image_size: tuple[int, int] | None = None,
    image_color: str = "auto",
    blank_rows: bool = False,
) -> Any:
    """Read a data set.

    Parameters
    ----------
    path : str or Path
        A ``.npy``, ``.npz``, ``.csv``, ``.tsv``, ``.parquet``, ``.idx`` or ``.idx.gz`` file, an image, or a
        folder of images. The values of a table are separated by comma, semicolon or tab; its first row
        names the columns, unless all of it is numbers (other than 0, 1, 2, ...).
    key : str, optional
        Which array of an ``.npz`` file; needed where it holds several.
    drop : tuple of str, default=()
        Columns of a table to leave out.
    image_size : (int, int), optional
        Height and width that images are brought to; without it they must all be of one size.
    image_color : {"auto", "grey", "rgb"}, default="auto"
        Colour of images; "auto" is grey where all of them are.
    blank_rows : bool, default=False
        Whether a blank line of a ``.csv`` table is a row without values; else it is passed over.

    Returns
    -------
    ndarray, SciPy sparse matrix or pandas.DataFrame
        A frame for tables, uint8 of shape (n, height, width, channels) for images, else the array in the file;
        sparse for what ``scipy.sparse.save_npz`` wrote.

    Raises
    ------
    FileFormatError
        If the file is missing, unreadable, truncated or of an unknown kind.
    InvalidParameter
        If the file has no such array or column, or an option does not apply to it.
    MissingDependency
        If Parquet is to be read and pyarrow is not installed.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    with readable(path):
        if key is not None and suffix != ".npz":
            raise InvalidParameter(f"key={key!r} names an array of an .npz file, but '{path}' is not one.")
        if drop and suffix not in {".csv", ".tsv", ".parquet"}:
            raise InvalidParameter(f"drop names columns of a .csv or .parquet table, but '{path}' is neither.")
        if path.is_file():
            if suffix in {".npy", ".npz"}:
                return _read_numpy(path, key)
            if suffix in {".csv", ".tsv"}:
                return _without(_read_csv(path, blank_rows), drop, path)
            if suffix == ".parquet":
                return _without(_read_parquet(path), drop, path)
            if _IDX_NAME.search(path.name):
                return _read_idx(path)
        return read_images(path, image_size, image_color)


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """Refuse a file that is not there, and make one sentence of whatever its parser raises."""
    try:
        check_exists(path)
        yield
    except EmbudoError:
        raise
    except UnicodeDecodeError:
        raise FileFormatError(f"'{path}' is not UTF-8 text: save it as UTF-8.") from None
    except Exception as error:  # a damaged file makes its parser raise anything
        raise FileFormatError(f"Cannot read '{path}': {reason(error)}.") from None


def _read_numpy(path: Path, key: str | None) -> Any:
    with path.open("rb") as file:
        if not file.read(6).startswith((b"\x93NUMPY", b"PK")):
            raise FileFormatError(f"'{path}' is not a NumPy file: its first bytes are wrong.")
        file.seek(0)
        try:
            loaded = np.load(file, allow_pickle=False)
            return loaded if isinstance(loaded, np.ndarray) else _one_of(loaded, path, key)
        except ValueError as error:
            if "allow_pickle" not in str(error):
                raise
            raise FileFormatError(
                f"'{path}' holds Python objects, which are never unpickled: save it as an array of numbers."
            ) from None


def _one_of(arrays: Any, path: Path, key: str | None) -> Any:
    names = list(arrays)
    if {"format", "shape", "data"} <= set(names) and key is None:
        return _checked_sparse(scipy.sparse.load_npz(path))
    if key is None and len(names) != 1:
        raise InvalidParameter(f"'{path}' holds {len(names)} arrays: name one with key: {', '.join(names)}.")
    if key is not None and key not in names:
        raise InvalidParameter(f"'{path}' has no array {key!r}{did_you_mean(key, names)}; it holds {', '.join(names)}.")
    array = arrays[key or names[0]]
    if not isinstance(array, np.ndarray):
        raise FileFormatError(f"{key or names[0]!r} in '{path}' is not an array.")
    return array


def _checked_sparse(matrix: Any) -> Any:
    if matrix.format in {"csr", "csc", "bsr"}:
        matrix.check_format(full_check=True)  # indices out of bounds would be followed
    return matrix


def read_chunks(path: str | Path, *, drop: tuple[str, ...] = (), rows: int = 10_000) -> Iterator[pd.DataFrame]:
    """Read a ``.csv``, ``.tsv`` or ``.parquet`` table a few rows at a time, in bounded memory.

    Parameters
    ----------
    path, drop
        As of `read`.
    rows : int, default=10_000
        In a chunk, at most.

    Yields
    ------
    pandas.DataFrame
        With rows numbered on from chunk to chunk.

    Raises
    ------
    FileFormatError, InvalidParameter, MissingDependency
        As `read` does.
    """
    path, start = Path(path), 0
    with readable(path):
        for chunk in _parquet_chunks(path, rows) if path.suffix.lower() == ".parquet" else _csv_chunks(path, rows):
            chunk.index = range(start, start + len(chunk))
            start += len(chunk)
            yield _without(chunk, drop, path)


def _csv_chunks(path: Path, rows: int) -> Iterator[Any]:
    import pandas as pd

    form, has_header = _csv_form(path)
    with pd.read_csv(path, chunksize=rows, **form) as chunks:
        yield from chunks if has_header else (chunk.add_prefix("x") for chunk in chunks)


def _parquet_chunks(path: Path, rows: int) -> Iterator[Any]:
    require_pyarrow()
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        yield from (batch.to_pandas() for batch in file.iter_batches(rows))


def _read_csv(path: Path, blank_rows: bool = False) -> pd.DataFrame:
    import pandas as pd

    form, has_header = _csv_form(path)
    frame: pd.DataFrame = pd.read_csv(path, low_memory=False, skip_blank_lines=not blank_rows, **form)
    if frame.empty:
        raise FileFormatError(f"'{path}' holds the names of columns, but no rows.")
    return frame if has_header else frame.add_prefix("x")


def _csv_form(path: Path) -> tuple[dict[str, Any], bool]:
    """Return how pandas shall read a table, and whether the first row names its columns."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = file.readline(2**20)
    if not first.strip():
        raise FileFormatError(f"'{path}' is empty, or its first line is.")
    unquoted = re.sub(r'"[^"]*"', "", first)
    separator = max(",;\t", key=unquoted.count)
    names = next(csv.reader([first], delimiter=separator))
    counted = len(names) > 1 and names == [str(i) for i in range(len(names))]
    has_header = counted or not all(_is_number(name) for name in names)
    header = 0 if has_header else None
    return {"sep": separator, "header": header, "encoding": "utf-8-sig", "skipinitialspace": True}, has_header


def _is_number(text: str) -> bool:
    try:
        float(text or "nan")
    except ValueError:
        return False
    return True


def require_pyarrow() -> None:
    """Refuse to go on without pyarrow, by which pandas reads and writes Parquet.

    Raises
    ------
    MissingDependency
    """
    try:
        import pyarrow.parquet  # noqa: F401 (imported to see whether it is there)
    except ImportError:
        raise MissingDependency('Parquet needs pyarrow: pip install "embudo[parquet]".') from None


def _read_parquet(path: Path) -> pd.DataFrame:
    import pandas as pd

    require_pyarrow()

    return pd.read_parquet(path)


def _without(frame: pd.DataFrame, drop: tuple[str, ...], path: Path) -> pd.DataFrame:
    for name in drop:
        if name not in frame.columns:
            raise InvalidParameter(f"'{path}' has no column {name!r}{did_you_mean(name, map(str, frame.columns))}.")
    return frame.drop(columns=list(drop))


def _read_idx(path: Path) -> np.ndarray:
    """Read the format of the MNIST files: two zero bytes, type, rank, sizes, values; big-endian."""
    zipped = path.suffix.lower() == ".gz"
    opener: Callable[..., Any] = gzip.open if zipped else open
    with opener(path, "rb") as file:
        start = file.read(4)
        if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in _IDX_TYPES or not start[3]:
            raise FileFormatError(f"'{path}' is not an idx file: its first bytes are wrong.")
        dtype, rank = np.dtype(_IDX_TYPES[start[2]]), start[3]
        sizes = file.read(4 * rank)
        if len(sizes) < 4 * rank:
            raise FileFormatError(f"'{path}' is truncated: it ends within its header.")
        shape = struct.unpack(f">{rank}I", sizes)
        promised = math.prod(shape) * dtype.itemsize
        # a header that promises more than the file can hold must not decide what is allocated
        possible = path.stat().st_size * (_GZIP_RATIO if zipped else 1)
        data = file.read(promised + 1) if promised <= possible else b""
    if len(data) != promised:
        raise FileFormatError(
            f"'{path}' is truncated or damaged: its header promises {promised} bytes of values, and there are "
            f"{'more' if len(data) > promised else 'fewer'}."
        )
    return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="))
