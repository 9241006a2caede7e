"""A codec learnt from one kind of pictures, against general ones at the same size, on pictures kept aside.

Faces: Olivetti, 64 x 64, 32 people to learn from and 8 others to measure on. Digits: MNIST, 28 x 28, training and test
images apart. The size of the block is chosen on a part of what is learnt from.

Each file of another format sets a size; of the qualities of embudo the best is taken that needs no more bytes.
"Together" is several pictures in one file: an .emb file of all of them against one picture with them side by side.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import Report, load_mnist

from embudo import ImageCodec
from embudo.codec.peers import available_peers, encode_peer
from embudo.metrics.reconstruction import psnr

PEER_QUALITIES = (0, 10, 25, 45, 65, 85)
BPP = 2  #: at which the block is chosen
BLOCKS = (8, 16, 32)
PEOPLE_HELD_OUT = 8
Point = tuple[int, float]


def faces(data: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return images to learn from, to choose on, and to measure on, shape (n, height, width, 1)."""
    archive = np.load(data / "olivetti" / "olivetti_faces.npz")
    images, person = archive["images"][..., None], archive["target"]
    order = np.random.default_rng(0).permutation(40)
    measured, chosen = order[:PEOPLE_HELD_OUT], order[PEOPLE_HELD_OUT : PEOPLE_HELD_OUT + 4]
    rest = ~np.isin(person, [*measured, *chosen])
    return images[rest], images[np.isin(person, chosen)], images[np.isin(person, measured)]


def digits(data: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the same of handwritten digits, black on white: 4000 training images, 100 others, 100 test images."""
    train, test = (
        np.rint(255 - 255 * load_mnist(data, part)).astype(np.uint8).reshape(-1, 28, 28, 1)
        for part in ("train", "test")
    )
    return train[:4000], train[4000:4100], test[:100]


def sheet(images: np.ndarray) -> np.ndarray:
    """Return images, shape (n, height, width, channels), side by side as one, in as many rows as columns or nearly."""
    n, height, width, channels = images.shape
    rows = max(k for k in range(1, n + 1) if n % k == 0 and k * k <= n)
    grid = images.reshape(rows, n // rows, height, width, channels)
    return grid.swapaxes(1, 2).reshape(rows * height, -1, channels)


def learn(images: np.ndarray, chosen: np.ndarray, method: str) -> tuple[ImageCodec, dict[str, Any]]:
    """Return the codec whose block does best on `chosen`, learnt from all, and what that took."""
    started = time.process_time()
    scores = {}
    for block in BLOCKS:
        codec = ImageCodec(block=block, method=method).fit(list(images))
        scores[block] = float(np.mean([psnr(x, codec.decode(codec.encode(x, bpp=BPP))) for x in chosen[::4]]))
    block = max(scores, key=lambda block: scores[block])
    codec = ImageCodec(block=block, method=method).fit([*images, *chosen])
    return codec, {"block": block, "psnr_of_blocks": scores, "cpu_seconds": time.process_time() - started}


def by_codec(codec: ImageCodec, image: np.ndarray, step: int) -> list[Point]:
    """Return size and PSNR at each quality, from small to large; of one image, or of several in one file."""
    files = [codec.encode(image, quality) for quality in range(1, 100, step)]
    return [(len(data), psnr(image, codec.decode(data))) for data in files]


def compared(theirs: list[Point], curves: list[list[Point]], n: int) -> dict[str, Any]:
    """Return median sizes and PSNR of both, over the files that embudo can match in size.

    Parameters
    ----------
    theirs : list of (bytes, psnr)
        One for each file.
    curves : list of list of (bytes, psnr)
        Those of embudo for the same content.
    n : int
        Images in a file.
    """
    pairs = []
    for limit, curve in zip(theirs, curves, strict=True):
        within = [point for point in curve if point[0] <= limit[0]]
        if within:
            pairs.append((limit, max(within)))
    if not pairs:
        return {"files": 0}
    (size, error), (own_size, own_error) = np.median(pairs, axis=0)  # the PSNR of a blank picture is infinite
    return {
        "files": len(pairs),
        "bytes_each": float(size / n),
        "psnr": float(error),
        "embudo_bytes_each": float(own_size / n),
        "embudo_psnr": float(own_error),
        "embudo_better_on": sum(ours[1] > limit[1] for limit, ours in pairs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder that holds olivetti/, mnist/")
    parser.add_argument("--method", default="linear", help="of ImageCodec: linear or scratch")
    options = parser.parse_args()
    report = Report(f"codec_narrow_domain_{options.method}", quick=False)
    for domain, read in {"faces": faces, "digits": digits}.items():
        learnt, chosen, measured = read(options.data)
        codec, facts = learn(learnt, chosen, options.method)
        common = {"domain": domain, "learnt_from": len(learnt) + len(chosen), **facts}
        single, together = [by_codec(codec, image, 3) for image in measured], [by_codec(codec, measured, 1)]
        page = sheet(measured)
        for name in available_peers():
            for quality in PEER_QUALITIES:
                files = [(image, encode_peer(name, image, quality)) for image in (*measured, page)]
                *each, whole = [(len(file.data), psnr(image, file.pixels)) for image, file in files]
                where = {**common, "codec": name, "quality": quality}
                report.add(**where, together=False, **compared(each, single, 1))
                report.add(**where, together=True, **compared([whole], together, len(measured)))


if __name__ == "__main__":
    main()
