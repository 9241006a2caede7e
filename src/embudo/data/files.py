"""Files that are written as a whole, or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

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
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
