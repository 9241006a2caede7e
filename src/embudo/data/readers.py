"""Files and folders, read into arrays and frames."""

from __future__ import annotations

import gzip
import math
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embudo.data.images import read_images
from embudo.errors import FileFormatError, InvalidParameter, MissingDependency, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

#: what a third byte of an idx file stands for
_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read(
    path: str | Path,
    *,
    key: str | None = None,
    drop: tuple[str, ...] = (),
    image_size: tuple[int, int] | None = None,
    image_color: str = "auto",
) -> Any:
    """Read a data set.

    Parameters
    ----------
    path : str or Path
        A ``.npy``, ``.npz``, ``.csv``, ``.parquet``, ``.idx`` or ``.idx.gz`` file, an image, or a folder of images.
    key : str, optional
        Which array of an ``.npz`` file; needed where it holds several.
    drop : tuple of str, default=()
        Columns of a table to leave out.
    image_size : (int, int), optional
        Height and width that images are brought to; without it they must all be of one size.
    image_color : {"auto", "grey", "rgb"}, default="auto"
        Colour of images; "auto" is grey where all of them are.

    Returns
    -------
    ndarray or pandas.DataFrame
        A frame for tables, uint8 of shape (n, height, width, channels) for images, else the array in the file.

    Raises
    ------
    FileFormatError
        If the file is missing, unreadable, truncated or of an unknown kind.
    MissingDependency
        If Parquet is to be read and pyarrow is not installed.
    """
    path = Path(path)
    if not path.exists():
        near = did_you_mean(path.name, [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else [])
        raise FileFormatError(f"No such file or folder: '{path}'{near}.")
    if path.is_dir():
        return read_images(path, image_size, image_color)
    suffix = "".join(path.suffixes[-2:]).lower() if path.suffix.lower() == ".gz" else path.suffix.lower()
    if key is not None and suffix != ".npz":
        raise InvalidParameter(f"key={key!r} names an array of an .npz file, but '{path}' is not one.")
    if drop and suffix not in {".csv", ".parquet"}:
        raise InvalidParameter(f"drop names columns of a .csv or .parquet table, but '{path}' is neither.")
    try:
        if suffix == ".npy":
            return np.load(path, allow_pickle=False)
        if suffix == ".npz":
            return _read_npz(path, key)
        if suffix in {".csv", ".parquet"}:
            return _without(_read_csv(path) if suffix == ".csv" else _read_parquet(path), drop, path)
        if suffix in {".idx", ".idx.gz"} or "-idx" in path.name:
            return _read_idx(path)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, struct.error) as error:
        if isinstance(error, FileFormatError | InvalidParameter):
            raise
        raise FileFormatError(
            f"Cannot read '{path}': {str(error).splitlines()[0] if str(error) else 'truncated'}."
        ) from None
    return read_images(path, image_size, image_color)


def _read_npz(path: Path, key: str | None) -> np.ndarray:
    with np.load(path, allow_pickle=False) as arrays:
        names = list(arrays)
        if key is None and len(names) != 1:
            raise InvalidParameter(f"'{path}' holds several arrays: name one of {', '.join(names)} with key.")
        if key is not None and key not in names:
            raise InvalidParameter(
                f"'{path}' has no array {key!r}{did_you_mean(key, names)}; it holds {', '.join(names)}."
            )
        array: np.ndarray = arrays[key or names[0]]
        return array


def _read_csv(path: Path) -> pd.DataFrame:
    import pandas as pd

    frame = pd.read_csv(path)
    if all(_is_number(name) for name in frame.columns):  # no header: the first row is data
        frame = pd.read_csv(path, header=None)
        frame.columns = [f"x{i}" for i in range(frame.shape[1])]
    return frame


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        import pyarrow.parquet  # noqa: F401 (named here for the sentence below; pandas uses it)
    except ImportError:
        raise MissingDependency('Reading Parquet needs pyarrow: pip install "embudo[parquet]".') from None
    import pandas as pd

    return pd.read_parquet(path)


def _without(frame: pd.DataFrame, drop: tuple[str, ...], path: Path) -> pd.DataFrame:
    for name in drop:
        if name not in frame.columns:
            raise InvalidParameter(f"'{path}' has no column {name!r}{did_you_mean(name, map(str, frame.columns))}.")
    return frame.drop(columns=list(drop))


def _read_idx(path: Path) -> np.ndarray:
    """Read the format of the MNIST files: two zero bytes, type, rank, sizes, values; big-endian."""
    opener: Callable[..., Any] = gzip.open if path.suffix.lower() == ".gz" else open
    with opener(path, "rb") as file:
        zeros, kind, rank = struct.unpack(">HBB", file.read(4))
        if zeros or kind not in _IDX_TYPES or not rank:
            raise FileFormatError(f"'{path}' is not an idx file: its first bytes are wrong.")
        shape = struct.unpack(f">{rank}I", file.read(4 * rank))
        dtype = np.dtype(_IDX_TYPES[kind])
        data = file.read()
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise FileFormatError(
            f"'{path}' is truncated or damaged: its header promises {math.prod(shape) * dtype.itemsize} bytes "
            f"of values, it holds {len(data)}."
        )
    return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="))
