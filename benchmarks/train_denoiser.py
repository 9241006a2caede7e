"""Learns the denoisers that come with the package, from photographs, and measures them on others after each epoch.

``python benchmarks/train_denoiser.py --data ../shared/data --color grey -o src/embudo/apps/denoiser_grey.safetensors``

A second time, with ``--method finetune``, it goes on with what came out. With ``--run-dir`` a training that was stopped
goes on where it was. The commands that led to the weights of this version are in docs/pretrained-denoiser.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from muon import Muon
from PIL import Image

from embudo import ImageDenoiser, Training
from embudo.data.images import read_image

HELD_OUT = slice(None, None, 20)  #: of the training images of BSDS: these choose
SIGMAS = (15, 25, 50)  #: that they are measured at


def smaller(image: np.ndarray, share: float) -> np.ndarray:
    height, width = (round(length * share) for length in image.shape[:2])
    resized = Image.fromarray(image.squeeze()).resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(resized).reshape(height, width, -1)


def training_images(data: Path, color: str) -> list[np.ndarray]:
    """Return the training images of BSDS, as they are and at 0.7 of their size, and the photographs at half of it."""
    paths = sorted((data / "bsds" / "train").glob("*.jpg"))
    pictures = [read_image(path, color) for path in paths if path not in paths[HELD_OUT]]
    left_out = (data / "photos" / "validation.txt").read_text().split()
    photographs = [path for path in sorted((data / "photos").glob("*.jpg")) if path.name not in left_out]
    return [
        *pictures,
        *(smaller(picture, 0.7) for picture in pictures),
        *(smaller(read_image(path, color), 0.5) for path in photographs),
    ]


def validation_pairs(data: Path, color: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return noisy and clean parts of held-out images."""
    rng, noisy, clean = np.random.default_rng(1), [], []
    for path in sorted((data / "bsds" / "train").glob("*.jpg"))[HELD_OUT]:
        image = read_image(path, color)[80:240, 80:240] / np.float32(255)
        for sigma in SIGMAS:
            clean.append(image)
            noisy.append(image + rng.normal(0, sigma / 255, image.shape).astype(np.float32))
    return noisy, clean


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder that holds photos/ and bsds/")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--color", choices=["grey", "rgb"], default="grey")
    parser.add_argument("--method", choices=["scratch", "finetune"], default="scratch")
    parser.add_argument("--patch-size", type=int, default=80)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=52)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--random-state", type=int, default=0)
    parser.add_argument("--run-dir", help="folder that keeps the state of the training")
    options = parser.parse_args()
    training = Training(
        options.epochs,
        batch_size=options.batch_size,
        optimizer=Muon(options.lr),
        schedule="warmup_cosine",
        precision="bfloat16",
        run_dir=options.run_dir,
        verbose=True,
    )
    denoiser = ImageDenoiser(
        method=options.method, patch_size=options.patch_size, training=training, random_state=options.random_state
    )
    images = training_images(options.data, options.color)
    denoiser.fit(images, X_val=validation_pairs(options.data, options.color))
    denoiser.set_params(method="finetune", patch_size=64, training=None, random_state=None)  # what `fit` begins with
    denoiser.save(options.output)


if __name__ == "__main__":
    main()
