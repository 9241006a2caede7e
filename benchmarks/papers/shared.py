"""What the scripts of this folder share: images with labels, the split for choices, and one encoder's figures."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks/, for common.py

from common import Report, load_mnist, parse_arguments

from embudo.data.readers import read

__all__ = ["N_VALIDATION", "Labelled", "Report", "Split", "load", "parse_arguments"]

N_VALIDATION = 10_000  #: the last training rows, on which everything is chosen

Labelled = tuple[np.ndarray, np.ndarray]


class Split:
    """MNIST: rows to learn from while choosing, rows to choose on, all training rows, and the test set.

    A quick run has 2000 rows to learn from and 1000 of each other kind.
    """

    def __init__(self, folder: Path, *, quick: bool) -> None:
        X, y = load(folder, "train")
        self.learn = X[:-N_VALIDATION], y[:-N_VALIDATION]
        self.validation = X[-N_VALIDATION:], y[-N_VALIDATION:]
        self.train, self.test = (X, y), load(folder, "test")
        if quick:
            self.learn = self.train = first(self.learn, 2000)
            self.validation, self.test = first(self.validation, 1000), first(self.test, 1000)


def first(rows: Labelled, n: int) -> Labelled:
    return rows[0][:n], rows[1][:n]


def load(folder: Path, part: str) -> Labelled:
    """Return images as rows in [0, 1] and labels of `part`, "train" or "test"."""
    name = {"train": "train", "test": "t10k"}[part]
    labels = read(folder / "mnist" / f"{name}-labels-idx1-ubyte.gz")
    return load_mnist(folder, part), np.asarray(labels).reshape(-1).astype(np.int64)
