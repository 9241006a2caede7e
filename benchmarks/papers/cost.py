"""What sparsity and penalties cost on top of the plain training step, at 784-1000-784, batch 256, float32.

Every composition takes one block of steps a round, in an order that turns, in one process; the ratio to the plain
block of the same round is taken, and the median over rounds. Times are the process's own CPU time on one thread, so
that other work on the machine matters less; elapsed time is given beside it.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np
import torch
from shared import Report, parse_arguments

from embudo import L1, Adam, Autoencoder, Contractive, KLSparsity, TopK, Training
from embudo.engine.step import TrainingStep
from embudo.nn.sparsity import DEAD_AFTER

BATCH = 256
N_INPUT, N_HIDDEN = 784, 1000
#: composition, what it is compared with, and the greatest ratio allowed; 1 is no limit
CASES: dict[str, tuple[dict[str, Any], str, float]] = {
    "plain, identity": ({}, "plain, identity", 1.0),
    "plain, sigmoid": ({"code_activation": "sigmoid"}, "plain, sigmoid", 1.0),
    "TopK": ({"sparsity": TopK(25)}, "plain, identity", 1.25),
    "TopK by value, revive": ({"sparsity": TopK(25, by="value", revive=1 / 32)}, "plain, identity", 1.25),
    "the same, 5 % dead": ({"sparsity": TopK(25, by="value", revive=1 / 32)}, "plain, identity", 1.0),
    "L1": ({"penalty": L1(1e-3)}, "plain, identity", 1.25),
    "KLSparsity": ({"code_activation": "sigmoid", "penalty": KLSparsity(0.05)}, "plain, sigmoid", 1.25),
    "Contractive": ({"code_activation": "sigmoid", "penalty": Contractive(0.1)}, "plain, sigmoid", 1.6),
}


def make_step(parts: dict[str, Any]) -> TrainingStep:
    """Return the step that `fit` would take."""
    training = Training(epochs=1, batch_size=BATCH, optimizer=Adam(1e-3), device="cpu", verbose=False)
    first = np.random.default_rng(0).random((2 * BATCH, N_INPUT), dtype=np.float32)
    model = Autoencoder(N_HIDDEN, scale=None, training=training, random_state=0, **parts).fit(first)
    step = model._make_step()
    step.objective.train()
    return step


def let_die(step: TrainingStep, n_units: int) -> None:
    """Keep units from speaking, by their bias, and count them as dead."""
    (rule,) = step.objective.rules
    with torch.no_grad():
        step.objective.network.encoder[0].bias[:n_units] = -10.0
    rule.silent_steps[:n_units] = DEAD_AFTER


def block(step: TrainingStep, x: torch.Tensor, n_steps: int) -> tuple[float, float]:
    """Return the CPU time and the elapsed time of a step, in ms."""
    wall, cpu = time.perf_counter(), time.process_time()
    for i in range(n_steps):
        step.set_progress(i / n_steps)
        step(x, x)
    return 1000 * (time.process_time() - cpu) / n_steps, 1000 * (time.perf_counter() - wall) / n_steps


def main() -> None:
    arguments = parse_arguments(__doc__)
    rounds, n_steps = (3, 2) if arguments.quick else (24, 6)
    torch.set_num_threads(1)
    report = Report(
        "papers_cost",
        quick=arguments.quick,
        data=f"uniform numbers, {N_INPUT}-{N_HIDDEN}-{N_INPUT}, batch {BATCH}, float32, 1 thread, on the CPU",
        rounds=rounds,
        steps_a_block=n_steps,
    )
    x = torch.from_numpy(np.random.default_rng(1).random((BATCH, N_INPUT), dtype=np.float32))
    steps = {name: make_step(parts) for name, (parts, _, _) in CASES.items()}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in CASES}
    names = list(CASES)
    let_die(steps["the same, 5 % dead"], N_HIDDEN // 20)
    for step in steps.values():
        block(step, x, 3)
    for turn in range(rounds):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            times[name].append(block(steps[name], x, n_steps))
    for name, (parts, base, limit) in CASES.items():
        cpu, wall = (
            [mine[kind] / plain[kind] for mine, plain in zip(times[name], times[base], strict=True)] for kind in (0, 1)
        )
        quartiles = statistics.quantiles(cpu, n=4)
        report.add(
            composition=name,
            parts=", ".join(f"{key}={value!r}" for key, value in parts.items()),
            compared_with=base,
            cpu_ms=statistics.median(t[0] for t in times[name]),
            ratio=statistics.median(cpu),
            ratio_quartiles=[quartiles[0], quartiles[2]],
            elapsed_ratio=statistics.median(wall),
            limit=limit,
        )


if __name__ == "__main__":
    main()
