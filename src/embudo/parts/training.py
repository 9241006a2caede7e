"""`Training`: how long, in what steps and on what device a model is optimised."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable
from typing import Any

from embudo.errors import InvalidParameter, check_choice, check_number
from embudo.parts.optimizers import Adam, Optimizer
from embudo.parts.part import Part

#: name -> share of the learning rate, given the share of the training that is done
SCHEDULES: dict[str, Callable[[float], float]] = {
    "cosine": lambda done: 0.5 * (1 + math.cos(math.pi * done)),
    "linear": lambda done: 1 - done,
    "exponential": lambda done: 100**-done,
    "warmup_cosine": lambda done: min(done / 0.05, 0.5 * (1 + math.cos(math.pi * max(done - 0.05, 0) / 0.95))),
}

FOLDERS = ("run_dir", "log_dir")  #: fields that name a folder for what is kept of a training
PRECISIONS = ("auto", "float32", "float64", "bfloat16")


@dataclasses.dataclass(frozen=True, repr=False)
class Training(Part):
    """How a model is trained.

    Parameters
    ----------
    epochs : int or "auto", default="auto"
        Passes over the training data, at most. "auto" is as many as make 2000 steps, but at least 20.
    batch_size : int or "auto", default="auto"
        Samples in a step, of all processes together. "auto" is a twentieth of the samples, but at least 16 and at
        most 256.
    steps : int or None, default=None
        No more passes than it takes to make so many steps; with `epochs` "auto", as many.
    optimizer : Adam or SGD, default=Adam(3e-3, weight_decay=0.3)
        How a gradient becomes a step: learning rate and weight decay, which keeps networks from learning small data
        sets by heart.
    validation_fraction : float, default=0.0
        Share of the samples that is held out and measured after each epoch. Not used where ``fit`` is
        given ``X_val``.
    patience : int or None, default=None
        Stop after this many epochs without a new lowest validation loss, and restore the weights of the
        best epoch. Needs validation.
    schedule : {None, "cosine", "linear", "exponential", "warmup_cosine"}, default="cosine"
        How the learning rate falls over the training: not at all, to 0 along a half cosine or a line, by
        a factor of 100, or as "cosine" after rising over the first 5 %.
    clip : float or None, default=None
        Greatest 2-norm of the whole gradient; longer ones are scaled down.
    device : str, default="auto"
        Where to train: "auto" (CUDA where there is one, else the CPU), "cpu", "cuda", "cuda:1", "mps". Of several
        processes on a machine, each takes a "cuda" of its own.
    precision : {"auto", "float32", "float64", "bfloat16"}, default="auto"
        Type of the weights and of the arithmetic. "auto" is float32; "bfloat16" keeps float32 weights
        and multiplies in bfloat16.
    compile : bool, default=False
        Whether `torch.compile` compiles the network and its losses: the first step then takes some twenty seconds,
        later ones may be faster. Gradients are found by automatic differentiation, also where they would be written
        out, which is faster for perceptrons on a CPU. There a C++ compiler is needed. Where several processes
        divide the weights (`shard`) nothing is compiled.
    shard : bool, default=False
        Whether several processes divide weights, gradients and the optimizer's state among them, for a training that
        one device does not hold. Before and after it each has the whole weights. Alone, a process holds all of them.
    run_dir : str, Path or None, default=None
        Folder in which the state of the training is kept, made where it is missing; one for each training. Fitted
        again with the same data, parameters and `random_state`, a training that was stopped, or killed, goes on
        where it was, and on the same machine ends in the same weights; a finished one returns at once. Functions of
        one's own count by their names. Of several processes the first one reads and writes it.
    log_dir : str, Path or None, default=None
        Folder in which TensorBoard finds losses, learning rate and speed of each epoch, and in the end codes, and
        images with their reconstructions; one for each training, made where it is missing. Needs
        ``pip install "embudo[tensorboard]"``. Of several processes the first one writes it.
    verbose : {"auto", True, False}, default="auto"
        Progress: a bar on a terminal, an updating line in a notebook, plain lines in a log. "auto" shows it
        where somebody looks on, that is, not in logs, and only for a fit that takes more than a second.

    Raises
    ------
    InvalidParameter
        If a value is not allowed.

    Examples
    --------
    >>> from embudo import Adam, Training
    >>> Training(epochs=20, batch_size=256, optimizer=Adam(1e-2))
    Training(20, batch_size=256, optimizer=Adam(0.01))
    """

    epochs: int | str = "auto"
    _: dataclasses.KW_ONLY
    batch_size: int | str = "auto"
    steps: int | None = None
    optimizer: Optimizer = Adam(3e-3, weight_decay=0.3)
    validation_fraction: float = 0.0
    patience: int | None = None
    schedule: str | None = "cosine"
    clip: float | None = None
    device: str = "auto"
    precision: str = "auto"
    compile: bool = False
    shard: bool = False
    run_dir: str | os.PathLike[str] | None = None
    log_dir: str | os.PathLike[str] | None = None
    verbose: bool | str = "auto"

    def __post_init__(self) -> None:
        for name in FOLDERS:
            if isinstance(folder := getattr(self, name), os.PathLike):
                object.__setattr__(self, name, os.fspath(folder))
        super().__post_init__()

    def validate(self) -> None:
        """Raise `InvalidParameter` if a field is not allowed."""
        if self.epochs != "auto":
            check_number('Training.epochs (when not "auto")', self.epochs, low=1, integer=True)
        if self.batch_size != "auto":
            check_number('Training.batch_size (when not "auto")', self.batch_size, low=1, integer=True)
        if self.steps is not None:
            check_number("Training.steps (when not None)", self.steps, low=1, integer=True)
        if not isinstance(self.optimizer, Optimizer):
            raise InvalidParameter(
                f"Training.optimizer must be an optimizer such as Adam(1e-3); got {self.optimizer!r}."
            )
        check_number("Training.validation_fraction", self.validation_fraction, low=0, high=1, open_high=True)
        if self.patience is not None:
            check_number("Training.patience", self.patience, low=1, integer=True)
        check_choice("Training.schedule", self.schedule, (None, *SCHEDULES))
        if self.clip is not None:
            check_number("Training.clip", self.clip, low=0, open_low=True)
        if not isinstance(self.device, str):
            raise InvalidParameter(f'Training.device must be a name such as "cpu"; got {self.device!r}.')
        check_choice("Training.precision", self.precision, PRECISIONS)
        for name in ("compile", "shard"):
            check_choice(f"Training.{name}", getattr(self, name), (True, False))
        for name in FOLDERS:
            folder = getattr(self, name)
            if folder is not None and (not isinstance(folder, str) or not folder):
                raise InvalidParameter(f"Training.{name} must be the name of a folder, or None; got {folder!r}.")
        check_choice("Training.verbose", self.verbose, ("auto", True, False))

    def folders(self, name: str) -> dict[str, Any]:
        """Return the folders of a part of this training by their fields: those below its own that are called `name`."""
        own = {field: getattr(self, field) for field in FOLDERS}
        return {field: os.path.join(folder, name) for field, folder in own.items() if folder is not None}  # noqa: PTH118

    def batch_rows(self, n_samples: int) -> int:
        """Return the batch size for `n_samples` training samples."""
        if self.batch_size == "auto":
            return max(16, min(256, n_samples // 20))
        return int(self.batch_size)

    def n_epochs(self, n_samples: int) -> int:
        """Return the number of epochs for `n_samples` training samples."""
        n_batches = -(-n_samples // self.batch_rows(n_samples))
        if self.steps is None:
            return max(20, -(-2000 // n_batches)) if self.epochs == "auto" else int(self.epochs)
        enough = -(-self.steps // n_batches)
        return enough if self.epochs == "auto" else min(int(self.epochs), enough)

    def learning_rate_share(self, done: float) -> float:
        """Return the share of the learning rate that applies when the share `done` of the training is over."""
        return SCHEDULES[self.schedule](done) if self.schedule else 1.0
