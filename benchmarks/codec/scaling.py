"""Seconds and peak memory of encoding and decoding against the size of the image; each in a process of its own."""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.datasets import load_sample_images

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import Report

from embudo import ImageCodec

SIZES = ((256, 256), (512, 768), (1024, 1024), (2048, 2048), (4096, 4096), (8000, 8000))
QUALITY = 40
MIB = 2**20


def peak() -> float:
    """Return the most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def resident() -> float:
    """Return the memory that this process has now, in MiB; Linux tells."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / MIB


def photograph(height: int, width: int) -> np.ndarray:
    """Return a photograph beside and below itself as often as it takes, with nothing larger made on the way."""
    tile = load_sample_images().images[0]
    image = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, tile.shape[0]):
        for left in range(0, width, tile.shape[1]):
            place = image[top : top + tile.shape[0], left : left + tile.shape[1]]
            place[...] = tile[: place.shape[0], : place.shape[1]]
    return image


def work(what: str, model: str, height: int, width: int, path: Path) -> dict[str, float]:
    """Encode to the file at `path`, or decode it.

    Returns
    -------
    dict
        Seconds on the clock and of the CPUs, and MiB beyond the image and a codec in use.
    """
    codec = ImageCodec.load(model) if model else ImageCodec.pretrained()
    codec.decode(codec.encode(load_sample_images().images[0][:64, :64], QUALITY))
    image = photograph(height, width) if what == "encode" else None
    data = b"" if what == "encode" else path.read_bytes()
    before, started, cpu = resident(), time.perf_counter(), time.process_time()
    if image is None:
        image = codec.decode(data)
        before += image.nbytes / MIB
    else:
        data = codec.encode(image, QUALITY)
    spent = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - cpu}
    path.write_bytes(data)
    return {**spent, "mib": peak() - before}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="", help="a codec; the one that comes with embudo by default")
    parser.add_argument("--work", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        what, height, width, path = options.work
        print(json.dumps(work(what, options.model, int(height), int(width), Path(path))))
        return
    report = Report("codec_scaling", quick=False, quality=QUALITY)
    with tempfile.TemporaryDirectory() as folder:
        for height, width in SIZES:
            row: dict[str, float] = {}
            for what in ("encode", "decode"):
                command = [sys.executable, __file__, "--model", options.model, "--work", what, str(height), str(width)]
                done = subprocess.run(
                    [*command, str(Path(folder, "image.emb"))], capture_output=True, text=True, check=True
                )
                row |= {f"{what}_{name}": value for name, value in json.loads(done.stdout).items()}
            report.add(height=height, width=width, bytes=Path(folder, "image.emb").stat().st_size, **row)


if __name__ == "__main__":
    main()
