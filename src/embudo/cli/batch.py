"""What the verbs of images share: which files become which, in one process or several."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from embudo.cli.output import check_output
from embudo.errors import FileFormatError, InvalidParameter

Result = TypeVar("Result")

workers_option = click.option(
    "--workers", type=click.IntRange(1, 1024), default=1, show_default=True, help="Processes that share the files."
)


@dataclasses.dataclass(frozen=True)
class Job:
    """One file, and what it becomes."""

    source: Path
    target: Path


def find_inputs(given: Iterable[Path], list_files: Callable[[Path], Sequence[Path]]) -> list[tuple[Path, Path]]:
    """Return each file with its place below the folder that it was found in.

    Raises
    ------
    FileFormatError
        If a file is missing.
    """
    found = []
    for path in given:
        if path.is_dir():
            found += [(file, file.relative_to(path)) for file in list_files(path)]
        elif path.is_file():
            found.append((path, Path(path.name)))
        else:
            hint = ": name an output by -o" if found and path.suffix else ""
            raise FileFormatError(f"No such file or folder: '{path}'{hint}.")
    return found


def plan(inputs: Sequence[tuple[Path, Path]], output: Path | None, ending: str) -> list[Job]:
    """Return what each input becomes: a file beside it, the file `output`, or a file below the folder `output`.

    Raises
    ------
    InvalidParameter
        If two would become one file, or an input would be written over.
    """
    if output is not None and output.suffix:
        if len(inputs) > 1:
            raise InvalidParameter(f"{len(inputs)} files do not go into one: name a folder instead of '{output}'.")
        check_output(output, [output.suffix] if ending == ".png" else [ending])
        jobs = [Job(inputs[0][0], output)]
    else:
        jobs = [
            Job(source, (source if output is None else output / below).with_suffix(ending)) for source, below in inputs
        ]
    targets = {job.target.absolute() for job in jobs}
    if len(targets) < len(jobs):
        seen: set[Path] = set()
        jobs = [Job(job.source, _distinct(job, seen)) for job in jobs]
    over = targets & {job.source.absolute() for job in jobs}
    if over:
        raise InvalidParameter(f"'{min(over)}' would be written over: name another output.")
    return jobs


def _distinct(job: Job, seen: set[Path]) -> Path:
    """Return the target, with the ending of the source kept where another file took its name."""
    target = job.target
    if target in seen:
        target = target.with_name(job.source.name + target.suffix)
    if target in seen:
        raise InvalidParameter(f"Two files would become '{target}': name the output of each.")
    seen.add(target)
    return target


def run_jobs(work: Callable[[Job, Any], Result], jobs: Sequence[Job], settings: Any, workers: int) -> list[Result]:
    """Return what `work` makes of each job, in order; progress is shown where stderr is a terminal."""
    return list(tracked(_results(work, jobs, settings, min(workers, len(jobs))), len(jobs)))


def tracked(results: Iterable[Result], total: int) -> Iterable[Result]:
    """Return the same results; where stderr is a terminal, a bar shows how many of `total` have come."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(results, "", total, console=console, transient=True, disable=not console.is_terminal)


def _results(work: Callable[[Job, Any], Result], jobs: Sequence[Job], settings: Any, workers: int) -> Iterator[Result]:
    if workers == 1:
        yield from (work(job, settings) for job in jobs)
        return
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _use_one_thread) as pool:
        try:
            with interrupts_ignored():  # by the workers, which inherit it: Ctrl-C reaches them too
                results = pool.map(work, jobs, [settings] * len(jobs))
            yield from results
        finally:
            pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def interrupts_ignored() -> Iterator[None]:
    """Be deaf to Ctrl-C inside the context; processes that are started there stay so."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _use_one_thread() -> None:
    import torch

    torch.set_num_threads(1)
