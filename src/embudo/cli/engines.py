"""Parquet files encoded by the processes of Dask or Ray, each part by whoever is free, and again where one has died."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embudo.cli.batch import interrupts_ignored, tracked
from embudo.errors import EmbudoError, InvalidData, MissingDependency, WorkersFailed, reason

if TYPE_CHECKING:
    from embudo.data.parquet import ParquetStream
    from embudo.models.bulk import BatchEncoder

PART = 2**27  #: bytes of samples that are encoded into one file
TRIES = 4  #: of a part whose workers die
NO_WORKERS = "60 s"  #: until a Dask that is started here, all of whose workers are gone for good, ends in an error
OBJECT_STORE = 2**28  #: bytes, of a Ray that is started here: only numbers and a model pass through it
#: what Ray is told unless the user has: to call nobody, to be silent on what it mends itself, and as later versions do
RAY = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@dataclasses.dataclass(frozen=True)
class Part:
    """Rows that follow each other, and the file that their codes go to.

    It is written under another name first, so that a second try replaces what a first one may have written.
    """

    samples: ParquetStream
    first: int  #: number of its first row
    target: Path

    def encode(self, encoder: BatchEncoder) -> int:
        """Write the codes, and return how many there are."""
        try:
            return int(encoder.encode(self.samples, out=self.target).shape[0])
        except InvalidData as error:
            raise InvalidData(f"Among the rows from {self.first} on: {error}") from None


def encode_tables(
    samples: ParquetStream, output: Path, encoder: BatchEncoder, engine: str, workers: int | None, address: str | None
) -> int:
    """Write the codes of Parquet files to the folder `output`, in parts, and return how many there are.

    Parameters
    ----------
    samples : ParquetStream
        Whose files all workers can read.
    output : Path
        A folder that all workers can write to; it is there in the end, whole, or not at all.
    encoder : BatchEncoder
    engine : {"dask", "ray"}
    workers : int or None
        Processes; None is as many as there are cores, or on a cluster, or its GPUs.
    address : str or None
        Of a cluster that runs. None starts the workers on this machine.

    Raises
    ------
    MissingDependency
        If the engine is not installed.
    WorkersFailed
        If a part's workers died `TRIES` times, or their files are not where they should be.
    """
    from embudo.data.files import folder_replaced_whole
    from embudo.data.parquet import tables

    if not samples.shape[0]:
        raise InvalidData("The Parquet files hold no rows.")
    with folder_replaced_whole(output) as folder:
        parts, first = [], 0
        for number, piece in enumerate(samples.cut(PART)):
            parts.append(Part(piece, first, folder.absolute() / f"part-{number:06}.parquet"))
            first += piece.shape[0]
        encoded = sum(tracked(ENGINES[engine](parts, encoder, workers, address), len(parts)))
        for stray in folder.glob(".*"):  # of a worker that died as it wrote
            stray.unlink()
        there = [part.target for part in parts if part.target.exists()]
        written = tables(there, samples.window).shape[0] if there else 0
        if not first == encoded == written:
            raise WorkersFailed(
                f"Of {first} rows {encoded} were encoded, and {written} are in the folder of '{output}': all workers "
                "must share it."
            )
    return first


def _by_dask(parts: Sequence[Part], encoder: BatchEncoder, workers: int | None, address: str | None) -> Iterator[int]:
    try:
        import dask
        from distributed import Client, LocalCluster, as_completed
        from distributed.scheduler import KilledWorker, NoWorkerError
    except ImportError:
        raise MissingDependency('--engine dask needs Dask: pip install "embudo[dask]".') from None

    with contextlib.ExitStack() as stack:
        place: Any = address
        if address is None:
            stack.enter_context(dask.config.set({"distributed.scheduler.no-workers-timeout": NO_WORKERS}))
            how = {"threads_per_worker": 1, "dashboard_address": "127.0.0.1:0", "silence_logs": logging.CRITICAL}
            with interrupts_ignored():  # by the workers, which else say so, each at length
                place = stack.enter_context(LocalCluster(n_workers=workers or os.cpu_count(), **how))
        with _reached(address):
            client = stack.enter_context(Client(place))
        futures = client.map(Part.encode, parts, encoder=encoder, pure=False)
        try:
            for _, encoded in as_completed(futures, with_results=True):
                yield encoded
        except (KilledWorker, NoWorkerError):
            raise _worn_out() from None
        except OSError as error:
            raise WorkersFailed(f"The cluster is gone: {reason(error)}.") from None


class Actor:
    """A process of Ray that encodes parts."""

    def __init__(self, encoder: BatchEncoder, parts: Sequence[Part]) -> None:
        self.encoder, self.parts = encoder, parts

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """Encode the part of this number, and return how many rows it has, or what is wrong with them."""
        (number,) = batch["id"]
        try:
            return {"encoded": [self.parts[number].encode(self.encoder)], "error": [""]}
        except EmbudoError as error:
            return {"encoded": [0], "error": [str(error)]}


def _by_ray(parts: Sequence[Part], encoder: BatchEncoder, workers: int | None, address: str | None) -> Iterator[int]:
    for variable, value in RAY.items():
        os.environ.setdefault(variable, value)
    try:
        import ray
        import ray.data
    except ImportError:
        raise MissingDependency('--engine ray needs Ray: pip install "embudo[ray]".') from None

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    place: dict[str, Any] = {"address": address}
    if address is None:  # one core more than workers, for Ray's own tasks
        workers = workers or os.cpu_count() or 1
        place = {
            "address": "local",
            "num_cpus": workers + 1,
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE,
        }
    on_sigterm = signal.getsignal(signal.SIGTERM)
    with _reached(address):
        ray.init(**place, log_to_driver=False, logging_level=logging.ERROR)
    signal.signal(signal.SIGTERM, on_sigterm)  # Ray's own handler aborts
    try:
        resources = ray.cluster_resources()
        n_gpus = int(resources.get("GPU", 0))
        most = n_gpus or max(1, int(resources["CPU"]) - 1)
        ray.data.DataContext.get_current().enable_progress_bars = False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of max_task_retries, before there is another way
            done = ray.data.range(len(parts), override_num_blocks=len(parts)).map_batches(
                Actor,
                fn_constructor_args=(encoder, parts),
                batch_size=1,
                compute=ray.data.ActorPoolStrategy(min_size=1, max_size=min(workers or most, most, len(parts))),
                num_gpus=min(1, n_gpus),
                max_task_retries=TRIES - 1,
            )
        for row in done.iter_rows():
            if row["error"]:
                raise WorkersFailed(row["error"])
            yield row["encoded"]
    except ray.exceptions.RayActorError:
        raise _worn_out() from None
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _reached(address: str | None) -> Iterator[None]:
    """Say in one sentence that there is no cluster at an address."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        where = "on this machine" if address is None else f"at '{address}'"
        raise WorkersFailed(f"No cluster {where}: {reason(error)}.") from None


def _worn_out() -> WorkersFailed:
    return WorkersFailed(
        f"The workers of one part died {TRIES} times, for want of memory perhaps: give fewer --workers, or write "
        "the data in smaller row groups."
    )


#: name: what encodes parts, and yields how many rows each has as they come
ENGINES: dict[str, Callable[..., Iterator[int]]] = {"dask": _by_dask, "ray": _by_ray}
