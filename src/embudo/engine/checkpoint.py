"""Run folders: the state of a training on disk, from which it goes on to the same weights, bit for bit."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from embudo.data.batches import Rows, with_targets
from embudo.data.files import checksum, utf8_name, write_atomically
from embudo.engine.history import History, restored
from embudo.engine.loop import BatchSource
from embudo.engine.step import TrainingStep
from embudo.errors import UNREADABLE, FileFormatError, InvalidParameter, ProcessLost, reason
from embudo.parts.training import Training

FORMAT_VERSION = 2
CARD = "embudo_training"  #: what the description is called in the file's metadata
REST = 20  #: how many times as long as a write took none follows, so that writing costs less than 5 %


@dataclasses.dataclass
class Position:
    """How far a training is.

    Attributes
    ----------
    best_epoch : int
        Number of the epoch whose validation is the best; before there is one, of the first.
    best : tuple of float or None
        What that came to: the smaller, the better.
    epochs : int
        Epochs that are over.
    finished : bool
        Whether none follows.
    """

    best_epoch: int
    best: tuple[float, ...] | None = None
    epochs: int = 0
    finished: bool = False

    def improve(self, bad: tuple[float, ...], epoch: int) -> bool:
        """Return whether `bad`, of the validation after `epoch`, is the best so far, and note it then."""
        if self.best is not None and bad >= self.best:
            return False
        self.best, self.best_epoch = bad, epoch
        return True


class RunFolder:
    """A folder that holds the state of one training, in one file.

    Parameters
    ----------
    folder : str or Path
        Made where it is missing.
    fingerprint : str
        Of the training: the state of another one is refused.
    step : TrainingStep
        What learns; its weights, optimizer, generator and counts are the state.
    copies : list of Tensor
        The weights to come back to, which belong to the state too.
    """

    def __init__(
        self, folder: str | os.PathLike[str], fingerprint: str, step: TrainingStep, copies: list[Tensor]
    ) -> None:
        self.path = Path(folder, "state.safetensors")
        self.fingerprint, self.step, self.copies = fingerprint, step, copies
        self.world = step.objective.world
        self.due = 0.0
        self.mend = f"delete '{self.path.parent}' to begin anew, or give Training.run_dir another folder"

    def resume(self, history: History) -> Position | None:
        """Set everything back to the state in the folder, and return how far it is; None where there is none.

        Raises
        ------
        InvalidParameter
            If it is the state of another training, or the folder cannot be made.
        FileFormatError
            If the file is damaged, or of another version of embudo.
        """
        tensors: dict[str, Tensor] = {}

        def read() -> tuple[Position, History, dict[str, Tensor]] | None:
            nonlocal tensors
            found = self._read()
            if found is None:
                return None
            position, columns, tensors = found
            return position, columns, {name: tensor.to("meta") for name, tensor in tensors.items()}

        found = self.world.agreed(read)
        if found is None:
            return None
        position, columns, shapes = found
        try:
            restore(self.step, self.copies, tensors or shapes)
        except ProcessLost:
            raise
        except UNREADABLE as error:
            raise FileFormatError(f"'{self.path}' is damaged ({reason(error)}): {self.mend}.") from None
        history.update(columns)
        return position

    def _read(self) -> tuple[Position, History, dict[str, Tensor]] | None:
        """Return what the folder holds; None where that is nothing."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidParameter(
                f"Training.run_dir='{self.path.parent}' cannot be made a folder ({reason(error)}): give another."
            ) from None
        for stray in self.path.parent.glob(f".{self.path.name}.*"):  # of a write that was killed
            stray.unlink(missing_ok=True)
        if not self.path.exists():
            return None
        try:
            with utf8_name(self.path) as name, safetensors.safe_open(name, framework="pt") as file:
                card = json.loads(file.metadata()[CARD])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            version, fingerprint = card["format_version"], card["fingerprint"]
            if version == FORMAT_VERSION and card.pop("checksum") != checksum(card, tensors):
                raise ValueError("it does not hold what was written")
            position = Position(**card["position"])
            position.best = position.best and tuple(position.best)  # JSON made it a list
            columns = restored(card["history"], "history")
        except (safetensors.SafetensorError, OSError, *UNREADABLE) as error:
            raise FileFormatError(f"'{self.path}' is damaged ({reason(error)}): {self.mend}.") from None
        if version != FORMAT_VERSION:
            raise FileFormatError(f"'{self.path}' was written by another version of embudo: {self.mend}.")
        if fingerprint != self.fingerprint:
            raise InvalidParameter(
                f"'{self.path.parent}' holds the state of another training, of other data, parameters or "
                f"random_state: {self.mend}."
            )
        return position, columns, tensors

    def keep(self, position: Position, history: History) -> None:
        """Write the state, unless writing has taken too much of the time."""
        if self.world.agreed(lambda: time.monotonic() >= self.due):
            self.write(position, history)

    def write(self, position: Position, history: History) -> None:
        """Write the state, by the first process; the file is whole, or as it was before.

        Raises
        ------
        FileFormatError
            If it cannot be written.
        """
        started = time.monotonic()
        tensors = state(self.step, self.copies)
        if not self.world.leads:
            return
        card = {
            "format_version": FORMAT_VERSION,
            "fingerprint": self.fingerprint,
            "position": dataclasses.asdict(position),
            "history": history,
        }
        text = json.dumps(card | {"checksum": checksum(card, tensors)})
        write_atomically(self.path, safetensors.torch.save(tensors, metadata={CARD: text}))
        ended = time.monotonic()
        self.due = ended + REST * (ended - started)


