r"""The `.emb` file: what surrounds the entropy-coded codes of an image.

::

    "\x8aEMB" | version | model id, 4 bytes | flags | width | height | [frames] | level
    [chunks: number; each: kind, length, CRC-32] | lengths of the segments | CRC-32 of all that came so far
    chunks | segments, each: CRC-32 of payload and codes, payload

Sizes are variable-length integers, 7 bits a byte, low bits first; CRC-32 are four bytes, low byte first. The number of
segments follows from the size of the image. The flags: two bits for channels - 1, then "several frames", "has chunks".
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from embudo.codec.quantize import MAX_LEVEL
from embudo.codec.tiles import segments
from embudo.errors import FileFormatError

MAGIC = b"\x8aEMB"
VERSION = 1
MAX_PIXELS = 2**28  #: of all frames of a file
MAX_FRAMES = 2**16
CHUNKS = ("alpha", "icc", "exif", "xmp")  #: kinds, by number


@dataclasses.dataclass(frozen=True)
class Header:
    """What a file says of its images.

    Parameters
    ----------
    model_id : bytes
        The first 4 bytes of the SHA-256 of the weights that decode it.
    width, height : int
        Pixels.
    channels : int
        1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha.
    level : int
        How coarsely the codes are quantised.
    frames : int, default=1
        Images of that size in the file.
    """

    model_id: bytes
    width: int
    height: int
    channels: int
    level: int
    frames: int = 1

    def check(self) -> None:
        """Refuse what no image has.

        Raises
        ------
        FileFormatError
        """
        if min(self.width, self.height, self.frames) < 1 or self.frames > MAX_FRAMES or self.level > MAX_LEVEL:
            raise FileFormatError("The .emb file is damaged: its header holds impossible values.")
        if self.width * self.height * self.frames > MAX_PIXELS:
            raise FileFormatError(
                f"An .emb file holds at most {MAX_PIXELS:,} pixels; this one would be "
                f"{self.frames:,} x {self.height:,} x {self.width:,}."
            )


@dataclasses.dataclass(frozen=True)
class Segment:
    """One entropy-coded stream: its payload, and the CRC-32 of the payload followed by the codes."""

    payload: bytes
    checksum: int


@dataclasses.dataclass(frozen=True)
class Container:
    """The content of a file, not yet decoded; `chunks` are zlib streams by kind."""

    header: Header
    segments: Sequence[Segment]
    chunks: Mapping[str, bytes] = dataclasses.field(default_factory=dict)


def pack(container: Container) -> bytes:
    """Return the bytes of a file."""
    header = container.header
    header.check()
    flags = (header.channels - 1) | (header.frames > 1) << 2 | bool(container.chunks) << 3
    head = MAGIC + bytes([VERSION]) + header.model_id + bytes([flags]) + varint(header.width) + varint(header.height)
    if header.frames > 1:
        head += varint(header.frames)
    head += varint(header.level)
    if container.chunks:
        head += bytes([len(container.chunks)])
        for kind, chunk in container.chunks.items():
            head += bytes([CHUNKS.index(kind)]) + varint(len(chunk)) + _crc(chunk)
    head += b"".join(varint(len(segment.payload)) for segment in container.segments)
    body = [*container.chunks.values()]
    body += [segment.checksum.to_bytes(4, "little") + segment.payload for segment in container.segments]
    return b"".join([head, _crc(head), *body])


def unpack(data: bytes) -> Container:
    """Take the bytes of a file apart, after checking all that can be checked without decoding.

    Raises
    ------
    FileFormatError
        If `data` is no `.emb` file, is of a newer version, truncated or damaged.
    """
    header, chunk_table, lengths, position = _read_head(Reader(data))
    sizes = [length for _, length, _ in chunk_table] + [4 + length for length in lengths]
    if len(data) - position != sum(sizes):
        raise FileFormatError(
            f"The .emb file is {'truncated' if len(data) - position < sum(sizes) else 'too long'}: "
            f"its header promises {position + sum(sizes):,} bytes, and it has {len(data):,}."
        )
    reader = Reader(data, position)
    chunks = {}
    for kind, length, crc in chunk_table:
        chunks[kind] = reader.take(length)
        if _crc(chunks[kind]) != crc:
            raise FileFormatError(f"The .emb file is damaged: the checksum of its {kind} is wrong.")
    streams = []
    for length in lengths:
        checksum = int.from_bytes(reader.take(4), "little")
        streams.append(Segment(reader.take(length), checksum))
    return Container(header, streams, chunks)


class Reader:
    """Takes numbers and bytes from the front of `data`."""

    def __init__(self, data: bytes, position: int = 0) -> None:
        self.data, self.position = data, position

    def take(self, length: int) -> bytes:
        """Return the next `length` bytes."""
        if length > len(self.data) - self.position:
            raise FileFormatError("The .emb file is truncated.")
        self.position += length
        return self.data[self.position - length : self.position]

    def byte(self) -> int:
        """Return the next byte."""
        return self.take(1)[0]

    def varint(self) -> int:
        """Return the next variable-length integer, of at most 35 bits."""
        value = 0
        for shift in range(0, 35, 7):
            byte = self.byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise FileFormatError("The .emb file is damaged: a number in it has no end.")


def _read_head(reader: Reader) -> tuple[Header, list[tuple[str, int, bytes]], list[int], int]:
    """Return header, chunk table, lengths of the segments, and where the body begins."""
    if reader.data[:4] != MAGIC:
        raise FileFormatError("This is not an .emb file, or its beginning is damaged.")
    reader.position = 4
    version = reader.byte()
    if version != VERSION:
        raise FileFormatError(f"The .emb file has format version {version}; this embudo reads version {VERSION}.")
    model_id, flags = reader.take(4), reader.byte()
    width, height = reader.varint(), reader.varint()
    frames = reader.varint() if flags & 4 else 1
    header = Header(model_id, width, height, (flags & 3) + 1, reader.varint(), frames)
    header.check()
    chunk_table = []
    for _ in range(reader.byte() if flags & 8 else 0):
        kind, length, crc = reader.byte(), reader.varint(), reader.take(4)
        if kind >= len(CHUNKS):
            raise FileFormatError("The .emb file is damaged: it holds a chunk of an unknown kind.")
        chunk_table.append((CHUNKS[kind], length, crc))
    lengths = [reader.varint() for _ in segments(header.frames, header.height, header.width)]
    head = reader.data[: reader.position]
    if reader.take(4) != _crc(head) or flags > 15:
        raise FileFormatError("The .emb file is damaged: the checksum of its header is wrong.")
    return header, chunk_table, lengths, reader.position


def deflate(data: bytes) -> bytes:
    """Return `data` as the content of a chunk."""
    return zlib.compress(data, 9)


def inflate(chunk: bytes, limit: int) -> bytes:
    """Return what `deflate` packed, of at most `limit` bytes.

    Raises
    ------
    FileFormatError
        If it is damaged or longer.
    """
    packed = zlib.decompressobj()
    try:
        data = packed.decompress(chunk, limit)
    except zlib.error:
        raise FileFormatError("The .emb file is damaged: a chunk of it cannot be unpacked.") from None
    if not packed.eof or packed.unused_data:
        raise FileFormatError("The .emb file is damaged: a chunk of it is not of the size that it should be.")
    return data


def inflate_blocks(chunk: bytes, sizes: Iterable[int]) -> Iterator[bytes]:
    """Yield what a chunk holds in blocks of so many bytes, no more of it in memory than one.

    Raises
    ------
    FileFormatError
        If it is damaged, shorter or longer than all of them.
    """
    packed, rest = zlib.decompressobj(), chunk
    try:
        for size in sizes:
            block = packed.decompress(rest, size)
            if len(block) < size:
                raise FileFormatError("The .emb file is damaged: a chunk of it is not of the size that it should be.")
            rest = packed.unconsumed_tail
            yield block
        if packed.decompress(rest, 1) or not packed.eof or packed.unused_data:
            raise FileFormatError("The .emb file is damaged: a chunk of it is not of the size that it should be.")
    except zlib.error:
        raise FileFormatError("The .emb file is damaged: a chunk of it cannot be unpacked.") from None


def _crc(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "little")


def varint(value: int) -> bytes:
    """Return a non-negative integer as a file holds it: 7 bits a byte, low bits first."""
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])
