"""Compositions and data sets whose product the tests walk through."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from embudo import L1, L2, MLP, SGD, Adam, Autoencoder, Training

QUICK = Training(3, batch_size=32)

COMPOSITIONS = {
    "bare": Autoencoder(random_state=0),
    "linear": Autoencoder(3, training=QUICK, random_state=0),
    "tied": Autoencoder(3, encoder=MLP((8, 6), activation="tanh"), tied=True, training=QUICK, random_state=0),
    "overcomplete": Autoencoder(40, encoder=MLP(16), penalty=L1(0.01), training=QUICK, random_state=0),
    "probabilities": Autoencoder(3, output_activation="sigmoid", loss="cross_entropy", training=QUICK, random_state=0),
    "every_part": Autoencoder(
        3,
        encoder=MLP((8,), activation="gelu"),
        decoder=MLP((7, 9), activation="leaky_relu"),
        code_activation="softplus",
        output_activation="sigmoid",
        penalty=L1(0.01) + L2(0.02),
        loss="huber",
        scale="minmax",
        training=Training(
            4,
            batch_size=16,
            optimizer=SGD(1e-2, momentum=0.9, nesterov=True, weight_decay=1e-3),
            validation_fraction=0.2,
            patience=2,
            schedule="warmup_cosine",
            clip=1.0,
            device="cpu",
            precision="float32",
            verbose=False,
        ),
        random_state=0,
    ),
    "float64": Autoencoder(
        3, encoder=MLP(8), training=Training(3, optimizer=Adam(1e-2), precision="float64"), random_state=0
    ),
}


def digits(dtype: type = np.float64, n_samples: int = 200) -> np.ndarray:
    """Return digits scaled to [0, 1], shape (n_samples, 64)."""
    return (load_digits().data[:n_samples] / 16).astype(dtype)
