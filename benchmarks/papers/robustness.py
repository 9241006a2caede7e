"""The two kinds of robustness: of the reconstruction (denoising) and of the code (contraction), on MNIST.

Both are said in Alain and Bengio (2014) and Rifai et al. (2011): denoising asks that g(f(x + e)) stay close to x,
contraction that f(x + e) stay close to f(x). For Gaussian noise e of several sizes, on test images, averaged:

- code: ``||f(x + e) - f(x)|| / ||f(x)||``
- code, by spread: the same distance, divided by that of f(x) from the mean code, which a constant part cannot shrink
- reconstruction: ``||g(f(x + e)) - g(f(x))|| / ||g(f(x))||``
- distance from the clean image: ``||g(f(x + e)) - x|| / ||x||``
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from contraction import sigmoid_autoencoder
from shared import Report, Split, parse_arguments

from embudo import Autoencoder, Contractive, GaussianNoise

N_HIDDEN = 500
NOISE = (0.1, 0.2, 0.3, 0.4, 0.5)
SEEDS = (0, 1)
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "denoising": {"corruption": GaussianNoise(0.3)},
    "contractive": {"penalty": Contractive(0.1)},
    "both": {"corruption": GaussianNoise(0.3), "penalty": Contractive(0.1)},
}


def lengths(rows: np.ndarray) -> np.ndarray:
    return np.linalg.norm(rows.astype(np.float64), axis=1)


def changes(model: Autoencoder, X: np.ndarray, std: float, seed: int) -> dict[str, float]:
    """Return the mean relative changes under Gaussian noise of deviation `std`."""
    noise = np.random.default_rng(seed).standard_normal(X.shape, dtype=np.float32)
    code, noisy_code = model.transform(X), model.transform(X + np.float32(std) * noise)
    y, noisy_y = model.inverse_transform(code), model.inverse_transform(noisy_code)
    moved = lengths(noisy_code - code)
    return {
        "code": float((moved / lengths(code)).mean()),
        "code_by_spread": float(moved.mean() / lengths(code - code.mean(axis=0)).mean()),
        "reconstruction": float((lengths(noisy_y - y) / lengths(y)).mean()),
        "distance_from_clean": float((lengths(noisy_y - X) / lengths(X)).mean()),
        "distance_without_noise": float((lengths(y - X) / lengths(X)).mean()),
    }


def main() -> None:
    arguments = parse_arguments(__doc__)
    split = Split(arguments.data, quick=arguments.quick)
    epochs = 1 if arguments.quick else 15
    report = Report(
        "papers_robustness",
        quick=arguments.quick,
        data="MNIST in [0, 1]",
        split=f"learnt on {len(split.train[0])} training images, measured on {len(split.test[0])} test images",
        seeds=SEEDS,
        epochs=epochs,
        n_hidden=N_HIDDEN,
    )
    for variant, parts in VARIANTS.items():
        for seed in SEEDS:
            started = time.perf_counter()
            model = sigmoid_autoencoder(N_HIDDEN, epochs, seed, **parts).fit(split.train[0])
            minutes = round((time.perf_counter() - started) / 60, 2)
            for std in NOISE:
                measured = changes(model, split.test[0], std, seed)
                what = ", ".join(repr(part) for part in parts.values())
                report.add(variant=variant, parts=what, seed=seed, noise=std, **measured, minutes=minutes)


if __name__ == "__main__":
    main()
