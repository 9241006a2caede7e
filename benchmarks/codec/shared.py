"""What the benchmarks of the codec share: images to learn from and to measure on, and figures for curves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from embudo.data.images import read_image

BSDS_HELD_OUT = Path(__file__).with_name("bsds_validation.txt").read_text().split()


def smaller(image: np.ndarray, share: float) -> np.ndarray:
    """Return an image downscaled, so that the traces of its JPEG compression vanish."""
    height, width = (round(length * share) for length in image.shape[:2])
    resized = Image.fromarray(image.squeeze()).resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(resized.convert("RGB"))


def training_images(data: Path) -> list[np.ndarray]:
    """Return the photographs and the training images of BSDS, at half their size."""
    held_out = {*(data / "photos" / "validation.txt").read_text().split(), *BSDS_HELD_OUT}
    folders = (data / "photos", data / "bsds" / "train", data / "bsds" / "test")
    paths = [path for folder in folders for path in sorted(folder.glob("*.jpg")) if path.name not in held_out]
    return [smaller(read_image(path), 0.5) for path in paths]


def validation_images(data: Path) -> dict[str, np.ndarray]:
    """Return photographs that are kept aside, their long side 768 pixels, by name."""
    names = (data / "photos" / "validation.txt").read_text().split()
    images = {name: read_image(data / "photos" / name) for name in sorted(names)}
    return {name: smaller(image, 768 / max(image.shape)) for name, image in images.items()}


def small_validation_images(data: Path) -> dict[str, np.ndarray]:
    """Return test images of BSDS that are kept aside, two thirds of their size: 321 x 214 pixels."""
    return {name: smaller(read_image(data / "bsds" / "test" / name), 2 / 3) for name in BSDS_HELD_OUT}


def decibels(similarity: list[float]) -> list[float]:
    """Return MS-SSIM on a scale where equal steps look alike: -10 log10(1 - MS-SSIM)."""
    return [float(-10 * np.log10(1 - value)) for value in similarity]


def bd_rate(curve: list[tuple[float, float]], reference: list[tuple[float, float]]) -> float:
    """Return by how many percent more bits `curve` takes than `reference` at equal distortion.

    The mean over the distortions that both reach of the difference of log rates, interpolated by piecewise cubic
    Hermite polynomials (Bjøntegaard 2001, VCEG-M33).

    Parameters
    ----------
    curve, reference : list of (rate, distortion)
    """
    from scipy.interpolate import PchipInterpolator

    def interpolate(points: list[tuple[float, float]]) -> PchipInterpolator:
        rate, distortion = np.array(sorted(points)).T
        distortion = np.maximum.accumulate(distortion) + 1e-9 * np.arange(len(distortion))
        return PchipInterpolator(distortion, np.log(rate))

    low = max(min(d for _, d in curve), min(d for _, d in reference))
    high = min(max(d for _, d in curve), max(d for _, d in reference))
    difference = interpolate(curve).integrate(low, high) - interpolate(reference).integrate(low, high)
    return 100 * float(np.expm1(difference / (high - low)))
