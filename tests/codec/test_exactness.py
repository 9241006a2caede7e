"""The same file gives the same codes wherever it is decoded: other threads, instruction sets, versions."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from embudo import ImageCodec
from embudo.codec.container import unpack

GOLDEN = Path(__file__).parent / "golden"

PROGRAM = """
import hashlib, sys
import numpy as np
import torch
torch.set_num_threads(int(sys.argv[3]))
torch.backends.mkldnn.enabled = sys.argv[4] == "1"
from embudo import ImageCodec
codec = ImageCodec.load(sys.argv[1])
pixels = codec.decode(open(sys.argv[2], "rb").read())
np.save(sys.argv[5], pixels)
"""
CONFIGURATIONS = {
    "two threads": ("2", "1", {}),
    "no oneDNN": ("1", "0", {}),
    "old instructions": ("1", "1", {"ATEN_CPU_CAPABILITY": "default", "DNNL_MAX_CPU_ISA": "SSE41"}),
    "NumPy without AVX": ("1", "1", {"NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3"}),
}


@pytest.fixture(scope="module")
def files(codec, photographs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exact")
    codec.save(folder / "codec.safetensors")
    (folder / "image.emb").write_bytes(codec.encode(photographs[0], 60))
    return folder


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_codes_do_not_depend_on_the_process(files, codec, name):
    """Codes are checked against the checksum in the file; pixels may differ by rounding."""
    threads, onednn, environment = CONFIGURATIONS[name]
    model, image, out = files / "codec.safetensors", files / "image.emb", files / f"{name}.npy"
    command = [sys.executable, "-c", PROGRAM, model, image, threads, onednn, out]
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    here = codec.decode(image.read_bytes())
    assert np.abs(np.load(out).astype(int) - here).max() <= 1


def test_tiles_decode_apart_and_in_any_order(codec, photographs):
    """Each stream is read by itself: the others may be garbage."""
    image = np.tile(photographs[0], (3, 2, 1))
    container = unpack(codec.encode(image, 40))
    assert len(container.segments) == 4
    shapes = [(1, 192, 64, 64), (1, 192, 64, 16), (1, 192, 17, 64), (1, 192, 17, 16)]
    level = container.header.level
    digests = []
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        found = {i: codec.coder_.read(container.segments[i], shapes[i], level).tobytes() for i in order}
        digests.append(hashlib.sha256(b"".join(found[i] for i in range(4))).hexdigest())
    assert digests[0] == digests[1]


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.emb")), ids=lambda path: path.stem)
def test_files_written_earlier_decode_to_the_same(path):
    codec = ImageCodec.load(GOLDEN / "codec.safetensors")
    expected = np.asarray(Image.open(path.with_suffix(".png")))
    found = codec.decode(path.read_bytes())
    assert np.abs(found.reshape(expected.shape).astype(int) - expected).max() <= 1
