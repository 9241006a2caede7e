"""Several processes and machines, by torch.distributed.

Each process learns from a share of every batch; `Group` makes of the shares what one process would make of the batch.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from embudo.errors import EmbudoError, InvalidData, ProcessLost, reason
from embudo.nn.world import ALONE, World, is_one_of_several

Value = TypeVar("Value")

FAILURE = "embudo/failure"  #: key of the store under which the first process that fails leaves its status
_store: Any = None  #: of the group that was joined


class ShareableBatches(Protocol):
    """Batches of which each process can be given its share."""

    @property
    def n_samples(self) -> int:
        """Samples in an epoch."""
        ...

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        ...

    def epoch(self, number: int, share: Any = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the share in each batch of an epoch, and its targets."""
        ...


def world() -> World:
    """Return the processes that this one learns with.

    Those of a group that has been initialised, or that torchrun started, which is then joined; else it is alone.
    """
    if not dist.is_available():
        return ALONE
    if not dist.is_initialized() and is_one_of_several():
        _join()
    return Group() if dist.is_initialized() and dist.get_world_size() > 1 else ALONE


def _join() -> None:
    """Join the group of processes that the environment tells of."""
    from torch.distributed.rendezvous import rendezvous

    global _store
    backend = "gloo"
    if torch.cuda.is_available() and dist.is_nccl_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
        backend = "cpu:gloo,cuda:nccl"
    _store, rank, size = next(rendezvous("env://"))
    dist.init_process_group(backend, store=_store, rank=rank, world_size=size)
    atexit.register(_leave)


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def fails_first(status: int) -> tuple[bool, int]:
    """Return whether this process, which fails, is the first that does, and the status of the one that is."""
    if _store is None:
        return True, status
    mine = json.dumps([dist.get_rank(), status])
    try:
        first = _store.compare_set(FAILURE, "", mine).decode()
    except RuntimeError:  # the store went with the process that held it
        return False, status
    return first == mine, json.loads(first)[1]


def started_by_torch() -> bool:
    """Return whether torch's launcher watches over this process, and tells of one that is killed."""
    return "TORCHELASTIC_RUN_ID" in os.environ


class Group(World):
    """The processes of the initialised group, each with a share of every batch."""

    def __init__(self) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.n, self.mine, self.weight = 1, slice(0, 1), 1.0

    # ------------------------------------------------------------------ shares

    def share(self, n: int) -> slice:
        """Return this process's share of a batch of `n` samples, and keep it as that at work.

        Shares differ by at most one. Where there are fewer samples than processes, some look at a sample of another
        one, which weighs nothing.
        """
        start, stop = n * self.rank // self.size, n * (self.rank + 1) // self.size
        n_own = stop - start
        start = min(start, n - 1)
        self.take(slice(start, start + max(n_own, 1)), n)
        self.weight = n_own / n
        return self.mine

    def take(self, mine: slice, n: int) -> None:
        """Say that the share at work is that slice of a batch of `n` samples."""
        self.mine, self.n, self.weight = mine, n, (mine.stop - mine.start) / n

    def shared(self, batches: Any) -> Any:
        """Return a source of the shares of this process in `batches`.

        Raises
        ------
        InvalidData
            If not all processes were given as many samples.
        """
        counts = self._gather(batches.n_samples)
        if len(set(counts)) > 1:
            raise InvalidData(
                f"The processes were given {', '.join(map(str, counts))} samples: pass the same X to fit in each of "
                "them; embudo divides it."
            )
        return _Shared(batches, self)

    # ------------------------------------------------------------------ the batch at work

    def rows(self, x: Tensor) -> int:
        """Return how many samples the batch has of which `x` is the share."""
        return self.n

    def whole(self, x: Tensor) -> Tensor:
        """Return a tensor of the batch's shape with the share `x` in its place, and zeros elsewhere."""
        batch = self._zeros(x)
        batch[self.mine] = x
        return batch

    def gathered(self, x: Tensor) -> Tensor:
        """Return the shares of all processes, in order."""
        batch = self.whole(x) if self.weight else self._zeros(x)
        return self._all_reduce(batch, dist.ReduceOp.SUM)

    def own(self, batch: Tensor) -> Tensor:
        """Return the share of this process in what has a row for each sample of the batch."""
        return batch[self.mine]

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean over the batch, given that over the share."""
        return self._all_reduce(value.detach() * self.weight, dist.ReduceOp.SUM)

    def any(self, flags: Tensor) -> Tensor:
        """Return which flags are set in any process."""
        return self._all_reduce(flags.to(torch.int32), dist.ReduceOp.MAX).bool()

    def least(self, value: Tensor) -> Tensor:
        """Return the least value of all processes."""
        return self._all_reduce(value.detach().clone(), dist.ReduceOp.MIN)

    def n_largest(self, values: Tensor, k: int) -> int:
        """Return how many of the `k` largest values of all processes are among these."""
        candidates = torch.full((self.size, k), -torch.inf, dtype=values.dtype, device=values.device)
        if self.weight:
            own = values.detach().flatten().topk(min(k, values.numel())).values
            candidates[self.rank, : len(own)] = own
        self._all_reduce(candidates, dist.ReduceOp.MAX)
        return int((candidates.flatten().topk(k).indices // k == self.rank).sum())

    def reduce(self, parameters: Iterable[Tensor], terms: dict[str, Any]) -> dict[str, Any]:
        """Make gradients of parameters, and terms, those of the batch, given those of the share; return the terms."""
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        device = next((gradient.device for gradient in gradients), None)
        values = [torch.as_tensor(term, device=device).detach().clone() for term in terms.values()]
        with _as_one([*gradients, *values]) as flat:
            self._all_reduce(flat.mul_(self.weight), dist.ReduceOp.SUM)
        return dict(zip(terms, values, strict=True))

    # ------------------------------------------------------------------ the training as a whole

    def total(self, sums: dict[str, float]) -> dict[str, float]:
        """Return the sums over all processes, by name."""
        totals: dict[str, float] = {}
        for each in self._gather(sums):
            for name, value in each.items():
                totals[name] = totals.get(name, 0.0) + value
        return totals

    def agreed(self, make: Callable[[], Value]) -> Value:
        """Return, in all processes, what `make` returns in the first one, or raise what it raises there."""
        made: list[Any] = [None, None]
        if self.leads:
            try:
                made[0] = make()
            except EmbudoError as error:
                made[1] = error
        with _together():
            dist.broadcast_object_list(made, 0)
        if made[1] is not None:
            raise made[1]
        value: Value = made[0]
        return value

    def align(self, tensors: Iterable[Tensor]) -> None:
        """Set tensors, in place, to those of the first process."""
        tensors = list(tensors)
        if tensors:
            with _as_one(tensors) as flat, _together():
                dist.broadcast(flat, 0)

    def _zeros(self, x: Tensor) -> Tensor:
        """Return zeros of the batch's shape in the memory layout of `x`, along which noise is drawn."""
        last = x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if last else torch.contiguous_format
        return torch.empty((self.n, *x.shape[1:]), dtype=x.dtype, device=x.device, memory_format=layout).zero_()

    def _gather(self, value: Value) -> list[Value]:
        values: list[Any] = [None] * self.size
        with _together():
            dist.all_gather_object(values, value)
        return values

    def _all_reduce(self, tensor: Tensor, how: Any) -> Tensor:
        with _together():
            dist.all_reduce(tensor, how)
        return tensor


