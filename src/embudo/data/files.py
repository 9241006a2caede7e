"""Files that are written as a whole, or not at all, and whose damage is noticed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from embudo.errors import FileFormatError


def write_atomically(path: str | Path, data: bytes) -> None:
    """Write `data` beside `path` and rename: the file is whole, or as it was before.

    Raises
    ------
    FileFormatError
        If the folder does not exist or cannot be written to.
    """
    with replaced_whole(path) as temporary, temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def replaced_whole(path: str | Path) -> Iterator[Path]:
    """Give a file beside `path` to write to, which takes its place in the end, if nothing was raised.

    Raises
    ------
    FileFormatError
        If the folder does not exist or cannot be written to.
    """
    path = Path(path)
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
        os.close(handle)
        yield Path(temporary)
        Path(temporary).chmod(0o666 & ~_umask())
        Path(temporary).replace(path)
    except OSError as error:
        raise FileFormatError(f"Cannot write '{path}': {error.strerror or error}.") from None
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()


@contextlib.contextmanager
def folder_replaced_whole(path: str | Path) -> Iterator[Path]:
    """Give a folder beside `path` to write into, which takes its place in the end, if nothing was raised.

    Raises
    ------
    FileFormatError
        If the folder around it cannot be written to, or there is a folder already that is not empty.
    """
    path = Path(path)
    temporary: str | None = None
    try:
        temporary = tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name[:40]}.")
        Path(temporary).chmod(0o777 & ~_umask())
        yield Path(temporary)
        Path(temporary).replace(path)
    except OSError as error:
        raise FileFormatError(f"Cannot write '{path}': {error.strerror or error}.") from None
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def utf8_name(path: str | Path) -> Iterator[str]:
    """Give a name that is UTF-8 to a file that is to be read, for libraries that take no other."""
    try:
        os.fsencode(path).decode()
    except UnicodeDecodeError:
        with Path(path).open("rb") as file:
            yield f"/dev/fd/{file.fileno()}"
    else:
        yield os.fspath(path)


def checksum(card: Any, tensors: Mapping[str, Any]) -> int:
    """Return the CRC-32 of what JSON can hold and of tensors, torch's or NumPy's, with names, types and shapes."""
    crc = zlib.crc32(json.dumps(card).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        dtype, shape = str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape)
        crc = zlib.crc32(f"{name} {dtype} {shape}".encode(), crc)
        crc = zlib.crc32(_bytes_of(tensor), crc)
    return crc


def _bytes_of(tensor: Any) -> Any:
    import numpy as np

    if not isinstance(tensor, np.ndarray):
        import torch

        return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data
    return np.ascontiguousarray(tensor).reshape(-1).view(np.uint8).data


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
