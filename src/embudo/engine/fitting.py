"""From objective to trained weights: the body of the loop, with early stopping, progress and interruption."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from embudo.data.batches import Rows
from embudo.engine.board import Board
from embudo.engine.checkpoint import Position, RunFolder, fingerprint
from embudo.engine.closed_form import ClosedFormStep
from embudo.engine.history import History, append
from embudo.engine.loop import BatchSource, train
from embudo.engine.objective import Objective
from embudo.engine.progress import Look, Progress
from embudo.engine.runtime import Runtime
from embudo.engine.sparse_step import SparseStep
from embudo.engine.step import AutogradStep, CompiledStep, TrainingStep
from embudo.errors import TrainingDiverged, TrainingInterrupted
from embudo.parts.training import Training

#: the steps there are, the fastest first; the last suits every objective
STEPS: tuple[type[TrainingStep], ...] = (SparseStep, ClosedFormStep, AutogradStep)


def make_step(objective: Objective, training: Training, runtime: Runtime) -> TrainingStep:
    """Return the fastest step that finds the gradient of `objective`, also from a share of a batch where it must."""
    alone = objective.world.size == 1
    if training.shard and not alone:
        from embudo.engine.sharding import ShardedStep

        return ShardedStep(objective, training, runtime)
    if training.compile:
        return CompiledStep(objective, training, runtime)
    kind = next(kind for kind in STEPS if kind.suits(objective, runtime) and (alone or kind.takes_shares))
    return kind(objective, training, runtime)


class Snapshot:
    """A copy of the weights to come back to."""

    def __init__(self, parameters: list[Tensor]) -> None:
        self.parameters = parameters
        self.copies = [p.detach().clone() for p in parameters]

    @torch.no_grad()
    def take(self) -> None:
        """Copy the weights as they are now."""
        for copy, parameter in zip(self.copies, self.parameters, strict=True):
            copy.copy_(parameter)

    @torch.no_grad()
    def restore(self) -> None:
        """Set the weights back to the copy."""
        for copy, parameter in zip(self.copies, self.parameters, strict=True):
            parameter.copy_(copy)


def run(
    step: TrainingStep,
    batches: BatchSource,
    training: Training,
    history: History,
    *,
    validation: tuple[Rows, Rows] | None = None,
    open_ended: bool = False,
    recipe: str = "",
    look: Look | None = None,
) -> bool:
    """Train, and leave the best (with patience) or last weights in place.

    Parameters
    ----------
    step : TrainingStep
        What learns from a batch; its weights are changed in place.
    batches : BatchSource
        The training samples.
    training : Training
        How long, and when to stop.
    history : dict of lists
        A row is added for each epoch, so that it is whole also where training ends early.
    validation : (Rows, Rows), optional
        Held-out samples and their targets.
    open_ended : bool, default=False
        Whether more may follow, as in ``partial_fit``.
    recipe : str, default=""
        The parameters of the model, by which the state in ``training.run_dir`` is known as that of this training.
    look : Look, optional
        For who is told of each epoch.

    Returns
    -------
    bool
        Whether the training came to its end, and was not stopped by Ctrl-C.

    Raises
    ------
    TrainingDiverged
        If the loss stops being finite; the last good weights are in place then.
    InvalidParameter, FileFormatError
        If ``training.run_dir`` holds the state of another training, or a damaged one.
    ProcessLost
        If another of several processes has ended.
    KeyboardInterrupt
        If Ctrl-C stopped one of several processes.

    Warns
    -----
    TrainingInterrupted
        If Ctrl-C stopped the training; the weights are those learnt so far.
    """
    look, gradients = look if step.in_model else None, torch.is_grad_enabled()
    try:
        with step.at_work():
            return _run(step, batches, training, history, validation, open_ended, recipe, look)
    finally:
        torch.set_grad_enabled(gradients)  # Ctrl-C may have come in the midst of switching them off or on


def _run(
    step: TrainingStep,
    batches: BatchSource,
    training: Training,
    history: History,
    validation: tuple[Rows, Rows] | None,
    open_ended: bool,
    recipe: str,
    look: Look | None,
) -> bool:
    world = step.objective.world
    first = len(history.get("epoch", ())) + 1
    kept = Snapshot([*step.parameters, *step.objective.buffers()])
    last = first + training.n_epochs(batches.n_samples) - 1
    progress = Progress(training.verbose, last, look)
    position, folder = Position(best_epoch=first), None
    if training.run_dir is not None:
        known_as = fingerprint(recipe, step, batches, training, validation)
        folder = RunFolder(training.run_dir, known_as, step, kept.copies)
        before = folder.resume(history)
        if before is not None:
            position = before
            progress.resume(position.epochs, position.finished)
    if position.finished:
        return True
    epochs = train(
        step,
        progress.watch(world.shared(batches)),
        training,
        validation=validation,
        first_epoch=first,
        epochs_done=position.epochs,
        open_ended=open_ended,
    )
    log_dir = training.log_dir if world.leads else None
    try:
        with progress, Board(log_dir, first + position.epochs) as board:
            for epoch in epochs:
                append(history, epoch)
                progress.show(epoch)
                board.show(epoch)
                position.epochs += 1
                measured = epoch.validation if training.patience is not None else {}
                if not measured or position.improve(step.objective.badness(measured), epoch.number):
                    kept.take()
                elif training.patience is not None and epoch.number - position.best_epoch >= training.patience:
                    break
                if folder is not None:
                    folder.keep(position, history)
    except TrainingDiverged:
        kept.restore()
        raise
    except KeyboardInterrupt:
        if world.size > 1:  # not all have come as far
            raise
        _say_interrupted(len(history.get("epoch", ())), last)
        completed = False
    else:
        completed = True
    if position.best is not None:
        kept.restore()
    if completed and folder is not None:
        position.finished = True
        folder.write(position, history)
    return completed


def _say_interrupted(done: int, last: int) -> None:
    warnings.warn(
        f"Training was interrupted after {done} of {last} epochs: the model keeps what it has learnt so far.",
        TrainingInterrupted,
        stacklevel=3,
    )
