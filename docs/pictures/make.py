"""Draws the pictures of docs/seeing.md, from data that scikit-learn brings along.

``python docs/pictures/make.py [names]`` draws all of them, or those that are named; "report", "explorer" and
"watching" are screenshots, which need chromium on the PATH.
"""

from __future__ import annotations

import functools
import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from sklearn.datasets import load_breast_cancer, load_digits, load_sample_images, load_wine

from embudo import (
    MLP,
    Adam,
    AnomalyDetector,
    Autoencoder,
    GaussianNoise,
    ImageCodec,
    ImageDenoiser,
    MaskingNoise,
    StackedAutoencoder,
    Training,
    k_sparse_autoencoder,
    map_autoencoder,
)
from embudo.engine.progress import heard_by
from embudo.report import (
    AnomalyScoreDisplay,
    CodeDisplay,
    DenoisingDisplay,
    FilterDisplay,
    HierarchyDisplay,
    MapDisplay,
    PCAComparisonDisplay,
    RateDistortionDisplay,
    ReconstructionDisplay,
    RobustnessDisplay,
    TrainingDisplay,
    TraversalDisplay,
)
from embudo.report.explorer.codes import CodeExplorer
from embudo.report.explorer.server import served
from embudo.report.explorer.watching import Watch

HERE = Path(__file__).parent
DIGITS = load_digits()
IMAGES, LABELS = DIGITS.images / 16, DIGITS.target
DPI = {"denoising": 56}
LONG = Training(100, batch_size=64, optimizer=Adam(2e-3), validation_fraction=0.2, verbose=False)


@functools.cache
def digits() -> Autoencoder:
    """Return the autoencoder that most pictures are of."""
    net = MLP((128, 64), activation="gelu")
    return Autoencoder(8, encoder=net, corruption=GaussianNoise(0.1), training=LONG, random_state=0).fit(IMAGES)


@functools.cache
def stack() -> StackedAutoencoder:
    levels = [
        ("strokes", Autoencoder(64, code_activation="sigmoid", corruption=MaskingNoise(0.2), training=LONG)),
        ("parts", Autoencoder(24, code_activation="sigmoid", training=LONG)),
        ("digits", Autoencoder(8, training=LONG)),
    ]
    return StackedAutoencoder(levels, training=LONG, random_state=0).fit(IMAGES)


def reconstruction(figure: Figure) -> Any:
    return ReconstructionDisplay.from_estimator(digits(), IMAGES, corruption=GaussianNoise(0.3), pca=True, ax=figure)


def strips(figure: Figure) -> Any:
    wine = load_wine(as_frame=True).data
    ae = Autoencoder(4, encoder=MLP(32), training=Training(100, verbose=False), random_state=0).fit(wine)
    return ReconstructionDisplay.from_estimator(ae, wine, ax=figure)


def filters(figure: Figure) -> Any:
    ae = k_sparse_autoencoder(64, k=8, random_state=0).set_params(training=LONG)
    return FilterDisplay.from_estimator(ae.fit(IMAGES), n_filters=32, ax=figure)


def traversal(figure: Figure) -> Any:
    return TraversalDisplay.from_estimator(digits(), IMAGES, sample=3, ax=figure)


def hierarchy(figure: Figure) -> Any:
    return HierarchyDisplay.from_estimator(stack(), IMAGES, ax=figure)


def codes(figure: Figure) -> Any:
    return CodeDisplay.from_estimator(digits(), IMAGES, LABELS, ax=figure)


def map(figure: Figure) -> Any:
    ae = map_autoencoder(random_state=0).set_params(training__verbose=False)
    return MapDisplay.from_estimator(ae.fit(IMAGES), IMAGES, LABELS, ax=figure)


def training(figure: Figure) -> Any:
    return TrainingDisplay.from_estimator(stack(), ax=figure)


def pca(figure: Figure) -> Any:
    return PCAComparisonDisplay.from_estimator(digits(), IMAGES, ax=figure)


def robustness(figure: Figure) -> Any:
    return RobustnessDisplay.from_estimator(digits(), IMAGES, ax=figure)