class _Shared:
    """The shares of a process in batches."""

    def __init__(self, batches: ShareableBatches, group: Group) -> None:
        self.batches, self.group = batches, group

    @property
    def n_samples(self) -> int:
        return self.batches.n_samples

    def __len__(self) -> int:
        return len(self.batches)

    def epoch(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        return self.batches.epoch(number, self.group)


@contextlib.contextmanager
def _as_one(tensors: Sequence[Tensor]) -> Iterator[Tensor]:
    """Give the tensors as a single flat one, and set them in place to what it holds in the end."""
    flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
    yield flat
    with torch.no_grad():
        for tensor, values in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(values.view(tensor.shape))


@contextlib.contextmanager
def _together() -> Iterator[None]:
    """Say in one sentence that another process has ended, where a collective operation fails."""
    try:
        yield
    except RuntimeError as error:
        raise ProcessLost(
            f"Process {dist.get_rank()} of {dist.get_world_size()} has lost another one, which says why, unless it was "
            f"killed ({reason(error)}). A training with a run_dir goes on where it was when started again."
        ) from None


def launch(arguments: Sequence[str], *, devices: int, nodes: int = 1, meeting: str | None = None) -> int:
    """Run ``python -m embudo`` with `arguments` in several processes, by torch's elastic launcher; return the status.

    Parameters
    ----------
    arguments : sequence of str
    devices : int
        Processes on this machine.
    nodes : int, default=1
        Machines, on each of which this is called.
    meeting : str, optional
        "HOST:PORT" of one of the machines, where they meet; on a single one a free port of its own is found.

    Raises
    ------
    ProcessLost
        If a process was killed; one that fails says so itself.
    """
    from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // devices)))
    if nodes == 1:  # nothing goes over the network
        loopback = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), None)
        if loopback is not None:
            os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback)
    with tempfile.TemporaryDirectory(prefix="embudo.") as folder:
        config = LaunchConfig(
            min_nodes=nodes,
            max_nodes=nodes,
            nproc_per_node=devices,
            logs_specs=DefaultLogsSpecs(log_dir=folder),
            run_id="embudo",
            rdzv_backend="c10d",
            rdzv_endpoint=meeting or "127.0.0.1:0",
            local_addr="127.0.0.1" if nodes == 1 else None,
            max_restarts=0,
        )
        try:
            with _undisturbed():
                elastic_launch(config, sys.executable)("-m", "embudo", *arguments)
        except ChildFailedError as error:
            rank, failure = error.get_first_failure()
            if failure.exitcode > 0:
                return failure.exitcode
            raise ProcessLost(
                f"Process {rank} of {devices * nodes} was killed by {signal.Signals(-failure.exitcode).name}. A "
                "training with --run-dir goes on where it was when started again."
            ) from None
        except SignalException as stopped:
            return 128 + int(stopped.sigval)
    return 0


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep torch's reports, which fill a screen, from being shown, and put signals back that its launcher takes."""
    logged = logging.root.manager.disable
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logged)
        for number, handler in handlers.items():
            signal.signal(number, handler)
