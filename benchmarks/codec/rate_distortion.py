"""Rate and distortion of the codec and of other formats on photographs kept aside; whole files, PSNR over RGB."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from PIL import Image
from shared import bd_rate, validation_images

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import Report

from embudo import ImageCodec
from embudo.metrics.reconstruction import psnr
from embudo.metrics.similarity import ms_ssim

#: name: (Pillow's name, its options, the values of the last one)
FORMATS = {
    "JPEG": ("jpeg", {"optimize": True}, "quality", (5, 8, 12, 18, 25, 35, 50, 65, 75, 83, 90, 95)),
    "WebP": ("webp", {"method": 6}, "quality", (0, 4, 10, 20, 35, 50, 65, 75, 83, 90, 95, 98)),
    "JPEG 2000": (
        "jpeg2000",
        {"mct": 1, "irreversible": True},
        "quality_layers",
        (160, 110, 80, 56, 40, 28, 20, 14, 9, 6),
    ),
    "AVIF": ("avif", {"speed": 6}, "quality", (5, 12, 20, 28, 36, 45, 55, 65, 75, 83, 90, 95)),
}
QUALITIES = (3, 6, 12, 18, 25, 32, 40, 48, 56, 64, 72, 80)
Point = tuple[float, float, float]


def measure(image: np.ndarray, files: Iterable[tuple[bytes, np.ndarray]]) -> list[Point]:
    """Return bits a pixel, PSNR and MS-SSIM of each file."""
    pixels = image.shape[0] * image.shape[1]
    return [(8 * len(data) / pixels, psnr(image, found), ms_ssim(image, found)) for data, found in files]


def by_pillow(name: str, image: np.ndarray) -> Iterable[tuple[bytes, np.ndarray]]:
    kind, options, varied, values = FORMATS[name]
    for value in values:
        buffer = io.BytesIO()
        setting = {varied: [value] if varied == "quality_layers" else value}
        Image.fromarray(image).save(buffer, kind, **options, **setting)
        yield buffer.getvalue(), np.asarray(Image.open(buffer).convert("RGB"))


def by_codec(codec: ImageCodec, image: np.ndarray) -> Iterable[tuple[bytes, np.ndarray]]:
    for quality in QUALITIES:
        data = codec.encode(image, quality)
        yield data, codec.decode(data)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder that holds photos/")
    parser.add_argument("--model", type=Path, help="a codec; the one that comes with embudo by default")
    options = parser.parse_args()
    codec = ImageCodec.pretrained() if options.model is None else ImageCodec.load(options.model)
    images = validation_images(options.data)
    report = Report(
        "codec_rate_distortion",
        quick=False,
        data="photos/validation.txt, long side 768",
        images=list(images),
        model=codec.model_id_,
    )
    methods: dict[str, Callable[[np.ndarray], Iterable[tuple[bytes, np.ndarray]]]] = {
        name: lambda image, name=name: by_pillow(name, image) for name in FORMATS
    }
    methods["embudo"] = lambda image: by_codec(codec, image)
    reference: dict[str, list[Point]] = {}
    for name, encode in methods.items():
        curves = {key: measure(image, encode(image)) for key, image in images.items()}
        reference = reference or curves
        rates = {
            key: bd_rate([point[:2] for point in curve], [point[:2] for point in reference[key]])
            for key, curve in curves.items()
        }
        report.add(codec=name, bd_rate=float(np.mean(list(rates.values()))), bd_rates=rates, curves=curves)


if __name__ == "__main__":
    main()
