"""What streams read from: arrays in files, Parquet, folders of images, and batches as they come."""

from __future__ import annotations

import functools
import itertools
import math
import mmap
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from embudo.data.arrays import as_array
from embudo.data.images import list_images, read_resized, shape_of
from embudo.data.parquet import ParquetStream, parquet_files, plain_dtype
from embudo.data.readers import read_chunks, readable
from embudo.data.streams import PARTS, WINDOW, Stream
from embudo.data.tables import is_frame
from embudo.errors import FileFormatError, InvalidData, InvalidParameter, MissingDependency, check_number


def stream(
    data: Any,
    *,
    window: int = WINDOW,
    drop: tuple[str, ...] = (),
    image_size: tuple[int, int] | None = None,
    image_color: str = "auto",
) -> Stream:
    """Return samples that are read a part at a time, for data larger than memory.

    What it returns is passed to estimators as X. Memory maps and Zarr arrays are so read without it.

    Parameters
    ----------
    data : str, Path, array, iterable or callable
        A ``.npy``, ``.parquet``, ``.csv`` or ``.tsv`` file, a Zarr array's folder, a folder of Parquet files or of
        images; a memory map, a Zarr array, or another that has `shape`, `dtype` and `chunks` and is read by slices;
        batches of samples, of which each is like the X of `fit`, or a tuple or list that begins with one, as from
        PyTorch's DataLoader; or a function that returns an iterator over batches.
    window : int, default=2**27
        Bytes of samples, as they are learnt, that are held and shuffled at a time. Two windows are in memory at once.
        What fits into one is learnt from as the array that it is.
    drop : tuple of str, default=()
        Columns of a table to leave out.
    image_size : (int, int), optional
        Height and width that images are brought to; without it they must all be of one size.
    image_color : {"auto", "grey", "rgb"}, default="auto"
        Colour of images; "auto" is grey where all of them are.

    Returns
    -------
    Stream
        `shape` is that of the samples as rows, (n_samples, n_features).

    Raises
    ------
    FileFormatError
        If a file is missing, unreadable or of a kind that is not streamed.
    InvalidData
        If these are not samples of numbers.
    InvalidParameter
        If there is no such column.
    MissingDependency
        If Parquet or Zarr is to be read, and pyarrow or zarr is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> from embudo import Autoencoder, Training, stream
    >>> batches = [np.eye(4), np.eye(4) + 1]
    >>> ae = Autoencoder(2, training=Training(epochs=1), random_state=0).fit(stream(batches))
    >>> ae.transform(stream(batches)).shape
    (8, 2)
    """
    check_number("window", window, low=1, integer=True)
    if isinstance(data, str | Path):
        return _of_path(Path(data), window, drop, image_size, image_color)
    if isinstance(data, Stream):
        return data
    if isinstance(data, np.ndarray) or _is_sliced(data):
        return ArrayStream(data, window)
    if (callable(data) or isinstance(data, Iterable)) and not is_frame(data):
        return BatchStream(data, window)
    raise InvalidData(
        f"Cannot stream a {type(data).__name__}: expected a path, an array that is read by slices, an iterable of "
        "batches or a function that returns one."
    )


def as_stream(X: Any) -> Any:
    """Return a stream of what is no array in memory: memory maps, arrays read by slices, iterators; else X itself.

    What fits into a window stays what it is, but arrays that are not NumPy's are read.
    """
    if isinstance(X, Stream):
        return X
    if isinstance(X, Iterator):
        return BatchStream(X)
    if not _is_sliced(X):
        return X
    found = ArrayStream(X)
    return X if found.fits and isinstance(X, np.memmap) else found


def _is_sliced(X: Any) -> bool:
    """Tell whether X is a memory map, or an array of another library that lies in chunks."""
    if isinstance(X, np.ndarray):
        return isinstance(X, np.memmap) and X.ndim > 1
    return all(hasattr(X, name) for name in ("shape", "dtype", "chunks", "__getitem__")) and len(X.shape) > 1


def _of_path(
    path: Path, window: int, drop: tuple[str, ...], image_size: tuple[int, int] | None, image_color: str
) -> Stream:
    suffix = path.suffix.lower()
    with readable(path):
        tables = parquet_files(path)
        if drop and not tables and suffix not in {".csv", ".tsv"}:
            raise InvalidParameter(f"drop names columns of a table, but '{path}' is none.")
        if tables:
            return ParquetStream(tables, window, drop)
        if path.is_file() and suffix == ".npy":
            return ArrayStream(np.load(path, mmap_mode="r"), window)
        if path.is_file() and suffix in {".csv", ".tsv"}:
            return BatchStream(functools.partial(read_chunks, path, drop=drop), window)
        if _is_zarr(path):
            return ArrayStream(_open_zarr(path), window)
        if path.is_dir():
            return ImageStream(list_images(path), window, image_size, image_color)
    raise FileFormatError(
        f"'{path}' cannot be streamed: expected a .npy, .parquet, .csv or .tsv file, a Zarr array, or a folder of "
        "Parquet files or images."
    )


def _is_zarr(path: Path) -> bool:
    return any((path / name).is_file() for name in ("zarr.json", ".zarray", ".zgroup"))


def is_data_folder(path: Path) -> bool:
    """Tell whether a folder holds Parquet files or a Zarr array, and not images."""
    return path.is_dir() and (_is_zarr(path) or bool(parquet_files(path)))


def _open_zarr(path: Path) -> Any:
    try:
        import zarr
    except ImportError:
        raise MissingDependency('Zarr arrays need zarr: pip install "embudo[zarr]".') from None
    opened = zarr.open(path, mode="r")
    if not hasattr(opened, "chunks"):
        raise FileFormatError(f"'{path}' is a group of Zarr arrays: name one of them, such as '{path}/name'.")
    return opened


