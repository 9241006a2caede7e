"""A deep autoencoder with a code of 30 units: greedy layers, then fine-tuned, beside random weights and PCA.

Hinton and Salakhutdinov (2006), Reducing the dimensionality of data with neural networks: logistic hidden layers, a
linear code. There the layers are Boltzmann machines and the optimiser is conjugate gradients; here they are
autoencoders, and it is Adam.

MNIST, 784-1000-500-250-30. Olivetti, 625-2000-1000-500-30, on 25 x 25 patches of faces that are turned,
shrunk and cropped at random: people 0 to 23 are learnt, 30 to 39 tested on, as there; but 30000 patches to learn from
and not 124200, and intensities are not altered.

Learning rate, weight decay and epochs were chosen on the last 10000 training images of MNIST, see ../LOG.md. What is
measured after each epoch on the test images is drawn and decides nothing. Fits run in two processes of one thread.
"""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import affine_transform
from shared import Report, Split, parse_arguments
from sklearn.decomposition import PCA

from embudo import MLP, Adam, Autoencoder, Training, make_stack
from embudo.models.base import BaseAutoencoder

N_CODE = 30
SEED = 0
N_PROCESSES = 2
SIDE = 25  #: pixels of a patch
#: data -> (sizes of the hidden layers, epochs of each level, of all layers together, activation of the output)
SETTINGS: dict[str, tuple[tuple[int, ...], int, int, str]] = {
    "MNIST": ((1000, 500, 250), 4, 200, "sigmoid"),
    "Olivetti": ((2000, 1000, 500), 8, 60, "identity"),
}
#: squared errors printed in the paper
PRINTED = {"MNIST": {"autoencoder": 3.00, "PCA": 13.87}, "Olivetti": {"autoencoder": 126.0, "PCA": 135.0}}
#: variant -> learning rate of all layers together, and how many times the epochs
VARIANTS = {
    "greedy, then fine-tuned": (8e-3, 1),
    "random weights": (4e-3, 1),
    "random weights, twice as long": (4e-3, 2),
    "PCA": None,
}
ROWS = [
    f"{data}: {variant}" for data in SETTINGS for variant in VARIANTS if (data, variant[-4:]) != ("Olivetti", "long")
]


def patches(faces: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return `n` patches of faces in turn, turned by up to 90 degrees and shrunk by 1.4 to 1.8, as rows."""
    centre, corner = (faces.shape[1] - 1) / 2, (SIDE - 1) / 2
    rows = np.empty((n, SIDE * SIDE), np.float32)
    for i in range(n):
        angle, shrink = rng.uniform(-np.pi / 2, np.pi / 2), rng.uniform(1.4, 1.8)
        turn = shrink * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        start = centre + rng.uniform(-4, 4, size=2) - turn @ [corner, corner]
        face = faces[i % len(faces)]
        rows[i] = affine_transform(face, turn, start, (SIDE, SIDE), order=1, mode="nearest").ravel()
    return rows


def load(data: str, folder: Path, *, quick: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return rows to learn from, and to test on."""
    if data == "MNIST":
        split = Split(folder, quick=quick)
        return split.train[0], split.test[0]
    faces = np.load(folder / "olivetti" / "olivetti_faces.npz")["images"].astype(np.float32)
    rng = np.random.default_rng(SEED)
    n = 2000 if quick else 30_000
    train, test = patches(faces[:240], n, rng), patches(faces[300:], n // 3, rng)
    mean, size = train.mean(axis=0), train.std(axis=0).mean()
    return (train - mean) / size, (test - mean) / size


def make_model(data: str, variant: str, *, quick: bool) -> BaseAutoencoder:
    hidden, epochs_a_level, epochs, output = SETTINGS[data]
    if quick:
        epochs_a_level = epochs = 1

    def training(epochs: int, optimizer: Adam, schedule: str) -> Training:
        return Training(
            epochs, batch_size=256, optimizer=optimizer, schedule=schedule, precision="bfloat16", verbose=False
        )

    rate, times = VARIANTS[variant]
    together = training(times * epochs, Adam(rate, weight_decay=0.1), "warmup_cosine")
    if variant.startswith("random weights"):
        encoder = MLP(hidden, activation="sigmoid")
        return Autoencoder(
            N_CODE, encoder=encoder, output_activation=output, scale=None, training=together, random_state=SEED
        )
    level = Autoencoder(
        code_activation="sigmoid",
        output_activation=output,
        scale=None,
        training=training(epochs_a_level, Adam(2e-3), "cosine"),
    )
    stack = make_stack(level, (*hidden, N_CODE), training=together, random_state=SEED)
    return stack.set_params(**{f"level{len(hidden) + 1}__code_activation": "identity"})


def squared_error(X: np.ndarray, reconstruction: np.ndarray) -> float:
    return float(np.square(X - reconstruction, dtype=np.float64).sum(axis=1).mean())


def measure(data: str, variant: str, folder: Path, quick: bool) -> dict[str, Any]:
    """Fit one variant, and return its errors and the curve of its test error over minutes."""
    torch.set_num_threads(1)
    X, X_test = load(data, folder, quick=quick)
    about = {"data": data, "variant": variant}
    if variant == "PCA":
        pca = PCA(N_CODE, svd_solver="full").fit(X.astype(np.float64))
        return about | {
            f"{part}_error": squared_error(rows, pca.inverse_transform(pca.transform(rows)))
            for part, rows in (("training", X), ("test", X_test))
        }
    started = time.process_time()
    model = make_model(data, variant, quick=quick).fit(X, X_val=X_test)
    cpu = time.process_time() - started
    stages: dict[str, list[Any]] = getattr(model, "stages_", {})
    points = list(zip(accumulate(stages.get("seconds", [])[:-1]), stages.get("validation_error", [])[:-1], strict=True))
    before = points[-1][0] if points else 0.0
    seconds = (before + elapsed for elapsed in accumulate(model.history_["seconds"]))
    points += zip(seconds, model.history_["validation_loss"], strict=True)
    return about | {
        "epochs": len(model.history_["epoch"]),
        "training_error": squared_error(X, model.reconstruct(X)),
        "test_error": squared_error(X_test, model.reconstruct(X_test)),
        "stages": stages,
        "curve": [(round(second / 60, 3), round(error, 4)) for second, error in points],
        "cpu_minutes": round(cpu / 60, 1),
    }


def main() -> None:
    arguments = parse_arguments(__doc__, ROWS)
    report = Report(
        "papers_deep",
        quick=arguments.quick,
        measured=lambda row: f"{row['data']}: {row['variant']}" in arguments.only,
        data="MNIST in [0, 1]; Olivetti, patches, each pixel centred, all divided by the mean standard deviation",
        split="MNIST's own; Olivetti: people 0 to 23 learnt, 30 to 39 tested on",
        seed=SEED,
        precision="bfloat16",
        processes=N_PROCESSES,
        settings=SETTINGS,
        variants=VARIANTS,
        printed=PRINTED,
    )
    with ProcessPoolExecutor(N_PROCESSES) as pool:
        jobs = [pool.submit(measure, *row.split(": "), arguments.data, arguments.quick) for row in arguments.only]
        for job in as_completed(jobs):
            report.add(**job.result())


if __name__ == "__main__":
    main()
