"""How images are cut: into tiles that are transformed and coded apart, and tiles into segments, one stream each."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

SIDE = 512  #: pixels on the side of a tile
LARGEST_BLOCK = 64  #: pixels on the side of a block, which divide those of a tile


@dataclasses.dataclass(frozen=True)
class Tile:
    """A part of one frame, in pixels."""

    frame: int
    top: int
    left: int
    height: int
    width: int

    @property
    def where(self) -> tuple[int, slice, slice]:
        """The index that takes the tile out of frames of shape (n, height, width, channels)."""
        return self.frame, slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


def segments(frames: int, height: int, width: int) -> Iterator[list[Tile]]:
    """Yield the tiles of all frames, row by row; consecutive ones of one size together, up to SIDE * SIDE pixels.

    So a large image has a stream a tile, and many small images share one.
    """
    group: list[Tile] = []
    for tile in _tiles(frames, height, width):
        fits = (len(group) + 1) * _filled(tile.height) * _filled(tile.width) <= SIDE**2
        if group and not (fits and (group[0].height, group[0].width) == (tile.height, tile.width)):
            yield group
            group = []
        group.append(tile)
    yield group


def _filled(length: int) -> int:
    return -(-length // LARGEST_BLOCK) * LARGEST_BLOCK


def _tiles(frames: int, height: int, width: int) -> Iterator[Tile]:
    for frame in range(frames):
        for top in range(0, height, SIDE):
            for left in range(0, width, SIDE):
                yield Tile(frame, top, left, min(SIDE, height - top), min(SIDE, width - left))


def filled(pixels: np.ndarray, block: int) -> np.ndarray:
    """Return images, shape (n, height, width, channels), whose last rows and columns are repeated to fill blocks."""
    height, width = pixels.shape[1:3]
    return np.pad(pixels, ((0, 0), (0, -height % block), (0, -width % block), (0, 0)), mode="edge")
