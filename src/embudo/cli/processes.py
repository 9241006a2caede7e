"""One command in several processes: how they are started, and that only one of them speaks."""

from __future__ import annotations

import contextlib
import functools
import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import click

from embudo.errors import InvalidParameter, ProcessLost
from embudo.nn.world import is_one_of_several


def several_processes(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that run a verb in several processes; torch's launcher starts them, with the same arguments."""

    @click.option(
        "--devices",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        help="Processes on this machine that share each batch: one a GPU, or on its cores.",
    )
    @click.option(
        "--nodes", type=click.IntRange(1), default=1, show_default=True, help="Machines; call the same on each."
    )
    @click.option("--rendezvous", metavar="HOST:PORT", help="With --nodes: of one of the machines, where they meet.")
    @functools.wraps(verb)
    def wrapper(devices: int, nodes: int, rendezvous: str | None, **options: Any) -> Any:
        if devices * nodes == 1 or is_one_of_several():
            return verb(**options)
        if nodes > 1 and rendezvous is None:
            raise InvalidParameter("--nodes needs --rendezvous HOST:PORT, the address of one of the machines.")
        from embudo.engine.distribution import launch

        context = click.get_current_context()
        return context.exit(launch(context.obj["arguments"], devices=devices, nodes=nodes, meeting=rendezvous))

    return wrapper


def leads() -> bool:
    """Return whether this process writes and speaks: it is alone, or the first of several."""
    return not is_one_of_several() or os.environ["RANK"] == "0"


@contextlib.contextmanager
def among_others() -> Iterator[None]:
    """Where this is one of several processes, join the others; all but the first are silent."""
    if is_one_of_several():
        from embudo.engine.distribution import world

        world()
    if leads():
        yield
        return
    warnings.simplefilter("ignore")
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):  # noqa: PTH123 (no path)
        yield


def first_to_fail(error: Exception, status: int) -> tuple[bool, int]:
    """Return whether it is this process that tells of `error`, and the status to leave with.

    Of several processes the first that fails does: the others lose it, or fail for the same reason.
    """
    if not is_one_of_several():
        return True, status
    from embudo.engine.distribution import fails_first, started_by_torch

    first, status = fails_first(status)
    return first and not (isinstance(error, ProcessLost) and started_by_torch()), status
