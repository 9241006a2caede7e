"""Damaged, truncated and invented files: one clear error, in bounded time and memory."""

import time
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embudo.codec.container import MAGIC, Container, Header, Segment, inflate, pack, unpack, varint
from embudo.errors import FileFormatError


@pytest.fixture(scope="module")
def file(codec, small):
    image = np.concatenate([small, small[..., :1]], axis=2)[:20, :26]
    return codec.encode(image, 30, metadata={"exif": b"Exif"})


def refused(codec, data):
    """Whether decoding ends in the one error that is meant, of one sentence."""
    try:
        codec.decode(data)
    except FileFormatError as error:
        return str(error).endswith(".") and ". " not in str(error)
    return False


def test_every_flipped_bit_is_noticed(codec, file):
    for at in range(len(file)):
        for bit in range(8):
            assert refused(codec, file[:at] + bytes([file[at] ^ 1 << bit]) + file[at + 1 :]), (at, bit)


def test_every_truncation_and_every_tail_is_noticed(codec, file):
    for end in range(len(file)):
        assert refused(codec, file[:end])
    assert refused(codec, file + b"\0")
    assert refused(codec, file + file)


def test_twenty_thousand_spoilt_files(codec, file):
    """Random bytes, files with stretches replaced, and bodies of random bytes under headers with right checksums."""
    rng = np.random.default_rng(0)
    model = bytes.fromhex(codec.model_id_)
    accepted = 0
    for i in range(20_000):
        match i % 4:
            case 0:
                data = rng.bytes(rng.integers(0, 200))
            case 1:
                data = MAGIC + b"\1" + model + rng.bytes(rng.integers(0, 60))
            case 2:
                at, n = rng.integers(len(file)), rng.integers(1, 20)
                data = file[:at] + rng.bytes(n) + file[at + n :]
            case _:
                segment = Segment(rng.bytes(rng.integers(1, 60)), int(rng.integers(2**32)))
                header = Header(model, *(int(x) for x in rng.integers(1, 40, size=2)), 3, int(rng.integers(2305)))
                data = pack(Container(header, [segment]))
        accepted += data != file and not refused(codec, data)
    assert accepted == 0


@settings(deadline=None, max_examples=500)
@given(st.binary(max_size=80))
def test_any_payload_is_decoded_or_refused(codec_shared, payload):
    codec = codec_shared
    segment = Segment(payload, 0)
    header = Header(bytes.fromhex(codec.model_id_), 33, 17, 3, 700)
    assert refused(codec, pack(Container(header, [segment])))


@pytest.fixture(scope="module")
def codec_shared(codec):
    return codec


@settings(deadline=None, max_examples=500)
@given(
    st.integers(1, 3000),
    st.integers(1, 3000),
    st.integers(1, 4),
    st.integers(0, 4096),
    st.integers(1, 20),
    st.dictionaries(st.sampled_from(["alpha", "icc", "exif", "xmp"]), st.binary(max_size=30)),
    st.data(),
)
def test_containers_come_back(width, height, channels, level, frames, chunks, data):
    from embudo.codec.tiles import segments

    n = sum(1 for _ in segments(frames, height, width))
    payloads = [Segment(data.draw(st.binary(max_size=9)), i) for i in range(n)] if n < 5 else [Segment(b"", 0)] * n
    container = Container(Header(b"1234", width, height, channels, level, frames), payloads, chunks)
    again = unpack(pack(container))
    assert again.header == container.header
    assert list(again.segments) == payloads
    assert dict(again.chunks) == chunks


@pytest.mark.parametrize(
    ("width", "height", "frames"), [(2**34, 2**34, 1), (2**28, 2, 1), (1, 1, 2**30), (2**14, 2**14, 2), (0, 5, 1)]
)
def test_absurd_sizes_are_refused_at_once(codec, width, height, frames):
    head = MAGIC + b"\1" + bytes.fromhex(codec.model_id_) + bytes([2 | 4 * (frames > 1)])
    head += varint(width) + varint(height) + (varint(frames) if frames > 1 else b"") + varint(5) + b"\1" * 50
    data = head + zlib.crc32(head).to_bytes(4, "little") + bytes(1000)
    tracemalloc.start()
    started = time.perf_counter()
    assert refused(codec, data)
    assert time.perf_counter() - started < 5
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


def test_a_chunk_cannot_grow_without_bound():
    bomb = zlib.compress(bytes(10**8), 9)
    tracemalloc.start()
    with pytest.raises(FileFormatError, match="size"):
        inflate(bomb, 1000)
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()


def test_an_alpha_channel_of_another_size_is_refused(codec, file):
    container = unpack(file)
    whole = inflate(container.chunks["alpha"], 20 * 26)
    for alpha in (whole[:-1], whole + b"\0", b""):
        chunks = {"alpha": zlib.compress(alpha)}
        assert refused(codec, pack(Container(container.header, container.segments, chunks)))
    assert refused(codec, pack(Container(container.header, container.segments)))


def test_a_newer_format_is_named(file, codec):
    with pytest.raises(FileFormatError, match="version 9"):
        codec.decode(file[:4] + b"\x09" + file[5:])


def test_other_files_are_named(codec):
    with pytest.raises(FileFormatError, match=r"not an \.emb file"):
        codec.decode(b"\x89PNG\r\n")
