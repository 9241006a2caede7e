"""Rate and distortion of the codec and of other formats on pictures kept aside; whole files, PSNR and MS-SSIM over RGB.

The PCA codec is the linear `ImageCodec`, learnt from the same pictures as the one that comes with embudo.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from PIL import Image
from shared import bd_rate, decibels, small_validation_images, training_images, validation_images

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import Report

from embudo import ImageCodec
from embudo.codec.peers import Encoded, available_peers, decoded_pixels, encode_peer
from embudo.metrics.reconstruction import psnr
from embudo.metrics.similarity import ms_ssim

PEER_QUALITIES = {
    "JPEG": (5, 8, 12, 18, 25, 35, 50, 65, 75, 83, 90, 95),
    "WebP": (0, 4, 10, 20, 35, 50, 65, 75, 83, 90, 95, 98),
    "AVIF": (5, 12, 20, 28, 36, 45, 55, 65, 75, 83, 90, 95),
    "JPEG XL": (0, 12, 30, 48, 65, 80, 90, 96),
}
JPEG_2000_RATIOS = (160, 110, 80, 56, 40, 28, 20, 14, 9, 6)
QUALITIES = (3, 6, 12, 18, 25, 32, 40, 48, 56, 64, 72, 80)
METRICS = ("psnr", "ms_ssim")
Encode = Callable[[np.ndarray], Iterable[Encoded]]


def by_jpeg_2000(image: np.ndarray) -> Iterable[Encoded]:
    for ratio in JPEG_2000_RATIOS:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "jpeg2000", mct=1, irreversible=True, quality_layers=[ratio])
        yield Encoded(buffer.getvalue(), decoded_pixels(buffer.getvalue(), 3))


def by_peer(name: str) -> Encode:
    return lambda image: (encode_peer(name, image, quality) for quality in PEER_QUALITIES[name])


def by_codec(codec: ImageCodec) -> Encode:
    def encode(image: np.ndarray) -> Iterable[Encoded]:
        for quality in QUALITIES:
            data = codec.encode(image, quality)
            yield Encoded(data, codec.decode(data))

    return encode


def measure(image: np.ndarray, files: Iterable[Encoded]) -> dict[str, list[float]]:
    """Return bits a pixel, PSNR and MS-SSIM of each file."""
    curve: dict[str, list[float]] = {"bpp": [], "psnr": [], "ms_ssim": []}
    for data, pixels in files:
        curve["bpp"].append(round(8 * len(data) / (image.shape[0] * image.shape[1]), 5))
        curve["psnr"].append(round(psnr(image, pixels), 3))
        curve["ms_ssim"].append(round(ms_ssim(image, pixels), 6))
    return curve


def bd_rates(curve: dict[str, list[float]], reference: dict[str, list[float]]) -> dict[str, float]:
    """Return the BD-rate in both metrics, MS-SSIM in decibels."""

    def points(one: dict[str, list[float]], metric: str) -> list[tuple[float, float]]:
        return list(zip(one["bpp"], decibels(one[metric]) if metric == "ms_ssim" else one[metric], strict=True))

    return {metric: bd_rate(points(curve, metric), points(reference, metric)) for metric in METRICS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder that holds photos/ and bsds/")
    parser.add_argument("--model", type=Path, help="a codec; the one that comes with embudo by default")
    parser.add_argument("--linear", type=Path, help="the PCA codec; learnt anew by default")
    parser.add_argument("--only", nargs="+", metavar="CODEC", help="measure these, keep what is known of the others")
    options = parser.parse_args()
    codec = ImageCodec.pretrained() if options.model is None else ImageCodec.load(options.model)
    report = Report(
        "codec_rate_distortion",
        quick=False,
        data="photos/validation.txt, long side 768; 40 test images of BSDS, 321 x 214",
        model=codec.model_id_,
    )
    known = json.loads(report.path.read_text())["results"] if options.only and report.path.exists() else []

    def is_wanted(name: str) -> bool:
        return not options.only or name in options.only

    methods: dict[str, Encode] = {name: by_peer(name) for name in available_peers()}
    methods |= {"JPEG 2000": by_jpeg_2000}
    if is_wanted("PCA codec"):
        linear = None if options.linear is None else ImageCodec.load(options.linear)
        linear = linear or ImageCodec(method="linear").fit(training_images(options.data))
        methods["PCA codec"] = by_codec(linear)
    methods["embudo"] = by_codec(codec)
    sets = {"photos": validation_images(options.data), "BSDS": small_validation_images(options.data)}
    for data, images in sets.items():
        curves_of = {row["codec"]: row["curves"] for row in known if row["data"] == data}
        for name in dict.fromkeys(["JPEG", *methods, *curves_of]):
            if is_wanted(name) or (name == "JPEG" and name not in curves_of):
                curves_of[name] = {key: measure(image, methods[name](image)) for key, image in images.items()}
            elif name not in curves_of:
                continue
            curves = curves_of[name]
            rates = {key: bd_rates(curve, curves_of["JPEG"][key]) for key, curve in curves.items()}
            means = {metric: float(np.mean([rate[metric] for rate in rates.values()])) for metric in METRICS}
            report.add(data=data, codec=name, bd_rate=means, bd_rates=rates, curves=curves)


if __name__ == "__main__":
    main()
