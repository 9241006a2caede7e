"""From a size that is wanted to the level that gives it."""

from __future__ import annotations

from collections.abc import Callable

from embudo.errors import InvalidParameter


def finest_within(encode: Callable[[int], bytes], coarsest: int, max_bytes: int) -> bytes:
    """Return the finest encoding that is not larger than `max_bytes`, found by bisection.

    Parameters
    ----------
    encode : callable
        The file at a level; the higher the level, the smaller.
    coarsest : int
        The level that is tried first.
    max_bytes : int

    Raises
    ------
    InvalidParameter
        If the file is larger even at the coarsest level.
    """
    finest = 0
    best = encode(coarsest)
    if len(best) > max_bytes:
        raise InvalidParameter(f"The image cannot be compressed to {max_bytes:,} bytes: the least is {len(best):,}.")
    while finest < coarsest:
        middle = (finest + coarsest) // 2
        data = encode(middle)
        if len(data) <= max_bytes:
            best, coarsest = data, middle
        else:
            finest = middle + 1
    return best
