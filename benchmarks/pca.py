"""A linear autoencoder trained by gradient descent spans PCA's subspace.

Baldi and Hornik (1989): with identity activations and squared error, every minimum of the loss is a
projection onto the first k principal axes. What is measured: the largest angle between the columns of the
decoder's weight and PCA's axes, and the reconstruction error beside PCA's. The weights begin at random
(``init="auto"``); the rows ``init="pca"`` are PCA's solution itself, as good as untrained.
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import Report, load_mnist, parse_arguments
from scipy.linalg import subspace_angles
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from embudo import SGD, Adam, Autoencoder, Training

LIMIT_ANGLE = 1.0  # degrees
LIMIT_EXCESS = 0.1  # percent of PCA's error


@dataclasses.dataclass(frozen=True)
class Case:
    """Data as the autoencoder learns them, of which PCA is taken too, and how it is trained on them."""

    name: str
    train: np.ndarray
    test: np.ndarray
    n_components: int
    training: Training
    seeds: tuple[int, ...]


def digits() -> Case:
    X = load_digits().data
    deviation = X.std(axis=0)
    X = (X - X.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    training = Training(epochs=1000, batch_size=len(X), optimizer=Adam(0.03), schedule="cosine")
    return Case("digits, standardised", X, X, 16, training, seeds=(0, 1, 2))


def mnist(folder: Path, *, centred: bool) -> Case:
    train, test = load_mnist(folder, "train"), load_mnist(folder, "test")
    if centred:
        mean = train.mean(axis=0, dtype=np.float64).astype(np.float32)
        train, test = train - mean, test - mean
    training = Training(
        epochs=20 if centred else 40, batch_size=1000, optimizer=Adam(1e-2, betas=(0.9, 0.99)), schedule="cosine"
    )
    return Case("MNIST, centred" if centred else "MNIST, as it is", train, test, 30, training, seeds=(0,))


def exact_pca(case: Case) -> PCA:
    return PCA(case.n_components, svd_solver="covariance_eigh").fit(case.train.astype(np.float64))


def mean_error(X: np.ndarray, reconstruction: np.ndarray) -> float:
    return float(np.square(X - reconstruction, dtype=np.float64).sum(axis=1).mean())


def relative_eigengap(case: Case) -> float:
    """Return the share by which the first eigenvalue that is left out is below the last one that is kept."""
    k = case.n_components
    eigenvalues = np.linalg.eigvalsh(np.cov(case.train, rowvar=False, dtype=np.float64))[::-1]
    return float(1 - eigenvalues[k] / eigenvalues[k - 1])


def compare(case: Case, pca: PCA, *, training: Training, init: str, tied: bool, seed: int) -> dict[str, Any]:
    model = Autoencoder(case.n_components, scale=None, tied=tied, init=init, training=training, random_state=seed)
    started = time.perf_counter()
    model.fit(case.train)
    seconds = time.perf_counter() - started
    axes = model.module_.decoder[0].weight.detach().cpu().numpy().astype(np.float64)
    pca_error = mean_error(case.test, pca.inverse_transform(pca.transform(case.test.astype(np.float64))))
    error = -model.score(case.test)
    return {
        "angle_degrees": float(np.degrees(subspace_angles(axes, pca.components_.T)[0])),
        "error": error,
        "pca_error": pca_error,
        "excess_percent": 100 * (error / pca_error - 1),
        "seconds": round(seconds, 1),
    }


def main() -> None:
    arguments = parse_arguments(__doc__)
    cases = [digits()]
    if not arguments.quick:
        cases += [mnist(arguments.data, centred=True), mnist(arguments.data, centred=False)]
    report = Report(
        "pca",
        quick=arguments.quick,
        data="sklearn load_digits, all 1797 rows; MNIST, fit on the 60000 training images",
        split="errors on the 1797 digits, and on MNIST's 10000 test images",
        seeds={case.name: case.seeds for case in cases},
        limits={"angle_degrees": LIMIT_ANGLE, "excess_percent": LIMIT_EXCESS},
    )
    untrained = Training(epochs=1, optimizer=SGD(1e-30))  # steps below the smallest change of a float32
    for case in cases:
        pca, gap = exact_pca(case), relative_eigengap(case)
        plans = [("auto", tied, seed) for tied in (False, True) for seed in case.seeds] + [("pca", False, 0)]
        for init, tied, seed in plans:
            training = case.training if init == "auto" else untrained
            row = compare(case, pca, training=training, init=init, tied=tied, seed=seed)
            report.add(
                data=case.name,
                n_components=case.n_components,
                relative_eigengap=gap,
                init=init,
                tied=tied,
                seed=seed,
                training=repr(training) if init == "auto" else "none",
                **row,
            )


if __name__ == "__main__":
    main()
