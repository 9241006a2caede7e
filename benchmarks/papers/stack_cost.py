"""A stacked fit against the sum of its parts: each autoencoder fitted by hand on the codes of the one below.

Both take turns in one process of one thread, after a round that does not count; the ratio is taken within each round,
of the process's own CPU time, so that other work on the machine matters less. The fine-tuning is compared with one
autoencoder of the same layers.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from shared import Report, parse_arguments
from sklearn.base import clone

from embudo import MLP, Autoencoder, Training, make_stack

SIZES = (500, 250, 100)
N_SAMPLES, N_FEATURES = 5000, 784
TRAINING = Training(20, batch_size=256, verbose=False)
LEVEL = Autoencoder(code_activation="sigmoid", output_activation="sigmoid", scale=None, training=TRAINING)
GREEDY = make_stack(LEVEL, SIZES, fine_tune=None, training=TRAINING, random_state=0)


def stack(X: np.ndarray) -> None:
    clone(GREEDY).fit(X)


def parts(X: np.ndarray) -> None:
    for _, layer in GREEDY.layers:
        level = clone(layer).set_params(random_state=0).fit(X)
        X = level.transform(X)


def fine_tuned(X: np.ndarray) -> None:
    """Fit the levels for one step's worth, so that what counts is the fine-tuning."""
    short = {f"{name}__training": Training(1, batch_size=len(X), verbose=False) for name, _ in GREEDY.layers}
    clone(GREEDY).set_params(fine_tune="reconstruction", **short).fit(X)


def whole(X: np.ndarray) -> None:
    encoder = MLP(SIZES[:-1], activation="sigmoid")
    Autoencoder(
        SIZES[-1],
        encoder=encoder,
        code_activation="sigmoid",
        output_activation="sigmoid",
        scale=None,
        training=TRAINING,
        random_state=0,
    ).fit(X)


PAIRS: dict[str, tuple[Callable[[np.ndarray], None], Callable[[np.ndarray], None]]] = {
    "greedy stack / its levels by hand": (stack, parts),
    "fine-tuned stack, levels of one step / one deep autoencoder": (fine_tuned, whole),
}


def cpu_seconds(fit: Callable[[np.ndarray], None], X: np.ndarray) -> float:
    started = time.process_time()
    fit(X)
    return time.process_time() - started


def main() -> None:
    arguments = parse_arguments(__doc__)
    torch.set_num_threads(1)
    rounds, n = (2, 1000) if arguments.quick else (4, N_SAMPLES)
    report = Report(
        "papers_stack_cost",
        quick=arguments.quick,
        data=f"{n} rows of {N_FEATURES} uniform numbers, codes of {SIZES}, 1 thread, on the CPU",
        rounds=rounds,
        training=repr(TRAINING),
    )
    X = np.random.default_rng(0).random((n, N_FEATURES), dtype=np.float32)
    for name, (ours, base) in PAIRS.items():
        times = []
        ours(X), base(X)
        for turn in range(rounds):
            pair = {fit: cpu_seconds(fit, X) for fit in ((ours, base) if turn % 2 else (base, ours))}
            times.append((pair[ours], pair[base]))
        ratios = [mine / theirs for mine, theirs in times]
        quartiles = statistics.quantiles(ratios, n=4)
        report.add(
            case=name,
            cpu_seconds=statistics.median(mine for mine, _ in times),
            base_cpu_seconds=statistics.median(theirs for _, theirs in times),
            ratio=statistics.median(ratios),
            ratio_quartiles=[quartiles[0], quartiles[2]],
        )


if __name__ == "__main__":
    main()