class ArrayStream(Stream):
    """An array of which slices are read: a memory map, Zarr's, or another."""

    def __init__(self, array: Any, window: int = WINDOW) -> None:
        head = as_array(np.asarray(array[:0]))
        if head.ndim < 2:
            raise InvalidData(f"Reshape your data to samples by features: X has shape {tuple(array.shape)}.")
        self.array, self.window = array, window
        self.n_features, self.dtype = math.prod(array.shape[1:]), plain_dtype(head.dtype)
        self.sample_shape = tuple(array.shape[1:]) if len(array.shape) > 2 else None
        self.rows = max(1, window // PARTS // max(1, self.row_bytes))
        chunks = getattr(array, "chunks", None)
        if chunks:
            chunk = max(chunks[0]) if isinstance(chunks[0], Sequence) else chunks[0]
            self.rows = -(-self.rows // chunk) * chunk
        n = array.shape[0]
        self.counts = [min(self.rows, n - start) for start in range(0, n, self.rows)]

    def part(self, number: int) -> Iterator[np.ndarray]:
        """Yield a slice."""
        start = number * self.rows
        rows = np.asarray(self.array[start : start + self.rows])
        with np.errstate(over="ignore"):
            copied: np.ndarray = np.array(rows.reshape(len(rows), -1), self.dtype, order="C")
        _forget(self.array)
        yield copied


def _forget(array: Any) -> None:
    """Give the pages of a memory map, which are on disk, back to the system."""
    if not isinstance(array, np.memmap) or array.mode == "c" or not hasattr(mmap, "MADV_DONTNEED"):
        return  # what was written to a copy on write would be lost
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap):
        base.madvise(mmap.MADV_DONTNEED)


class ImageStream(Stream):
    """Image files, brought to one size and colour."""

    def __init__(
        self, files: list[Path], window: int = WINDOW, size: tuple[int, int] | None = None, color: str = "auto"
    ) -> None:
        shapes = [shape_of(file, color) for file in files]
        sizes = sorted({shape[:2] for shape in shapes})
        if size is None and len(sizes) > 1:
            (h1, w1), (h2, w2) = sizes[:2]
            raise InvalidData(
                f"The images differ in size (for example {h1}x{w1} and {h2}x{w2}): give an image size, height x width, "
                "to bring them to."
            )
        self.files, self.window, self.dtype = files, window, np.dtype(np.uint8)
        self.size, self.color = size, "grey" if max(shape[2] for shape in shapes) == 1 else "rgb"
        self.sample_shape = (*(size or sizes[0]), 1 if self.color == "grey" else 3)
        self.n_features = math.prod(self.sample_shape)
        self.rows = max(1, window // PARTS // self.row_bytes)
        self.counts = [min(self.rows, len(files) - start) for start in range(0, len(files), self.rows)]

    def part(self, number: int) -> Iterator[np.ndarray]:
        """Yield a few images, as rows."""
        start = number * self.rows
        files = self.files[start : start + self.rows]
        yield np.stack([read_resized(file, self.size, self.color).reshape(-1) for file in files])


class BatchStream(Stream):
    """Batches as they come, in the order of their source."""

    def __init__(self, batches: Any, window: int = WINDOW) -> None:
        self.window, self.once = window, isinstance(batches, Iterator)
        self._batches: Callable[[], Iterable[Any]] = batches if callable(batches) else lambda: batches
        iterator = iter(self._batches())
        head = next(iterator, None)
        if head is None:
            raise InvalidData("X is an iterable of batches, but it holds none.")
        if self.once:
            rest = itertools.chain([head], iterator)
            self._batches = lambda: rest
        first = _rows_of(head)
        if hasattr(first, "columns"):
            self.names = [str(name) for name in first.columns]
        values = _values(first)
        self.sample_shape = values.shape[1:] if values.ndim > 2 else None
        self.n_features, self.dtype = math.prod(values.shape[1:]), plain_dtype(values.dtype)

    def batches(self) -> Iterator[Any]:
        """Yield the batches as they come."""
        yield from map(_rows_of, self._batches())

    def part(self, number: int) -> Iterator[np.ndarray]:
        """Yield all batches."""
        n_seen, n_expected = 0, None if self.counts is None else self.counts[0]
        for position, batch in enumerate(self.batches()):
            values = _values(batch)
            rows = np.array(values.reshape(len(values), -1), order="C")
            if rows.shape[1] != self.n_features:
                raise InvalidData(
                    f"Batch {position} of X has {rows.shape[1]} features, but the first one has {self.n_features}."
                )
            n_seen += len(rows)
            if n_expected is not None and n_seen > n_expected:
                break
            yield rows.astype(np.result_type(self.dtype, rows.dtype), copy=False)
        if n_expected is not None and n_seen != n_expected:
            raise InvalidData(
                f"X held {n_expected} samples when it was first read, and now holds "
                f"{'more' if n_seen > n_expected else n_seen}: it must give the same batches each time."
            )


def _rows_of(batch: Any) -> Any:
    """Return the samples of a batch, which may be the first of several things."""
    several = isinstance(batch, list | tuple) and len(batch) and np.ndim(batch[0]) > 1
    return as_array(batch[0] if several else batch)


def _values(batch: Any) -> np.ndarray:
    """Return a batch as a dense array."""
    values = np.asarray(batch.toarray() if hasattr(batch, "toarray") else batch)
    if values.ndim < 2:
        raise InvalidData(
            "X is an iterable of batches, each of them samples by features, but a batch of shape "
            f"{values.shape} came: pass rows as one array, or several at a time."
        )
    return values
