"""A non-linear autoencoder reconstructs unseen MNIST digits better than PCA with the same code size.

The candidates learn from the first 50000 training images for a few epochs; the one with the lowest error on the
last 10000 then learns from all 60000, and is measured on the 10000 test images, which nothing before has seen.
"""

from __future__ import annotations

import dataclasses
import time

import numpy as np
from common import Report, load_mnist, parse_arguments, pca_error

from embudo import MLP, Adam, Autoencoder, Training

SEEDS = (0,)
N_VALIDATION = 10_000
CANDIDATES = [
    (MLP((512, 256, 128), activation="gelu"), 2e-3),
    (MLP((512, 256), activation="gelu"), 2e-3),
    (MLP((512, 256), activation="relu"), 2e-3),
]


@dataclasses.dataclass(frozen=True)
class Plan:
    """How much is done."""

    code_sizes: tuple[int, ...] = (2, 10, 30)
    selection_epochs: int = 2
    epochs: int = 25


QUICK = Plan(code_sizes=(10,), selection_epochs=1, epochs=1)


def make_model(n_components: int, encoder: MLP, lr: float, epochs: int, seed: int) -> Autoencoder:
    training = Training(epochs, batch_size=256, optimizer=Adam(lr), schedule="cosine")
    return Autoencoder(
        n_components, encoder=encoder, output_activation="sigmoid", scale=None, training=training, random_state=seed
    )


def main() -> None:
    arguments = parse_arguments(__doc__)
    plan = QUICK if arguments.quick else Plan()
    train, test = load_mnist(arguments.data, "train"), load_mnist(arguments.data, "test")
    learning, validation = train[:-N_VALIDATION], train[-N_VALIDATION:]
    report = Report(
        "beyond_pca",
        quick=arguments.quick,
        data="MNIST, values in [0, 1]; squared error summed over 784 pixels",
        split="60000 to train on, of which the last 10000 choose the candidate; 10000 to test on",
        seeds=SEEDS,
    )
    for k in plan.code_sizes:
        errors = []
        for encoder, lr in CANDIDATES:
            model = make_model(k, encoder, lr, plan.selection_epochs, SEEDS[0]).fit(learning)
            errors.append(-model.score(validation))
            report.add(
                stage="selection",
                n_components=k,
                encoder=repr(encoder),
                lr=lr,
                epochs=plan.selection_epochs,
                validation_error=errors[-1],
            )
        encoder, lr = CANDIDATES[int(np.argmin(errors))]
        linear = pca_error(k, train, test, "covariance_eigh")
        for seed in SEEDS:
            started = time.perf_counter()
            model = make_model(k, encoder, lr, plan.epochs, seed).fit(train)
            seconds = time.perf_counter() - started
            report.add(
                stage="test",
                n_components=k,
                encoder=repr(encoder),
                lr=lr,
                epochs=plan.epochs,
                seed=seed,
                pca_error=linear,
                train_error=-model.score(train),
                test_error=-model.score(test),
                seconds=round(seconds, 1),
            )


if __name__ == "__main__":
    main()
