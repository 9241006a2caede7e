"""Where and in what arithmetic a model runs: device, type, threads."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import warnings
from collections.abc import Iterator

import torch

from embudo.engine.distribution import world
from embudo.errors import InvalidParameter
from embudo.parts.training import Training

#: products below this many multiply-adds a step lose more to a second thread's start than they gain
SMALL_STEP = 20_000_000

if hasattr(os, "register_at_fork"):
    # OpenMP's threads do not outlive a fork: a child that asks for one of them waits for ever
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


@dataclasses.dataclass(frozen=True)
class Runtime:
    """Device, type of the weights, and whether products are made in bfloat16."""

    device: torch.device
    dtype: torch.dtype
    bfloat16: bool = False

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Return the context in which a forward pass runs."""
        if not self.bfloat16:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    @contextlib.contextmanager
    def threads(self, multiply_adds: int) -> Iterator[None]:
        """Use one thread inside the context where a step of `multiply_adds` is too small for more."""
        before = torch.get_num_threads()
        if self.device.type == "cpu" and multiply_adds < SMALL_STEP:
            torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def resolve_runtime(training: Training) -> Runtime:
    """Return the runtime that `training` asks for.

    Raises
    ------
    InvalidParameter
        If the device is unknown or not there.
    """
    name = training.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and world().size > 1:
        name = f"cuda:{torch.cuda.current_device()}"
    try:
        with warnings.catch_warnings(action="ignore"):  # torch's, of names that it no longer uses
            device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, ImportError):  # the last of kinds that torch knows by name only
        raise InvalidParameter(
            f'Training.device={name!r} is not available here: use "cpu", or "auto" to take what there is.'
        ) from None
    dtype = torch.float64 if training.precision == "float64" else torch.float32
    return Runtime(device, dtype, bfloat16=training.precision == "bfloat16")


def check_memory(n_weights: int, runtime: Runtime, *, shard: bool = False) -> None:
    """Refuse a network whose weights, gradients and moments exceed the machine's memory.

    Parameters
    ----------
    n_weights : int
    runtime : Runtime
    shard : bool, default=False
        Whether the processes divide them, and each has whole weights only before and after.

    Raises
    ------
    InvalidParameter
    """
    if runtime.device.type == "cuda":
        available = torch.cuda.get_device_properties(runtime.device).total_memory
    elif hasattr(os, "sysconf"):
        available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    else:
        return
    n_processes = world().size if shard else 1
    needed = (4 if n_processes == 1 else 1 + 4 / n_processes) * n_weights * runtime.dtype.itemsize
    if needed > available:
        raise InvalidParameter(
            f"The network has {n_weights:,} weights and needs {needed / 2**30:,.0f} GiB to train, but "
            f"{runtime.device.type} has {available / 2**30:,.0f} GiB: choose fewer components or hidden units."
        )
