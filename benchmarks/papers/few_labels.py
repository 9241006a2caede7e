"""Few labels: an autoencoder that has seen all images, fine-tuned, beside what learns from the labelled ones alone.

MNIST with 100, 600, 1000 and 3000 labels, as many of each digit; which images have one is drawn anew for each seed. A
k-sparse autoencoder (Makhzani and Frey, 2013) is trained once, on all 60000 images without labels. Its classifier, the
same network from random weights, and scikit-learn's classifiers on pixels are each given the candidate with the lowest
error on the last 10000 training rows, for each number of labels, over two draws from the other 50000; then five draws
from all 60000 are learnt, and the test images tell the error. Choosing takes more labels than are learnt from; that
favours all alike.
"""

from __future__ import annotations

import functools
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from shared import Labelled, Report, Split, parse_arguments
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC

from embudo import Adam, Autoencoder, AutoencoderClassifier, MaskingNoise, TopK, Training

LABELS = (100, 600, 1000, 3000)
SEEDS = (0, 1, 2, 3, 4)
SELECTION_SEEDS = (100, 101)
#: makes a classifier, given a seed
Maker = Callable[[int], Any]


def make_autoencoder(epochs: int) -> Autoencoder:
    training = Training(
        epochs, batch_size=128, optimizer=Adam(2e-3, weight_decay=0.3), precision="bfloat16", verbose=False
    )
    sparsity = TopK(25, by="value", revive=1 / 32)
    return Autoencoder(1000, tied=True, sparsity=sparsity, scale=None, training=training, random_state=0)


def classifier(seed: int, *, autoencoder: Any, pretrain: bool, lr: float, corruption: Any) -> AutoencoderClassifier:
    training = Training(50, batch_size=50, optimizer=Adam(lr), verbose=False)
    return AutoencoderClassifier(
        autoencoder, pretrain=pretrain, corruption=corruption, training=training, random_state=seed
    )


def candidates(pretrained: Autoencoder) -> dict[str, dict[str, Maker]]:
    """Return what each row of the table may be given, by name."""
    noises = (None, MaskingNoise(0.5))
    deep = {
        "pretrained, fine-tuned": (FrozenEstimator(pretrained), True, (1e-5, 1e-4)),
        "the same, random weights": (pretrained, False, (3e-4, 3e-3)),
    }
    found: dict[str, dict[str, Maker]] = {
        name: {
            f"lr={lr:g}, corruption={noise!r}": functools.partial(
                classifier, autoencoder=autoencoder, pretrain=pretrain, lr=lr, corruption=noise
            )
            for lr in rates
            for noise in noises
        }
        for name, (autoencoder, pretrain, rates) in deep.items()
    }
    return found | {
        "logistic regression": {
            f"C={C:g}": lambda seed, C=C: LogisticRegression(C=C, max_iter=1000) for C in (0.03, 0.3, 3.0)
        },
        "SVC": {f"C={C:g}": lambda seed, C=C: SVC(C=C) for C in (1.0, 10.0)},
        "MLPClassifier": {
            f"(1000,), alpha={alpha:g}": lambda seed, alpha=alpha: MLPClassifier(
                (1000,), alpha=alpha, max_iter=100, random_state=seed
            )
            for alpha in (1e-4, 1.0)
        },
    }


def drawn(rows: Labelled, n: int, seed: int) -> Labelled:
    """Return `n` samples, as many of each class."""
    rng, (X, y) = np.random.default_rng(seed), rows
    chosen = np.concatenate([rng.choice(np.flatnonzero(y == digit), n // 10, replace=False) for digit in range(10)])
    return X[chosen], y[chosen]


def errors(make: Maker, rows: Labelled, others: Labelled, n: int, seeds: tuple[int, ...]) -> list[float]:
    """Return the errors (%) on `others`, one for each draw of `n` labelled rows."""
    return [round(100 * (1 - make(seed).fit(*drawn(rows, n, seed)).score(*others)), 3) for seed in seeds]


def main() -> None:
    arguments = parse_arguments(__doc__)
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", category=ConvergenceWarning)  # of MLPClassifier, which is stopped at 100 epochs
    split = Split(Path(arguments.data), quick=arguments.quick)
    epochs, labels, seeds = (1, LABELS[:1], SEEDS[:1]) if arguments.quick else (30, LABELS, SEEDS)
    report = Report(
        "papers_few_labels",
        quick=arguments.quick,
        data="MNIST in [0, 1]",
        split="drawn from 50000 training rows and chosen on the other 10000; test: drawn from 60000, 10000 images",
        seeds=seeds,
        selection_seeds=SELECTION_SEEDS,
        pretraining_epochs=epochs,
    )
    started = time.perf_counter()
    makers = candidates(make_autoencoder(epochs).fit(split.train[0]))
    report.add(stage="pretraining", minutes=round((time.perf_counter() - started) / 60, 2))
    for n in labels:
        for name, choices in makers.items():
            started = time.perf_counter()
            found = {
                choice: errors(make, split.learn, split.validation, n, SELECTION_SEEDS)
                for choice, make in choices.items()
            }
            best = min(found, key=lambda choice: float(np.mean(found[choice])))
            test = errors(choices[best], split.train, split.test, n, seeds)
            report.add(
                stage="test",
                labels=n,
                classifier=name,
                chosen=best,
                test_errors=test,
                mean=float(np.mean(test)),
                validation_errors=found,
                minutes=round((time.perf_counter() - started) / 60, 2),
            )


if __name__ == "__main__":
    main()
