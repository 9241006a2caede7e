"""What defaults give on small real data, beside PCA with the same code size.

"PCA beats my autoencoder" has two causes: too few steps, as a small data set passes fifty epochs in a few
hundred steps; and then, with hidden layers, too many weights for the samples. Each way of training is tried on
each data set, on a linear autoencoder and on one with hidden layers; the number is the test error as a share of
PCA's, on standardised data.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import Report, load_mnist, parse_arguments
from sklearn import datasets
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from embudo import MLP, Adam, Autoencoder, Training

SEED = 0
ENCODERS = {"linear": None, "MLP((128, 64))": MLP((128, 64))}


def of_steps(steps: int, lr: float, weight_decay: float = 0.0, least_epochs: int = 20) -> Callable[[int], Training]:
    """Return the rule: as many epochs as make `steps`, but at least `least_epochs`; cosine schedule."""

    def training(n_samples: int) -> Training:
        steps_per_epoch = math.ceil(n_samples / Training().batch_rows(n_samples))
        epochs = max(least_epochs, math.ceil(steps / steps_per_epoch))
        return Training(epochs, batch_size="auto", optimizer=Adam(lr, weight_decay=weight_decay), schedule="cosine")

    return training


#: name -> the training of so many samples
WAYS: dict[str, Callable[[int], Training]] = {
    "50 epochs, 1e-3, constant": lambda n: Training(50, optimizer=Adam(1e-3), schedule=None),
    "50 epochs, 3e-3, cosine": lambda n: Training(50, optimizer=Adam(3e-3), schedule="cosine"),
    "200 epochs, 1e-3, cosine": lambda n: Training(200, optimizer=Adam(1e-3), schedule="cosine"),
    "1000 steps, 3e-3, cosine": of_steps(1000, 3e-3),
    "2000 steps, 3e-3, cosine": of_steps(2000, 3e-3),
    "5000 steps, 3e-3, cosine": of_steps(5000, 3e-3),
    "2000 steps, 3e-3, cosine, weight decay 0.1": of_steps(2000, 3e-3, 0.1),
    "2000 steps, 3e-3, cosine, weight decay 0.3": of_steps(2000, 3e-3, 0.3),
    "2000 steps, 3e-3, cosine, weight decay 1": of_steps(2000, 3e-3, 1.0),
}


def load_data(folder: Path) -> dict[str, tuple[np.ndarray, int]]:
    """Return each data set, and the size of the code."""
    faces = np.load(folder / "olivetti" / "olivetti_faces.npz")
    images = next(faces[key] for key in faces.files if faces[key].size >= 400 * 4096)
    return {
        "iris": (datasets.load_iris().data, 2),
        "wine": (datasets.load_wine().data, 4),
        "breast_cancer": (datasets.load_breast_cancer().data, 5),
        "diabetes": (datasets.load_diabetes().data, 4),
        "digits": (datasets.load_digits().data, 8),
        "olivetti": (images.reshape(len(images), -1).astype(np.float32), 16),
        "MNIST, 10000": (load_mnist(folder, "train")[:10000], 10),
    }


def standardised_split(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return three quarters to learn from and one to test on, in units of the former's deviations.

    Features that vary in less than one training sample in a hundred are left out: divided by their tiny
    deviation, they would outweigh all others in the test error.
    """
    train, test = train_test_split(X, test_size=0.25, random_state=SEED)
    varied = (train != np.median(train, axis=0)).mean(axis=0) >= 0.01
    scaler = StandardScaler().fit(train[:, varied])
    return scaler.transform(train[:, varied]), scaler.transform(test[:, varied])


def main() -> None:
    arguments = parse_arguments(__doc__)
    report = Report(
        "defaults",
        quick=arguments.quick,
        data="scikit-learn's bundled sets, Olivetti faces, the first 10000 training images of MNIST",
        split="a random quarter is the test set; features standardised by the training part",
        seeds=[SEED],
    )
    for name, (X, k) in load_data(arguments.data).items():
        if arguments.quick and name != "iris":
            continue
        train, test = standardised_split(X)
        pca = PCA(k, random_state=SEED).fit(train)
        pca_error = float(np.square(test - pca.inverse_transform(pca.transform(test))).sum(axis=1).mean())
        for encoder_name, encoder in ENCODERS.items():
            for way, rule in WAYS.items():
                training = rule(len(train))
                started = time.perf_counter()
                model = Autoencoder(k, encoder=encoder, training=training, random_state=SEED).fit(train)
                report.add(
                    data=name,
                    n_samples=len(train),
                    n_features=train.shape[1],
                    n_components=k,
                    encoder=encoder_name,
                    training=way,
                    epochs=training.epochs,
                    share_of_pca=-model.score(test) / pca_error,
                    share_of_pca_in_training=-model.score(train)
                    / float(np.square(train - pca.inverse_transform(pca.transform(train))).sum(axis=1).mean()),
                    seconds=round(time.perf_counter() - started, 1),
                )


if __name__ == "__main__":
    main()
