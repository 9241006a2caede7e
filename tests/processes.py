"""Several processes for the tests: forked, joined by gloo over the loopback, and never waited for without end."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import traceback
import warnings
from collections.abc import Callable
from typing import Any

PATIENCE = 120  #: seconds
LOOPBACK = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))


def free_port() -> int:
    """Return a port of the loopback that nobody listens to."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def in_processes(n: int, work: Callable[[], Any]) -> list[Any]:
    """Return what `work` returns in each of `n` processes, or the exception that it raised."""
    fork, port = multiprocessing.get_context("fork"), free_port()
    pipes, children = [], []
    for rank in range(n):
        mine, theirs = fork.Pipe(duplex=False)
        child = fork.Process(target=_body, args=(rank, n, port, work, theirs), daemon=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads, which torch's survive here
            child.start()
        theirs.close()
        pipes.append(mine)
        children.append(child)
    try:
        return [_answer(pipe) for pipe in pipes]
    finally:
        for child in children:
            child.kill()
            child.join()


def _answer(pipe: Any) -> Any:
    if not pipe.poll(PATIENCE):
        raise TimeoutError(f"No answer in {PATIENCE} s.")
    try:
        return pipe.recv()
    except EOFError:
        return None  # killed


def _body(rank: int, n: int, port: int, work: Callable[[], Any], pipe: Any) -> None:
    signal.alarm(PATIENCE)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(n), "LOCAL_RANK": str(rank)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": LOOPBACK}
    try:
        answer = work()
    except Exception as error:
        answer = error
        answer.__notes__ = [traceback.format_exc()]
    pipe.send(answer)
    pipe.close()
    os._exit(0)