def fingerprint(
    recipe: str,
    step: TrainingStep,
    batches: BatchSource,
    training: Training,
    validation: tuple[Rows, Rows] | None,
) -> str:
    """Return a hash of all that decides what a training comes to, before it begins, made by the first process.

    Parameters
    ----------
    recipe : str
        The parameters of the model.
    step : TrainingStep
        With the first weights.
    batches : BatchSource
        The training samples; seed and batch size are known by the order of epoch 0, which is never learnt from.
    training : Training
        Its device counts by its kind; who holds the weights, where the state is kept, and what is shown, do not.
    validation : (Rows, Rows) or None
        Held-out samples and their targets.
    """
    world = step.objective.world
    training = dataclasses.replace(
        training, device=step.runtime.device.type, shard=False, run_dir=None, log_dir=None, verbose="auto"
    )
    digest = hashlib.blake2b(f"{recipe}\n{training}\n{step.objective.generator.initial_seed()}".encode())

    def add(tensor: Tensor) -> None:
        digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().data)

    for weight in weights(step).values():
        whole = step.whole(weight)
        if world.leads:
            add(whole)

    def with_samples() -> str:
        for x, target in batches.epoch(0):
            for tensor in (x,) if target is x else (x, target):
                add(tensor)
        if validation is not None:
            for pair in with_targets(*validation):
                for tensor in pair:
                    add(tensor)
        return digest.hexdigest()

    return world.agreed(with_samples)


def weights(step: TrainingStep) -> dict[str, Tensor]:
    """Return the parameters and buffers of the objective by name."""
    objective = step.objective
    return {f"weights.{name}": tensor for name, tensor in (*objective.named_parameters(), *objective.named_buffers())}


def state(step: TrainingStep, copies: list[Tensor]) -> dict[str, Tensor]:
    """Return all that the next epoch depends on by name, on the CPU; all processes ask at once, the first is told."""
    objective = step.objective
    tensors: dict[str, Any] = weights(step)
    tensors |= {f"kept.{i}": copy for i, copy in enumerate(copies)}
    tensors |= {
        f"optimizer.{i}.{name}": value if value.ndim else value.clone()  # parameters may share a count of steps
        for i, values in step.optimizer.state_dict()["state"].items()
        for name, value in values.items()
    }
    tensors |= {f"memory.{name}": value for name, value in objective.memory.items()}
    tensors |= {f"silent_steps.{i}": rule.silent_steps for i, rule in enumerate(objective.rules)}
    tensors["generator"] = objective.generator.get_state()
    kept = {}
    for name, tensor in tensors.items():
        if tensor is not None:
            whole = step.whole(tensor)
            if objective.world.leads:
                kept[name] = whole.detach().cpu().contiguous()
    return kept


@torch.no_grad()
def restore(step: TrainingStep, copies: list[Tensor], tensors: dict[str, Tensor]) -> None:
    """Set everything to what `state` returned, given to the first process; the others are given tensors without memory.

    Raises
    ------
    LookupError, ValueError, RuntimeError
        If a tensor is missing or has the wrong shape.
    """
    objective, device = step.objective, step.runtime.device

    def received(name: str) -> Tensor:
        tensor = tensors[name]
        if tensor.is_meta:
            tensor = torch.empty_like(tensor, device="cpu")
        objective.world.align([tensor])
        return tensor

    for name, tensor in (weights(step) | {f"kept.{i}": copy for i, copy in enumerate(copies)}).items():
        if tensors[name].shape != tensor.shape:
            raise ValueError(f"{name} has shape {tuple(tensors[name].shape)}, not {tuple(tensor.shape)}")
        step.put(tensor, received(name))
    learnt = [parameter for group in step.optimizer.param_groups for parameter in group["params"]]
    moments: dict[int, dict[str, Tensor]] = {}
    for name in tensors:
        kind, _, key = name.partition(".")
        if kind == "memory":
            objective.memory[key] = received(name).to(device)
        elif kind == "silent_steps":
            objective.rules[int(key)].silent_steps = received(name).to(device)
        elif kind == "optimizer":
            index, _, key = key.partition(".")
            parameter = learnt[int(index)]
            moments.setdefault(int(index), {})[key] = _laid_out_like(parameter, received(name), step.put)
    groups = step.optimizer.state_dict()["param_groups"]
    step.optimizer.load_state_dict({"state": moments, "param_groups": groups})
    objective.generator.set_state(received("generator"))


def _laid_out_like(parameter: Tensor, value: Tensor, put: Callable[[Tensor, Tensor], object]) -> Tensor:
    """Return `value` in the memory layout of `parameter`, as fused optimizers need it, where it has its shape."""
    if value.shape != parameter.shape:
        return value.clone()
    like = torch.empty_like(parameter, dtype=value.dtype)
    put(like, value)
    return like
