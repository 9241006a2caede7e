"""A codec learnt from one kind of pictures, against general ones at the same size, on pictures kept aside.

Faces: Olivetti, 64 x 64, 32 people to learn from and 8 others to measure on. Sheets: 64 handwritten digits of MNIST on
a page of 224 x 224, training and test images apart. The size of the block is chosen on a part of what is learnt from.

Each file of another format sets a size; embudo gets no more bytes for the same picture. "Together" is several
pictures in one file: an .emb file of all of them against one picture that shows them side by side.
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
from embudo.errors import InvalidParameter
from embudo.metrics.reconstruction import psnr

QUALITIES = (0, 10, 25, 45, 65, 85)
BLOCKS = (8, 16, 32)
PEOPLE_HELD_OUT = 8


def faces(data: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return images to learn from, to choose on, and to measure on, shape (n, height, width, 1)."""
    archive = np.load(data / "olivetti" / "olivetti_faces.npz")
    images, person = archive["images"][..., None], archive["target"]
    order = np.random.default_rng(0).permutation(40)
    measured, chosen = order[:PEOPLE_HELD_OUT], order[PEOPLE_HELD_OUT : PEOPLE_HELD_OUT + 4]
    rest = ~np.isin(person, [*measured, *chosen])
    return images[rest], images[np.isin(person, chosen)], images[np.isin(person, measured)]


def sheets(data: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the same of sheets of digits."""
    train, test = (
        np.rint(255 - 255 * load_mnist(data, part)[:n]).astype(np.uint8).reshape(-1, 28, 28, 1)
        for part, n in (("train", 64 * 220), ("test", 64 * 20))
    )
    train, test = (np.stack([sheet(page) for page in np.split(digits, len(digits) // 64)]) for digits in (train, test))
    return train[:200], train[200:], test


def sheet(images: np.ndarray) -> np.ndarray:
    """Return images, shape (n, height, width, channels), side by side as one, in as many rows as columns or nearly."""
    n, height, width, channels = images.shape
    rows = max(k for k in range(1, n + 1) if n % k == 0 and k * k <= n)
    grid = images.reshape(rows, n // rows, height, width, channels)
    return grid.swapaxes(1, 2).reshape(rows * height, -1, channels)


def learn(images: np.ndarray, chosen: np.ndarray, options: dict[str, Any]) -> tuple[ImageCodec, dict[str, Any]]:
    """Return the codec whose block does best on `chosen`, learnt from all, and what that took."""
    started = time.process_time()
    bpp = 0.5
    scores = {}
    for block in BLOCKS:
        codec = ImageCodec(block=block, **options).fit(list(images))
        scores[block] = float(np.mean([psnr(x, codec.decode(codec.encode(x, bpp=bpp))) for x in chosen]))
    block = max(scores, key=lambda block: scores[block])
    codec = ImageCodec(block=block, **options).fit([*images, *chosen])
    return codec, {"block": block, "psnr_of_blocks": scores, "cpu_seconds": time.process_time() - started}


def against(codec: ImageCodec, name: str, images: list[np.ndarray], quality: int, together: bool) -> dict[str, Any]:
    """Return sizes and PSNR of both; embudo has no more bytes than the other format, for each file."""
    theirs, ours = [], []
    for image in [np.stack(images)] if together else images:
        peer = encode_peer(name, sheet(image) if together else image, quality)
        try:
            data = codec.encode(image, max_bytes=len(peer.data))
        except InvalidParameter:
            continue
        theirs.append((len(peer.data), psnr(sheet(image) if together else image, peer.pixels)))
        ours.append((len(data), psnr(image, codec.decode(data))))
    n = len(images) if together else max(1, len(ours))
    return {
        "codec": name,
        "quality": quality,
        "together": together,
        "files": len(ours),
        "bytes_each": float(np.sum([size for size, _ in theirs]) / n),
        "psnr": float(np.mean([value for _, value in theirs])) if theirs else None,
        "embudo_bytes_each": float(np.sum([size for size, _ in ours]) / n),
        "embudo_psnr": float(np.mean([value for _, value in ours])) if ours else None,
        "embudo_better_on": sum(a > b for (_, a), (_, b) in zip(ours, theirs, strict=True)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder that holds olivetti/, mnist/")
    parser.add_argument("--method", help="of ImageCodec")
    options = parser.parse_args()
    parameters = {} if options.method is None else {"method": options.method}
    report = Report(f"codec_narrow_domain{'_' + options.method if options.method else ''}", quick=False)
    for domain, read in {"faces": faces, "sheets of digits": sheets}.items():
        learnt, chosen, measured = read(options.data)
        codec, facts = learn(learnt, chosen, parameters)
        common = {"domain": domain, "learnt_from": len(learnt) + len(chosen), **facts}
        for name in available_peers():
            for quality in QUALITIES:
                for together in (False, True):
                    report.add(**common, **against(codec, name, list(measured), quality, together))


if __name__ == "__main__":
    main()
