"""Convolutions reconstruct the faces of people never seen better than dense layers with at least as many weights.

Olivetti faces at 32 x 32 pixels. The candidates of each kind learn 28 people's faces; the one with the lowest error on
four others then learns all 32, and is measured on the eight people left, whom nothing before has seen.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from common import Report, parse_arguments, pca_error

from embudo import MLP, Adam, Autoencoder, ConvNet, Training
from embudo.parts.architectures import Architecture

CODE_SIZE = 32
SEEDS = (0, 1, 2)
TEST, VALIDATION = range(8), range(8, 12)  #: people; the others are learnt from
#: (encoder, epochs): convolutions, whose steps cost more, are given a third of them
CANDIDATES: dict[str, list[tuple[Architecture, int]]] = {
    "dense": [(MLP(128, activation="gelu"), 300), (MLP(256, activation="gelu"), 300)],
    "convolutional": [
        (ConvNet((16, 32, 64), kernel_size=4, activation="gelu"), 100),
        (ConvNet((16, 32, 64, 64), kernel_size=4, activation="gelu"), 100),
    ],
}
WEIGHT_DECAYS = (0.0, 0.3, 1.0)


def load_faces(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the faces, shape (400, 32, 32) in [0, 1], and whose they are."""
    images = np.load(folder / "olivetti" / "olivetti_faces.npz")["images"].astype(np.float32) / 255
    return images.reshape(-1, 32, 2, 32, 2).mean(axis=(2, 4)), np.arange(400) // 10


def make_model(encoder: Architecture, epochs: int, weight_decay: float, seed: int) -> Autoencoder:
    optimizer = Adam(2e-3 if isinstance(encoder, ConvNet) else 1e-3, weight_decay=weight_decay)
    training = Training(epochs, batch_size=16, optimizer=optimizer, schedule="cosine")
    return Autoencoder(CODE_SIZE, encoder=encoder, scale=None, training=training, random_state=seed)


def main() -> None:
    arguments = parse_arguments(__doc__)
    faces, people = load_faces(arguments.data)
    report = Report(
        "convolutions",
        quick=arguments.quick,
        data="Olivetti faces, means of 2 x 2 pixels, values in [0, 1]; squared error summed over 1024 pixels",
        split="people 12 to 39 learnt, 8 to 11 choose the candidate; then 8 to 39 learnt, 0 to 7 to test on",
        seeds=SEEDS,
        n_components=CODE_SIZE,
    )
    validation, test = np.isin(people, VALIDATION), np.isin(people, TEST)
    learning = ~validation & ~test
    report.add(stage="test", kind="PCA", test_error=pca_error(CODE_SIZE, faces[~test], faces[test], "full"))
    for kind, encoders in CANDIDATES.items():
        scores = {}
        for encoder, epochs in encoders:
            for decay in WEIGHT_DECAYS:
                few = 1 if arguments.quick else epochs
                model = make_model(encoder, few, decay, SEEDS[0]).fit(faces[learning])
                scores[encoder, few, decay] = error = -model.score(faces[validation])
                report.add(
                    stage="selection", kind=kind, encoder=repr(encoder), weight_decay=decay, validation_error=error
                )
        encoder, epochs, decay = min(scores, key=lambda chosen: scores[chosen])
        for seed in SEEDS:
            started = time.process_time()
            model = make_model(encoder, epochs, decay, seed).fit(faces[~test])
            report.add(
                stage="test",
                kind=kind,
                encoder=repr(encoder),
                weight_decay=decay,
                epochs=epochs,
                seed=seed,
                weights=sum(weight.numel() for weight in model.module_.parameters()),
                train_error=-model.score(faces[~test]),
                test_error=-model.score(faces[test]),
                cpu_seconds=round(time.process_time() - started, 1),
            )


if __name__ == "__main__":
    main()
