"""Autoencoders whose encoder is fine-tuned with a softmax layer, beside the papers' errors, on MNIST.

Vincent et al. (2010): three layers of stacked denoising autoencoders, masking noise. Rifai et al. (2011): one
contractive layer of 1000 units. Makhzani and Frey (2013): k-sparse layers, shallow and deep. Pixels are taken as
numbers in no order; no image is deformed.

The autoencoders learn from all 60000 training images, without labels. What is corrupted while fine-tuning, its learning
rate, and how many units of a k-sparse layer speak meanwhile, are chosen with the labels of the first 50000 on the last
10000 (stage "selection", few epochs); then all labels are learnt from, and the test images are used once (stage
"test"). Variants run in two processes of one thread.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import torch
from shared import Labelled, Report, Split, parse_arguments
from sklearn.frozen import FrozenEstimator

from embudo import Adam, Autoencoder, AutoencoderClassifier, Contractive, MaskingNoise, TopK, Training, make_stack
from embudo.models.base import BaseAutoencoder

SEED = 0
N_PROCESSES = 2
SELECTION_EPOCHS, EPOCHS = 5, 25
CORRUPTIONS = (MaskingNoise(0.25), MaskingNoise(0.5))
LEARNING_RATES = (3e-4, 1e-3)
SPEAKING = (25, 150)  #: units of a k-sparse layer that speak while it is fine-tuned


def training(epochs: int, lr: float, weight_decay: float = 0.0) -> Training:
    optimizer = Adam(lr, weight_decay=weight_decay)
    return Training(epochs, batch_size=128, optimizer=optimizer, schedule="cosine", precision="bfloat16", verbose=False)


def sigmoid(epochs: int, **parts: Any) -> Autoencoder:
    """Return an autoencoder of 1000 logistic units, composed with `parts`."""
    return Autoencoder(
        1000,
        tied=True,
        code_activation="sigmoid",
        output_activation="sigmoid",
        loss="cross_entropy",
        scale=None,
        training=training(epochs, 2e-3),
        random_state=SEED,
        **parts,
    )


def k_sparse(epochs: int) -> Autoencoder:
    return Autoencoder(
        1000,
        tied=True,
        sparsity=TopK(25, by="value", revive=1 / 32),
        scale=None,
        training=training(epochs, 2e-3, weight_decay=0.3),
        random_state=SEED,
    )


@dataclasses.dataclass(frozen=True)
class Variant:
    """A row of the table: its autoencoder, epochs of each level, and what the paper prints (%)."""

    make: Any
    epochs: int
    printed: float
    pretrain: bool = True
    speaking: tuple[int | None, ...] = (None,)


def denoising_stack(epochs: int) -> BaseAutoencoder:
    level = sigmoid(epochs, corruption=MaskingNoise(0.25))
    return make_stack(level, (1000, 1000, 1000), fine_tune=None, random_state=SEED)


def k_sparse_stack(epochs: int) -> BaseAutoencoder:
    return make_stack(k_sparse(epochs), (1000, 1000), fine_tune=None, random_state=SEED)


VARIANTS = {
    "contractive, 1 layer": Variant(lambda epochs: sigmoid(epochs, penalty=Contractive(0.3)), 20, 1.14),
    "k-sparse, 1 layer": Variant(k_sparse, 60, 1.08, speaking=SPEAKING),
    "3 layers, random weights": Variant(denoising_stack, 12, 1.4, pretrain=False),
    "stacked denoising, 3 layers": Variant(denoising_stack, 12, 1.28),
    "k-sparse, 2 layers": Variant(k_sparse_stack, 40, 0.97, speaking=SPEAKING),
}


def classifier(
    autoencoder: Any,
    epochs: int,
    corruption: Any,
    lr: float,
    speaking: int | None,
    *,
    pretrain: bool,
    labelled: Labelled,
) -> AutoencoderClassifier:
    if speaking is not None:
        fitted = autoencoder.estimator
        for _, level in getattr(fitted, "layers_", [("", fitted)]):
            level.set_params(sparsity__k=speaking)  # the classifier's copy is made from it
    return AutoencoderClassifier(
        autoencoder, pretrain=pretrain, corruption=corruption, training=training(epochs, lr), random_state=SEED
    ).fit(*labelled)


def rows_of(name: str, folder: Path, quick: bool) -> list[dict[str, Any]]:
    """Pretrain, choose how to fine-tune, and return the rows of that and of the test."""
    torch.set_num_threads(1)
    variant, split = VARIANTS[name], Split(folder, quick=quick)
    epochs, selection_epochs, test_epochs = (1, 1, 1) if quick else (variant.epochs, SELECTION_EPOCHS, EPOCHS)
    started = time.perf_counter()
    autoencoder: Any = variant.make(epochs)
    if variant.pretrain:
        autoencoder = FrozenEstimator(autoencoder.fit(split.train[0]))
    about = {"variant": name, "pretraining_epochs": epochs if variant.pretrain else 0}
    about["pretraining_minutes"] = minutes_since(started)
    rows = []
    for choice in itertools.product(CORRUPTIONS, LEARNING_RATES, variant.speaking):
        model = classifier(autoencoder, selection_epochs, *choice, pretrain=variant.pretrain, labelled=split.learn)
        error = 100 * (1 - model.score(*split.validation))
        chosen = dict(zip(("corruption", "lr", "speaking"), choice, strict=True))
        rows.append({"stage": "selection", **about, **chosen, "validation_error": round(error, 3)})
    best = min(rows, key=lambda row: row["validation_error"])
    started = time.perf_counter()
    choice = best["corruption"], best["lr"], best["speaking"]
    model = classifier(autoencoder, test_epochs, *choice, pretrain=variant.pretrain, labelled=split.train)
    error = 100 * (1 - model.score(*split.test))
    test = {"epochs": test_epochs, "minutes": minutes_since(started), "test_error": round(error, 3)}
    rows.append({**best, "stage": "test", **test})
    return [{**row, "corruption": row["corruption"] and repr(row["corruption"])} for row in rows]


def minutes_since(started: float) -> float:
    return round((time.perf_counter() - started) / 60, 2)


def main() -> None:
    arguments = parse_arguments(__doc__, VARIANTS)
    report = Report(
        "papers_fine_tuning",
        quick=arguments.quick,
        measured=lambda row: row["variant"] in arguments.only,
        data="MNIST in [0, 1]",
        split="pretrained on all 60000 images; chosen on the last 10000 training rows, learnt on the others; test: "
        "learnt on all 60000, 10000 images",
        seed=SEED,
        precision="bfloat16",
        processes=N_PROCESSES,
        printed={name: variant.printed for name, variant in VARIANTS.items()},
    )
    with ProcessPoolExecutor(N_PROCESSES) as pool:
        jobs = [pool.submit(rows_of, name, arguments.data, arguments.quick) for name in arguments.only]
        for job in as_completed(jobs):
            for row in job.result():
                report.add(**row)


if __name__ == "__main__":
    main()
