"""The training loop: a generator that yields one record an epoch."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

from embudo.data.batches import Rows, with_targets
from embudo.engine.history import Epoch
from embudo.engine.step import TrainingStep
from embudo.errors import TrainingDiverged
from embudo.parts.training import Training

#: steps after which what has become too small to matter is set to 0
SETTLED = 64


class BatchSource(Protocol):
    """Batches by epoch."""

    @property
    def n_samples(self) -> int:
        """Samples in an epoch."""
        ...

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        ...

    def epoch(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of one epoch, each with its target."""
        ...


def train(
    step: TrainingStep,
    batches: BatchSource,
    training: Training,
    *,
    validation: tuple[Rows, Rows] | None = None,
    first_epoch: int = 1,
    epochs_done: int = 0,
    open_ended: bool = False,
) -> Iterator[Epoch]:
    """Train for as many epochs as `training` says and yield a record after each.

    Parameters
    ----------
    step : TrainingStep
        What learns from a batch.
    batches : BatchSource
        The training samples.
    training : Training
        Epochs and schedule.
    validation : (Rows, Rows), optional
        Samples and targets that are measured after each epoch, and not learnt from.
    first_epoch : int, default=1
        Number of the first epoch.
    epochs_done : int, default=0
        Epochs that are over already, of a training that goes on.
    open_ended : bool, default=False
        Whether more may follow: then nothing changes in the course of the training, neither learning rate nor sparsity.

    Yields
    ------
    Epoch

    Raises
    ------
    TrainingDiverged
        If a term of the objective, or a weight, is not finite after an epoch.
    """
    n_epochs = training.n_epochs(batches.n_samples)
    n_steps = n_epochs * len(batches)
    done = epochs_done * len(batches)
    for number in range(first_epoch + epochs_done, first_epoch + n_epochs):
        started = time.perf_counter()
        sums: dict[str, Tensor | float] = {}
        step.objective.train()
        with torch.no_grad():
            for x, target in batches.epoch(number):
                if not open_ended:
                    step.set_progress(done / n_steps)
                n = step.objective.world.rows(x)
                for name, value in step(x, target).items():  # a number at once only where none waits for it
                    at_once = not isinstance(value, Tensor) or value.is_cpu
                    sums[name] = sums.get(name, 0.0) + n * (value.item() if at_once else value)
                done += 1
                if done % SETTLED == 0:
                    step.settle()
        terms = {name: float(total) / batches.n_samples for name, total in sums.items()}
        stepped = time.perf_counter()
        step.objective.eval()
        measured = {} if validation is None else measure(step, *validation)
        _check_finite(terms | {f"validation_{name}": value for name, value in measured.items()}, step, number)
        what = functools.partial(
            Epoch,
            number=number,
            terms=terms,
            validation=measured,
            learning_rate=step.lr,
            seconds=time.perf_counter() - started,
            samples_per_second=batches.n_samples / (stepped - started),
        )
        yield step.objective.world.agreed(what)  # so that all processes decide alike, whatever their arithmetic


@torch.no_grad()
def measure(step: TrainingStep, rows: Rows, targets: Rows) -> dict[str, float]:
    """Return the objective's measures of held-out samples with their targets, means over all of them."""
    totals: dict[str, float] = {}
    device, world = step.runtime.device, step.objective.world
    for block, wanted in with_targets(rows, targets):
        mine = world.share(len(block))
        x, target = block[mine], wanted[mine]
        with step.runtime.autocast():
            measured = step.objective.measure(x.to(device), target.to(device))
        for name, value in measured.items():
            totals[name] = totals.get(name, 0.0) + float(value) * (world.weight * len(block))
    return {name: total / len(rows) for name, total in world.total(totals).items()}


@torch.no_grad()
def _check_finite(terms: dict[str, float], step: TrainingStep, number: int) -> None:
    culprit = next((name for name, value in terms.items() if not math.isfinite(value)), None)
    if culprit is not None:
        what = f"the term {culprit!r} of the loss became {terms[culprit]}"
    elif not all(math.isfinite(step.whole(p.sum())) for p in step.parameters):  # as the sum is then; nothing is copied
        what = "a weight stopped being finite"
    else:
        return
    raise TrainingDiverged(
        f"Training diverged: in epoch {number} {what}. Try a smaller learning rate (now {step.lr:g}), "
        'clip=1.0, or scale="standard"; the last good weights are kept.'
    )
