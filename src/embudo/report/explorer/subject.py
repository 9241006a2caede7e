"""What an explorer can show: a page, facts for it, and what it may ask."""

from __future__ import annotations

import base64
import io
import re
import tempfile
import warnings
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from embudo.errors import EmbudoError, InvalidData, InvalidParameter, check_number

#: what a page asks: given the query and the body of the request, returns numbers (a flat array), or facts
Call = Callable[[Mapping[str, str], bytes], "np.ndarray | dict[str, Any]"]


class Subject:
    """Something to explore.

    Attributes
    ----------
    template : str
        Of the page, in the folder of this module.
    title, summary : str
        What stands above the page.
    facts : dict
        What the script of the page is told, as JSON can hold it.
    calls : dict of str to callable
        What the page may ask, by name. One call is answered at a time, all of them in one thread.
    events : callable or None
        Yields what the page is told as it happens.
    """

    template: str
    title: str
    summary: str
    facts: dict[str, Any]
    calls: dict[str, Call]
    events: Callable[[], AsyncIterator[dict[str, Any]]] | None = None


def asked_number(query: Mapping[str, str], name: str, low: float, high: float, *, integer: bool = False) -> Any:
    """Return the number that a query holds by `name`.

    Raises
    ------
    InvalidParameter
        If there is none, or it is not from `low` to `high`.
    """
    try:
        value: Any = (int if integer else float)(query[name])
    except (KeyError, ValueError):
        raise InvalidParameter(f"{name} must be a number; got {query.get(name)!r}.") from None
    check_number(name, value, low=low, high=high, integer=integer)
    return value


def floats(body: bytes, size: int) -> np.ndarray:
    """Return the `size` numbers that a request holds, as the page sends them: float32, little-endian.

    Raises
    ------
    InvalidData
    """
    if len(body) != 4 * size:
        raise InvalidData(f"Expected {size} numbers of 4 bytes; got {len(body)} bytes.")
    return np.frombuffer(body, "<f4")


@contextmanager
def as_file(query: Mapping[str, str], body: bytes) -> Iterator[Path]:
    """Put what was uploaded into a file that is gone afterwards; errors inside name it as the user does.

    Raises
    ------
    InvalidData
        If nothing was uploaded.
    """
    if not body:
        raise InvalidData("The file is empty.")
    name = re.sub(r"[^\w.-]", "_", Path(query.get("name", "")).name)[-80:].lstrip(".") or "upload"
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        from PIL import Image

        warnings.simplefilter("error", Image.DecompressionBombWarning)  # more than 89 million pixels
        path = Path(folder, name)
        path.write_bytes(body)
        try:
            yield path
        except EmbudoError as error:
            raise type(error)(str(error).replace(str(path), name)) from None


def png_uri(pixels: np.ndarray) -> str:
    """Return an image of shape (height, width, 1 or 3), uint8, for a page to show."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).save(buffer, "png", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
