"""Logistic regression on the codes of 1000 hidden units, MNIST: raw, plain, denoising, KL-sparse, k-sparse.

Makhzani and Frey (2013), k-Sparse autoencoders, arXiv:1312.5663, the table of features without fine-tuning. A k-sparse
autoencoder is linear with tied weights and keeps the k largest units; more speak at encoding time. Otherwise than
there, the optimizer is Adam under a cosine schedule with weight decay, and k is annealed only where the images are
noisy. The row "k-sparse, denoising" learns from noisy images besides, which the paper's rows do not.

What each composition is given, how many units speak at encoding time, and the weight of the classifier's penalty are
chosen on the last 10000 training rows (stage "selection", few epochs); then autoencoder and classifier learn from all
60000 (stage "test"). Variants run in two processes of one thread.
"""

from __future__ import annotations

import dataclasses
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import torch
from shared import Labelled, Report, Split, parse_arguments
from softmax import SoftmaxGrid

from embudo import Adam, Autoencoder, GaussianNoise, KLSparsity, MaskingNoise, TopK, Training

N_HIDDEN = 1000
N_PROCESSES = 2
SEED = 0
L2_GRID = (1e-5, 3e-4, 1e-3, 3e-3)
#: test errors (%) printed in the paper
PRINTED = {
    "raw pixels": 7.20,
    "denoising": 1.95,
    "k-sparse, k=40": 1.54,
    "k-sparse, k=25": 1.35,
    "k-sparse, k=10": 2.10,
}
SIGMOID = {"code_activation": "sigmoid", "output_activation": "sigmoid", "loss": "cross_entropy"}


SELECTION_EPOCHS = 5


def k_sparse(k: int, *, optimizer: Adam = Adam(2e-3, weight_decay=0.3), **sparsity: Any) -> dict[str, Any]:  # noqa: B008
    return {"sparsity": TopK(k, by="value", **sparsity), "optimizer": optimizer}


def sigmoid(**parts: Any) -> dict[str, Any]:
    return {**SIGMOID, "optimizer": Adam(2e-3), **parts}


@dataclasses.dataclass(frozen=True)
class Variant:
    """What a row of the table may be given, and how long it learns in the end."""

    name: str
    epochs: int
    candidates: list[dict[str, Any]]


VARIANTS = [
    Variant("k-sparse, k=25", 36, [k_sparse(25), k_sparse(25, revive=1 / 32)]),
    Variant(
        "k-sparse, denoising, k=25",
        24,
        [{**k_sparse(25, anneal=0.5, optimizer=Adam(3e-3)), "corruption": GaussianNoise(0.5)}],
    ),
    Variant("k-sparse, k=40", 18, [k_sparse(40)]),
    Variant("k-sparse, k=10", 18, [k_sparse(10)]),
    Variant("denoising", 12, [sigmoid(corruption=noise) for noise in (MaskingNoise(0.5), GaussianNoise(0.5))]),
    Variant("KL-sparse", 12, [sigmoid(penalty=KLSparsity(0.05, weight=0.3))]),
    Variant("plain", 12, [sigmoid()]),
    Variant("raw pixels", 1, [{}]),
]


def make_autoencoder(epochs: int, seed: int, *, optimizer: Adam, **parts: Any) -> Autoencoder:
    training = Training(
        epochs=epochs, batch_size=128, optimizer=optimizer, schedule="cosine", precision="bfloat16", verbose=False
    )
    return Autoencoder(N_HIDDEN, tied=True, scale=None, training=training, random_state=seed, **parts)


def classify(learn: Labelled, others: Labelled, l2: tuple[float, ...]) -> list[float]:
    """Return the errors (%) on `others` of logistic regressions on features, one for each weight in `l2`."""
    centre, size = learn[0].mean(axis=0), learn[0].std()  # one size for all features: rare ones are not blown up
    learn, others = (((codes - centre) / size, labels) for codes, labels in (learn, others))
    return SoftmaxGrid(l2, epochs=15).fit(*learn).errors(*others)


def measure(
    parts: dict[str, Any],
    learn: Labelled,
    others: Labelled,
    *,
    epochs: int,
    k_encode: tuple[int | None, ...],
    l2: tuple[float, ...],
) -> dict[str, Any]:
    """Train on `learn`, and return the errors on `others`, a list for each number of units that speak."""
    started = time.perf_counter()
    facts: dict[str, Any] = {"seed": SEED, "epochs": epochs}
    if not parts:
        return facts | {"errors": [classify(learn, others, l2)], "minutes": since(started)}
    model = make_autoencoder(epochs, SEED, **parts).fit(learn[0])
    facts["train_minutes"] = since(started)
    if "sparsity" in parts:
        facts["dead_percent"] = 100 * float(1 - (model.transform(learn[0]) != 0).any(axis=0).mean())
    errors = []
    for k in k_encode:
        if k is not None:
            model.module_.sparsity.k_encode = k
        errors.append(classify((model.transform(learn[0]), learn[1]), (model.transform(others[0]), others[1]), l2))
    return facts | {"errors": errors, "minutes": since(started)}


def since(started: float) -> float:
    return round((time.perf_counter() - started) / 60, 2)


def described(parts: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in parts.items())


def rows_of(variant: Variant, folder: Path, quick: bool) -> list[dict[str, Any]]:
    """Choose among the candidates, and return the rows of that and of the test."""
    torch.set_num_threads(1)
    split = Split(folder, quick=quick)
    rows, best = [], (np.inf, {}, None, 0.0)
    for parts in variant.candidates:
        k = parts["sparsity"].k if "sparsity" in parts else None
        k_encode = (None,) if k is None else (3 * k, 6 * k)
        epochs = 1 if quick else SELECTION_EPOCHS
        row = measure(parts, split.learn, split.validation, epochs=epochs, k_encode=k_encode, l2=L2_GRID)
        i, j = np.unravel_index(np.argmin(row["errors"]), np.shape(row["errors"]))
        best = min(best, (row["errors"][i][j], parts, k_encode[i], L2_GRID[j]), key=lambda choice: choice[0])
        about = {"variant": variant.name, "parts": described(parts), "k_encode": k_encode, "l2": L2_GRID}
        rows.append({"stage": "selection", **about, "validation_error": row["errors"][i][j], **row})
    _, parts, k, l2 = best
    row = measure(parts, split.train, split.test, epochs=1 if quick else variant.epochs, k_encode=(k,), l2=(l2,))
    about = {"variant": variant.name, "parts": described(parts), "k_encode": [k], "l2": [l2]}
    return [*rows, {"stage": "test", **about, "test_error": row["errors"][0][0], **row}]


def main() -> None:
    arguments = parse_arguments(__doc__)
    report = Report(
        "papers_k_sparse",
        quick=arguments.quick,
        data="MNIST in [0, 1]",
        split="chosen on the last 10000 training rows, learnt on the others; test: learnt on all 60000, 10000 images",
        seed=SEED,
        precision="bfloat16",
        processes=N_PROCESSES,
        printed=PRINTED,
    )
    with ProcessPoolExecutor(N_PROCESSES) as pool:
        jobs = [pool.submit(rows_of, variant, arguments.data, arguments.quick) for variant in VARIANTS]
        for job in as_completed(jobs):
            for row in job.result():
                report.add(**row)


if __name__ == "__main__":
    main()
