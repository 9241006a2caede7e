"""Compositions and data sets whose product the tests walk through."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits

from embudo import (
    L1,
    L2,
    MLP,
    SGD,
    Adam,
    Autoencoder,
    BatchTopK,
    Contractive,
    ConvNet,
    GaussianNoise,
    JumpReLU,
    KLSparsity,
    MaskingNoise,
    Neighbours,
    SaltAndPepper,
    StackedAutoencoder,
    TopK,
    Training,
    deep_autoencoder,
)

QUICK = Training(3, batch_size=32)
IMAGES = {"image_shape": (8, 8)}  #: what the rows of `digits` are
SIGMOIDS = {"code_activation": "sigmoid", "output_activation": "sigmoid", "loss": "cross_entropy"}


def own_noise(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Multiply, in place, what is given by noise around 1."""
    return x.mul_(torch.empty_like(x).uniform_(0.5, 1.5, generator=generator))


AUTOENCODERS = {
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
    "denoising": Autoencoder(
        20,
        encoder=MLP(30),
        corruption=GaussianNoise(0.1) + MaskingNoise(0.25, emphasis=0.7) + SaltAndPepper(0.1, emphasis=0.6),
        training=QUICK,
        random_state=0,
    ),
    "own_corruption": Autoencoder(8, corruption=own_noise, training=QUICK, random_state=0),
    "k_sparse": Autoencoder(
        80,
        tied=True,
        sparsity=TopK(10, k_encode=20, anneal=0.5, revive=1 / 32),
        sparse_output=True,
        training=QUICK,
        random_state=0,
    ),
    "batch_k_sparse": Autoencoder(
        80,
        decoder=MLP(unit_norm=True),
        code_activation="relu",
        sparsity=BatchTopK(10, by="value"),
        init="dictionary",
        training=QUICK,
        random_state=0,
    ),
    "jump_relu": Autoencoder(
        80, encoder=MLP(30), sparsity=JumpReLU(0.02), penalty=L2(0.01), training=QUICK, random_state=0
    ),
    "sparse": Autoencoder(
        80, penalty=KLSparsity(0.1, weight=0.1, running=0.9), **SIGMOIDS, training=QUICK, random_state=0
    ),
    "contractive": Autoencoder(30, tied=True, penalty=Contractive(0.1), **SIGMOIDS, training=QUICK, random_state=0),
    "contractive_deep": Autoencoder(
        8,
        encoder=MLP(20, activation="gelu"),
        sparsity=JumpReLU(),
        penalty=Contractive(0.01),
        training=QUICK,
        random_state=0,
    ),
    "contractive_probes": Autoencoder(
        20,
        encoder=MLP(20, activation="tanh"),
        tied=True,
        sparsity=TopK(5, by="value"),
        penalty=Contractive(0.01, probes=2),
        training=QUICK,
        random_state=0,
    ),
    "everything": Autoencoder(
        30,
        encoder=MLP(20, activation="softplus"),
        tied=True,
        corruption=GaussianNoise(0.1) + MaskingNoise(0.1, emphasis=0.8),
        sparsity=TopK(10, anneal=0.3),
        penalty=KLSparsity(0.2, weight=0.01) + L1(1e-3) + L2(1e-3) + Contractive(0.01, probes=1),
        **SIGMOIDS,
        training=Training(4, batch_size=16, validation_fraction=0.2, patience=2, schedule="cosine", clip=1.0),
        random_state=0,
    ),
    "map": Autoencoder(
        2,
        encoder=MLP(20),
        corruption=MaskingNoise(0.1),
        penalty=Neighbours(n_neighbors=5) + L2(1e-4),
        training=QUICK,
        random_state=0,
    ),
    "convolutional": Autoencoder(6, encoder=ConvNet((4, 6), **IMAGES), training=QUICK, random_state=0),
    "convolutional_tied": Autoencoder(
        6,
        encoder=ConvNet((4, 6), kernel_size=4, activation="tanh", **IMAGES),
        tied=True,
        corruption=MaskingNoise(0.2),
        **SIGMOIDS,
        training=QUICK,
        random_state=0,
    ),
    "convolutional_every_part": Autoencoder(
        20,
        encoder=ConvNet((4, 6, 5), residual_blocks=1, activation="gelu", **IMAGES),
        decoder=MLP(20),
        corruption=GaussianNoise(0.1),
        sparsity=TopK(6),
        penalty=KLSparsity(0.2, weight=0.01) + Contractive(0.01, probes=1),
        **SIGMOIDS,
        training=QUICK,
        random_state=0,
    ),
    "convolutional_decoder": Autoencoder(
        6,
        encoder=MLP(20),
        decoder=ConvNet((6, 4), kernel_size=5, stride=3, residual_blocks=1, **IMAGES),
        sparsity=JumpReLU(0.01),
        penalty=Contractive(0.01) + L1(0.001),
        training=QUICK,
        random_state=0,
    ),
}

STACKS = {
    "stack": StackedAutoencoder(
        [
            ("strokes", Autoencoder(20, code_activation="sigmoid", corruption=MaskingNoise(0.2), training=QUICK)),
            ("digits", Autoencoder(5, training=QUICK)),
        ],
        training=QUICK,
        random_state=0,
    ),
    "greedy": StackedAutoencoder([("one", Autoencoder(5, training=QUICK))], fine_tune=None, random_state=0),
    "deep": deep_autoencoder((30, 20, 4), training=QUICK, random_state=0).set_params(
        **{f"level{i}__training": QUICK for i in (1, 2, 3)}
    ),
    "stack_of_everything": StackedAutoencoder(
        [
            (
                "k_sparse",
                Autoencoder(
                    80,
                    corruption=own_noise,
                    tied=True,
                    sparsity=TopK(10, anneal=0.5, revive=1 / 32),
                    sparse_output=True,
                    scale="standard",
                    training=QUICK,
                ),
            ),
            (
                "deeper",
                Autoencoder(
                    20,
                    encoder=MLP(30, activation="gelu"),
                    sparsity=JumpReLU(),
                    training=QUICK.with_params(patience=2, validation_fraction=0.2),
                ),
            ),
            (
                "sparse",
                Autoencoder(40, penalty=KLSparsity(0.1, weight=0.1) + Contractive(0.01), **SIGMOIDS, training=QUICK),
            ),
            ("top", Autoencoder(10, code_activation="tanh", sparsity=BatchTopK(5), loss="huber", training=QUICK)),
        ],
        corruption=GaussianNoise(0.1) + MaskingNoise(0.1, emphasis=0.8),
        penalty=L1(1e-3) + Contractive(0.01, probes=1),
        training=Training(8, batch_size=16, optimizer=Adam(3e-3), validation_fraction=0.2, patience=4),
        random_state=0,
    ),
    "convolutional_stack": StackedAutoencoder(
        [
            ("edges", Autoencoder(20, encoder=ConvNet(4, **IMAGES), sparsity=TopK(10), training=QUICK)),
            ("digits", Autoencoder(5, encoder=MLP(8), training=QUICK)),
        ],
        training=QUICK,
        random_state=0,
    ),
}
COMPOSITIONS = {**AUTOENCODERS, **STACKS}


def digits(dtype: type = np.float64, n_samples: int = 200) -> np.ndarray:
    """Return digits scaled to [0, 1], shape (n_samples, 64)."""
    return (load_digits().data[:n_samples] / 16).astype(dtype)
