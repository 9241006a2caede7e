"""Trainings killed with SIGKILL at random moments and started again, until they end: the same weights, bit for bit.

Each composition is fitted once unbroken. Then it is fitted in processes that are killed after a random share of that
time, with a run folder that outlives them, four times and then to its end. Weights and history, but for times, are
compared bit for bit.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks/, for common.py

import numpy as np
import torch
from common import Report, parse_arguments
from sklearn.base import clone
from sklearn.datasets import load_digits

from embudo import (
    L1,
    MLP,
    SGD,
    Autoencoder,
    AutoencoderClassifier,
    BatchTopK,
    Contractive,
    GaussianNoise,
    JumpReLU,
    KLSparsity,
    MaskingNoise,
    StackedAutoencoder,
    Training,
)

KILLS = 4
TIMES = ("seconds", "samples_per_second")  #: of the history, which no two runs share


def training(epochs: int, **more: Any) -> Training:
    return Training(epochs, batch_size=32, device="cpu", verbose=False, **more)


MODELS = {
    "KL, denoising, early stopping": Autoencoder(
        100,
        code_activation="sigmoid",
        penalty=KLSparsity(0.1, running=0.9),
        corruption=MaskingNoise(0.2, emphasis=0.7) + GaussianNoise(0.1),
        training=training(150, validation_fraction=0.1, patience=40, schedule="warmup_cosine"),
        random_state=0,
    ),
    "BatchTopK, revival": Autoencoder(
        200, sparsity=BatchTopK(10, revive=0.1), training=training(60, clip=1.0), random_state=0
    ),
    "JumpReLU, SGD": Autoencoder(
        100,
        code_activation="relu",
        sparsity=JumpReLU(0.01),
        training=training(150, optimizer=SGD(1e-3, momentum=0.9), schedule="exponential"),
        random_state=0,
    ),
    "contractive, deep": Autoencoder(
        16,
        encoder=MLP(64, activation="tanh"),
        penalty=Contractive(0.1, probes=2) + L1(0.01),
        training=training(40, schedule=None),
        random_state=0,
    ),
    "stack of two": StackedAutoencoder(
        [("edges", Autoencoder(32)), ("parts", Autoencoder(8))], training=training(40), random_state=0
    ),
    "classifier": AutoencoderClassifier(Autoencoder(32), training=training(40), random_state=0),
}


def fingerprint(model: Any) -> str:
    """Return a hash of the weights and of what was measured."""
    digest = hashlib.sha256()
    for name, weight in model.module_.state_dict().items():
        digest.update(name.encode() + weight.contiguous().numpy().tobytes())
    digest.update(repr([item for item in model.history_.items() if item[0] not in TIMES]).encode())
    return digest.hexdigest()


def fit(model: Any, data: tuple[np.ndarray, np.ndarray], folder: Path, result: Path) -> None:
    model = clone(model).set_params(training__run_dir=folder)
    result.write_text(fingerprint(model.fit(*data)))


def main() -> None:
    arguments = parse_arguments(__doc__, MODELS)
    torch.set_num_threads(1)
    images, labels = load_digits(return_X_y=True)
    data = images.astype(np.float32), labels
    report = Report(
        "scale_kills",
        quick=arguments.quick,
        measured=lambda row: row["model"] in arguments.only,
        data="digits of scikit-learn, 1797 x 64",
        seed="moments of the kills: 0",
    )
    moments, fork = random.Random(0), multiprocessing.get_context("fork")
    for name in arguments.only:
        started = time.perf_counter()
        expected = fingerprint(clone(MODELS[name]).fit(*data))
        took = time.perf_counter() - started
        with tempfile.TemporaryDirectory() as folder:
            result = Path(folder, "result")
            kills = starts = 0
            while not result.exists():
                process = fork.Process(target=fit, args=(MODELS[name], data, Path(folder, "run"), result))
                process.start()
                starts += 1
                process.join(moments.uniform(0, 0.3 * took) if kills < KILLS else None)
                if process.is_alive():
                    os.kill(process.pid or 0, signal.SIGKILL)
                    kills += 1
                process.join()
            report.add(
                model=name, kills=kills, starts=starts, unbroken_seconds=took, same_bits=result.read_text() == expected
            )


if __name__ == "__main__":
    main()
