"""How wide the output's weights begin, as a share of what suits its activation: held-out error, and dead units.

The first 10,000 digits of MNIST's training set, its first 2,000 test images; tables of scikit-learn split 70 to 30.
"""

from __future__ import annotations

import statistics
import warnings
from typing import Any

import numpy as np
from common import Report, load_mnist, parse_arguments
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.model_selection import train_test_split

from embudo import MLP, Autoencoder, ConvNet, KLSparsity, TopK, Training
from embudo.models import initialisation

WIDTHS, SEEDS = (1.0, 0.3, 0.1, 0.01), (0, 1)
HIDDEN = {"n_components": 32, "encoder": MLP(256)}
CROSS_ENTROPY = {"loss": "cross_entropy", "output_activation": "sigmoid"}
#: on MNIST, for 6 epochs of batches of 128
COMPOSITIONS: dict[str, dict[str, Any]] = {
    "784-32, linear": {"n_components": 32},
    "784-32, rectified": {"n_components": 32, "code_activation": "relu"},
    "784-256-32": HIDDEN,
    "784-256-32, rectified": HIDDEN | {"code_activation": "relu"},
    "784-256-32, cross-entropy": HIDDEN | CROSS_ENTROPY,
    "784-500, 20 speak": {"n_components": 500, "code_activation": "relu", "sparsity": TopK(20, by="value")},
    "784-300, KL": {"n_components": 300, "code_activation": "sigmoid", "penalty": KLSparsity(0.05)},
    "convolutions to 32": {"n_components": 32, "encoder": ConvNet((8, 16), image_shape=(28, 28))},
}
TABLES = {"digits": load_digits, "breast cancer": load_breast_cancer, "wine": load_wine}


def measured(parts: dict[str, Any], X: np.ndarray, unseen: np.ndarray) -> tuple[float, float]:
    """Return the medians over seeds of held-out error and of the share of units that never speak."""
    errors, dead = [], []
    for seed in SEEDS:
        ae = Autoencoder(random_state=seed, **parts).fit(X)
        errors.append(float(ae.reconstruction_error(unseen).mean()))
        dead.append(float((ae.transform(unseen) == 0).all(axis=0).mean()))
    return statistics.median(errors), statistics.median(dead)


def main() -> None:
    arguments = parse_arguments(__doc__ or "")
    n = 300 if arguments.quick else 10_000
    train, test = load_mnist(arguments.data, "train")[:n], load_mnist(arguments.data, "test")[:2000]
    training = Training(1 if arguments.quick else 6, batch_size=128, verbose=False)
    works = [(name, parts | {"training": training}, train, test) for name, parts in COMPOSITIONS.items()]
    for name, load in TABLES.items():
        seen, unseen = train_test_split(load().data.astype(np.float32), test_size=0.3, random_state=0)
        parts = {"n_components": 4, "encoder": MLP(64), "training": Training(verbose=False)}
        works.append((f"{name}, 64-4", parts, seen, unseen))
    report = Report("output_width", quick=arguments.quick, seeds=SEEDS, data=(__doc__ or "").splitlines()[2])
    warnings.simplefilter("ignore")
    for name, parts, seen, unseen in works:
        for width in WIDTHS:
            initialisation.OUTPUT_WIDTH = width
            error, dead = measured(parts, seen, unseen)
            report.add(composition=name, width=width, error=error, dead_share=dead)


if __name__ == "__main__":
    main()
