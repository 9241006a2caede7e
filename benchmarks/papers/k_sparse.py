"""Logistic regression on the codes of 1000 hidden units, MNIST: raw, plain, denoising, KL-sparse, k-sparse.

Makhzani and Frey (2013), k-Sparse autoencoders, arXiv:1312.5663, the table of features without fine-tuning. A k-sparse
autoencoder is linear with tied weights and keeps the k largest units; more speak at encoding time. Otherwise than
there, the optimizer is Adam under a cosine schedule with weight decay, k is not annealed, and dead units are revived.

An autoencoder learns from all 60000 training images, and sees no label. How many units speak at encoding time, and the
weight of the classifier's penalty, are chosen by the labels: learnt on the first 50000 rows, chosen on the last 10000.
Then a classifier with that choice learns from all 60000 rows, and meets the test set once. How the autoencoders
themselves were chosen, on the same 10000 rows, is in ../LOG.md.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from shared import Labelled, Report, Split, parse_arguments
from softmax import SoftmaxGrid

from embudo import Adam, Autoencoder, GaussianNoise, KLSparsity, TopK, Training

N_HIDDEN = 1000
SEED = 0
BATCH = 128
L2_GRID = (1e-5, 1e-4, 1e-3, 3e-3)
#: test errors (%) printed in the paper
PRINTED = {
    "raw pixels": 7.20,
    "denoising": 1.95,
    "k-sparse, k=40": 1.54,
    "k-sparse, k=25": 1.35,
    "k-sparse, k=10": 2.10,
}


def k_sparse(k: int) -> dict[str, Any]:
    return {"sparsity": TopK(k, by="value", revive=1 / 32), "optimizer": Adam(2e-3, weight_decay=0.3)}


def sigmoid(**parts: Any) -> dict[str, Any]:
    logistic = {"code_activation": "sigmoid", "output_activation": "sigmoid", "loss": "cross_entropy"}
    return {**logistic, "optimizer": Adam(2e-3), **parts}


#: features, epochs, and what the autoencoder is made of
VARIANTS: list[tuple[str, int, dict[str, Any]]] = [
    ("k-sparse, k=25", 60, k_sparse(25)),
    ("raw pixels", 0, {}),
    ("k-sparse, k=10", 60, k_sparse(10)),
    ("k-sparse, k=40", 60, k_sparse(40)),
    ("denoising", 60, sigmoid(corruption=GaussianNoise(0.5))),
    ("plain", 60, sigmoid()),
    ("KL-sparse", 60, sigmoid(penalty=KLSparsity(0.05, weight=0.3))),
]


def make_autoencoder(epochs: int, *, optimizer: Adam, **parts: Any) -> Autoencoder:
    training = Training(epochs, batch_size=BATCH, optimizer=optimizer, precision="bfloat16", verbose=False)
    training = training.with_params(schedule="cosine")
    return Autoencoder(N_HIDDEN, tied=True, scale=None, training=training, random_state=SEED, **parts)


def classify(learn: Labelled, others: Labelled, l2: tuple[float, ...]) -> list[float]:
    """Return the errors (%) on `others` of logistic regressions on features, one for each weight in `l2`."""
    centre, size = learn[0].mean(axis=0), learn[0].std()  # one size for all features: rare ones are not blown up
    learn, others = (((codes - centre) / size, labels) for codes, labels in (learn, others))
    return SoftmaxGrid(l2, epochs=15).fit(*learn).errors(*others)


def measure(split: Split, epochs: int, parts: dict[str, Any]) -> dict[str, Any]:
    """Learn the features, choose on the validation rows, and return the error on the test set."""
    started = time.perf_counter(), time.process_time()
    model = make_autoencoder(epochs, **parts).fit(split.train[0]) if parts else None
    facts: dict[str, Any] = {"train_minutes": (time.process_time() - started[1]) / 60}
    rule = parts.get("sparsity")
    if model is not None and rule is not None:
        facts["dead_percent"] = 100 * float(1 - (model.transform(split.train[0]) != 0).any(axis=0).mean())

    def features(rows: Labelled, k: int | None) -> Labelled:
        if model is None:
            return rows
        if k is not None:
            model.module_.sparsity.k_encode = k
        return model.transform(rows[0]), rows[1]

    k_encode = (None,) if rule is None else (3 * rule.k, 6 * rule.k)
    errors = [classify(features(split.learn, k), features(split.validation, k), L2_GRID) for k in k_encode]
    i, j = np.unravel_index(np.argmin(errors), np.shape(errors))
    test_error = classify(features(split.train, k_encode[i]), features(split.test, k_encode[i]), (L2_GRID[j],))[0]
    return {
        **facts,
        "k_encode": k_encode,
        "validation_errors": errors,
        "chosen": {"k_encode": k_encode[i], "l2": L2_GRID[j], "validation_error": errors[i][j]},
        "test_error": test_error,
        "cpu_minutes": (time.process_time() - started[1]) / 60,
        "minutes": (time.perf_counter() - started[0]) / 60,
    }


def described(parts: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in parts.items())


def main() -> None:
    arguments = parse_arguments(__doc__, (name for name, *_ in VARIANTS))
    torch.set_num_threads(1)
    split = Split(arguments.data, quick=arguments.quick)
    report = Report(
        "papers_k_sparse",
        quick=arguments.quick,
        measured=lambda row: row["variant"] in arguments.only,
        data="MNIST in [0, 1]",
        split="autoencoders: all training rows without labels; chosen on the last 10000; test: 10000 images, once",
        seed=SEED,
        batch=BATCH,
        l2=L2_GRID,
        precision="bfloat16",
        printed=PRINTED,
    )
    for name, epochs, parts in VARIANTS:
        if name not in arguments.only:
            continue
        epochs = min(epochs, 1) if arguments.quick else epochs
        report.add(variant=name, epochs=epochs, parts=described(parts), **measure(split, epochs, parts))


if __name__ == "__main__":
    main()