def anomalies(figure: Figure) -> Any:
    X, y = load_breast_cancer(return_X_y=True)
    benign = np.flatnonzero(y == 1)
    detector = AnomalyDetector(contamination=0, random_state=0).fit(X[benign[:200]])
    detector.calibrate(X[benign[200:300]], false_alarm_rate=0.05)
    new = np.setdiff1d(np.arange(len(X)), benign[:300])
    return AnomalyScoreDisplay.from_estimator(detector, X[new], np.where(y[new] == 1, "benign", "malignant"), ax=figure)


def denoising(figure: Figure) -> Any:
    flower = load_sample_images().images[1][150:290, 240:410]
    return DenoisingDisplay.from_estimator(ImageDenoiser.pretrained(), flower, sigma=30, ax=figure)


def rate_distortion(figure: Figure) -> Any:
    codec = ImageCodec.pretrained()
    return RateDistortionDisplay.from_estimator(codec, load_sample_images().images, peers=("JPEG", "WebP"), ax=figure)


PICTURES = (
    *(reconstruction, strips, filters, traversal, hierarchy, codes, map, training, pca, robustness),
    *(anomalies, denoising, rate_distortion),
)


def draw(picture: Any) -> bytes:
    """Return a picture as PNG, of as many colours as a palette holds."""
    display = picture(Figure(layout="compressed"))
    buffer = io.BytesIO()
    display.figure_.savefig(
        buffer, format="png", dpi=DPI.get(picture.__name__, 80), bbox_inches="tight", pad_inches=0.08
    )
    pixels = Image.open(buffer).convert("RGB").quantize(192, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    pixels.save(buffer, "png", optimize=True)
    return buffer.getvalue()


def photograph_report(chromium: str) -> bytes:
    """Return the first screen of a report, as PNG."""
    ae = Autoencoder(200, code_activation="relu", training=Training(20, verbose=False), random_state=0).fit(IMAGES)
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder, "report.html")
        ae.report(IMAGES, LABELS, title="Digits").save(page)
        return photograph(chromium, page.as_uri(), "1000,720")


def photograph_explorer(chromium: str) -> bytes:
    """Return the first screen of the explorer, as PNG."""
    with served(CodeExplorer(digits(), IMAGES, LABELS, title="Digits"), browser=False) as address:
        return photograph(chromium, address, "1320,800")


def photograph_watching(chromium: str) -> bytes:
    """Return the page of a training that is over, as PNG."""
    watch = Watch("digits.npy to digits.safetensors")
    with heard_by(watch.note):
        digits.__wrapped__()
    watch.draw("In the end")
    watch.finished = True
    with served(watch, browser=False) as address:
        return photograph(chromium, address, "1000,1050")


def photograph(chromium: str, address: str, size: str) -> bytes:
    """Return a page in a window of a size, as PNG, once it has had two seconds of its own time."""
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder, "shot.png")
        options = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={size}")
        profile = (f"--user-data-dir={folder}/profile", "--virtual-time-budget=2000")
        command = [chromium, *options, *profile, f"--screenshot={shot}", address]
        subprocess.run(command, check=True, capture_output=True)
        buffer = io.BytesIO()
        Image.open(shot).convert("RGB").quantize(64).save(buffer, "png", optimize=True)
    return buffer.getvalue()


SCREENSHOTS = {"report": photograph_report, "explorer": photograph_explorer, "watching": photograph_watching}


def main() -> None:
    mpl.use("Agg")
    torch.set_num_threads(1)
    wanted = set(sys.argv[1:]) or {*SCREENSHOTS, *(picture.__name__ for picture in PICTURES)}
    chromium = shutil.which("chromium")
    for name, take in SCREENSHOTS.items():
        if name in wanted and chromium is not None:
            (HERE / f"{name}.png").write_bytes(take(chromium))
    for picture in PICTURES:
        if picture.__name__ in wanted:
            (HERE / f"{picture.__name__}.png").write_bytes(draw(picture))


if __name__ == "__main__":
    main()
