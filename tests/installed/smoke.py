"""What a user would try first, of a package that is installed without its repository: python smoke.py, from any folder.

Strictly typed, so that mypy tells whether the package's own types are of use.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import embudo
from embudo import (
    L1,
    Adam,
    AnomalyDetector,
    Autoencoder,
    AutoencoderClassifier,
    Contractive,
    GaussianNoise,
    ImageCodec,
    ImageDenoiser,
    TopK,
    Training,
    load,
    make_stack,
)


def main() -> None:
    """Fit, save and load a model of every kind, and call the command."""
    X: np.ndarray = load_digits().data / 16
    y: np.ndarray = load_digits().target
    quick = Training(epochs=3, optimizer=Adam(1e-3), verbose=False)
    ae = Autoencoder(
        16,
        corruption=GaussianNoise(0.1),
        sparsity=TopK(4),
        penalty=Contractive(0.01) + L1(1e-4),
        training=quick,
        random_state=0,
    ).fit(X)
    image: np.ndarray = np.kron(np.clip(X[0] * 255, 0, 255).reshape(8, 8, 1), np.ones((8, 8, 1))).astype(np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.safetensors")
        ae.save(path)
        assert (load(path).transform(X) == ae.transform(X)).all()
        told = subprocess.run(
            [sys.executable, "-m", "embudo", "info", path], check=True, capture_output=True, text=True
        ).stdout
        assert "TopK(4)" in told
    stack = make_stack(ae, (32, 8), training=quick, random_state=0)
    proba: np.ndarray = AutoencoderClassifier(stack, training=quick, random_state=0).fit(X, y).predict_proba(X)
    assert proba.shape == (len(X), 10)
    flags: np.ndarray = AnomalyDetector(contamination=0.05, random_state=0).fit(X[:200]).predict(X)
    assert set(flags.tolist()) == {-1, 1}
    assert make_pipeline(ae, LogisticRegression()).fit(X, y).score(X, y) > 0.5
    assert "PCA does better" in ae.report(X, y).html
    codec = ImageCodec.pretrained()
    data: bytes = codec.encode(image, quality=60)
    assert codec.decode(data).shape == image.shape
    assert ImageDenoiser.pretrained().denoise(image).shape == image.shape
    print(f"embudo {embudo.__version__} on Python {sys.version.split()[0]}: all is well")


if __name__ == "__main__":
    main()
