"""Sparsity at its word, on MNIST: what each kind promises, measured after training.

- `KLSparsity`: the mean activation comes within 10 % of rho, for each unit and overall, on unseen images too.
- `TopK`: exactly k units of each row are not 0; `BatchTopK`: k on average.
- ``revive``, heavy enough: fewer than 1 % of the units never speak on the training images.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np
from contraction import sigmoid_autoencoder
from shared import Report, Split, parse_arguments

from embudo import Adam, Autoencoder, BatchTopK, KLSparsity, TopK, Training
from embudo.parts.sparsities import Sparsity

N_HIDDEN = 1000
KL = ((0.05, 1.0), (0.05, 10.0))
#: rules, and the weights of revival that each is given
RULES: tuple[tuple[TopK | BatchTopK, tuple[float, ...]], ...] = (
    (TopK(25), (0, 1 / 32)),
    (TopK(25, by="value"), (0, 1 / 32)),
    (TopK(10, by="value"), (0, 1 / 32, 1)),
    (BatchTopK(25, by="value"), (0, 1 / 32)),
)


def mean_activation(X: np.ndarray, X_test: np.ndarray, rho: float, weight: float, epochs: int) -> dict[str, Any]:
    """Train with `KLSparsity` and return how far the units' mean activations are from rho."""
    penalty = KLSparsity(rho, weight=weight)
    model = sigmoid_autoencoder(N_HIDDEN, epochs, 0, penalty=penalty).fit(X)
    train, test = (model.transform(rows).mean(axis=0, dtype=np.float64) for rows in (X, X_test))
    return {
        "kind": "mean activation",
        "rule": repr(penalty),
        "rho": rho,
        "mean_activation": float(train.mean()),
        "mean_activation_test": float(test.mean()),
        "off_by_percent": 100 * abs(float(train.mean()) / rho - 1),
        "off_by_percent_test": 100 * abs(float(test.mean()) / rho - 1),
        "units_within_10_percent": float((np.abs(train / rho - 1) < 0.1).mean()),
    }


def speaking_units(X: np.ndarray, X_test: np.ndarray, rule: Sparsity, epochs: int) -> dict[str, Any]:
    """Train with a sparsity rule and return how many units speak in a row, and which share never does."""
    training = Training(
        epochs=epochs, batch_size=256, optimizer=Adam(1e-3), schedule="cosine", precision="bfloat16", verbose=False
    )
    model = Autoencoder(N_HIDDEN, scale=None, sparsity=rule, sparse_output=True, training=training, random_state=0)
    model.fit(X)
    train, test = model.transform(X), model.transform(X_test)
    counts = np.diff(train.indptr)
    return {
        "kind": "units that speak",
        "rule": repr(rule),
        "least": int(counts.min()),
        "mean": float(counts.mean()),
        "most": int(counts.max()),
        "mean_test": float(np.diff(test.indptr).mean()),
        "dead_percent": 100 * float(1 - len(np.unique(train.indices)) / N_HIDDEN),
        "error_test": float(-model.score(X_test)),
    }


def main() -> None:
    arguments = parse_arguments(__doc__)
    split = Split(arguments.data, quick=arguments.quick)
    epochs = 1 if arguments.quick else 8
    X, X_test = split.train[0], split.test[0]
    report = Report(
        "papers_sparsity_at_its_word",
        quick=arguments.quick,
        data="MNIST in [0, 1]",
        split=f"learnt on {len(X)} training images, also measured on {len(X_test)} test images",
        seed=0,
        epochs=epochs,
        limits={"off_by_percent": 10, "dead_percent": 1},
    )
    plans: list[tuple[Any, tuple[Any, ...]]] = [(mean_activation, (rho, weight)) for rho, weight in KL]
    plans += [
        (speaking_units, (dataclasses.replace(rule, revive=weight),)) for rule, weights in RULES for weight in weights
    ]
    for measure, about in plans:
        started = time.perf_counter()
        row = measure(X, X_test, *about, epochs)
        report.add(**row, minutes=round((time.perf_counter() - started) / 60, 2))


if __name__ == "__main__":
    main()
