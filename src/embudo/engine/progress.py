"""Progress of a training: a bar on a terminal, an updating line in a notebook, plain lines in a log."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import sys
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
from torch import Tensor

from embudo.engine.distribution import world
from embudo.engine.history import Epoch
from embudo.engine.loop import BatchSource

QUIET_FOR = 1.0  #: seconds before "auto" shows anything

#: what the trainings of this context are part of, shown before the epoch
_title: contextvars.ContextVar[str] = contextvars.ContextVar("title", default="")


@dataclasses.dataclass(frozen=True)
class Preview:
    """A few samples, and what the network makes of them by now, in the units of the data.

    Attributes
    ----------
    samples : ndarray of shape (n, n_features)
        What shall come out.
    given : ndarray of shape (n, n_features) or None
        What the network was given, where that is something else.
    reconstructions : ndarray of shape (n, n_features)
    shape : tuple of int or None
        (height, width) or (height, width, 1 or 3) of samples that are images.
    """

    samples: np.ndarray
    given: np.ndarray | None
    reconstructions: np.ndarray
    shape: tuple[int, ...] | None


#: returns how the network that is being trained sees samples, whenever it is called
Look = Callable[[], Preview]
#: who is told of each epoch: what it is part of, what it came to, and, of an autoencoder, how to look at samples
Listener = Callable[[str, Epoch, Look | None], None]
_listener: contextvars.ContextVar[Listener | None] = contextvars.ContextVar("listener", default=None)


@contextlib.contextmanager
def titled(text: str) -> Iterator[None]:
    """Show `text` before the progress of what is trained inside the context."""
    token = _title.set(f"{text}  ")
    try:
        yield
    finally:
        _title.reset(token)


@contextlib.contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Tell `listener` of each epoch of what is trained inside the context, whether progress is shown or not."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def say(text: str, verbose: bool | str) -> None:
    """Write a line on its own to stderr, where `verbose` shows progress at all."""
    if world().leads and (verbose is True or (verbose == "auto" and face_here() is not Log)):
        print(text, file=sys.stderr, flush=True)


class Face(Protocol):
    """Where progress is drawn."""

    every: float  #: seconds between drawings

    def draw(self, done: float, text: str) -> None:
        """Show that `done` epochs are over, with `text` beside."""
        ...

    def close(self) -> None:
        """Leave the last drawing in place."""
        ...


class Terminal:
    """A bar with the time left, by rich."""

    every = 0.1

    def __init__(self, epochs: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self.bar = Bar(
            BarColumn(12),
            TextColumn("{task.description}"),
            TimeRemainingColumn(compact=True),
            console=Console(stderr=True),
            auto_refresh=False,
        )
        self.task = self.bar.add_task("", total=epochs)
        self.bar.start()

    def draw(self, done: float, text: str) -> None:
        """Move the bar."""
        self.bar.update(self.task, completed=done, description=text, refresh=True)

    def close(self) -> None:
        """Leave the bar as it stands."""
        self.bar.stop()


class Notebook:
    """One line that is written over."""

    every = 0.1

    def __init__(self, epochs: int) -> None:
        from IPython.display import display

        self.epochs = epochs
        self.handle: Any = display({"text/plain": ""}, raw=True, display_id=True)

    def draw(self, done: float, text: str) -> None:
        """Replace the line."""
        filled = round(24 * done / self.epochs)
        self.handle.update({"text/plain": f"{'█' * filled}{'░' * (24 - filled)} {text}"}, raw=True)

    def close(self) -> None:
        """Leave the line as it stands."""


class Log:
    """A plain line every few seconds, and the last one."""

    every = 5.0

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def draw(self, done: float, text: str) -> None:
        """Write a line."""
        print(f"{done / self.epochs:4.0%}  {text}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Nothing stands open."""


def face_here() -> type[Terminal] | type[Notebook] | type[Log]:
    """Return the face that suits where this process writes to."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is not None and getattr(shell, "kernel", None) is not None:
        return Notebook
    return Terminal if sys.stderr is not None and sys.stderr.isatty() else Log


class Progress:
    """Shows how far a training is.

    Parameters
    ----------
    verbose : {"auto", True, False}
        "auto" shows nothing in logs, nor for a training of less than a second.
    epochs : int
        Number of the last epoch.
    look : Look, optional
        For who is told of each epoch.
    """

    def __init__(self, verbose: bool | str, epochs: int, look: Look | None = None) -> None:
        kind = face_here()
        quiet = verbose is False or (verbose == "auto" and kind is Log) or not world().leads
        self.kind = None if quiet else kind
        self.verbose, self.epochs, self.look = verbose, epochs, look
        self.done, self.title = 0.0, _title.get()
        self.text = f"{self.title}epoch 1/{epochs}"
        self.face: Face | None = None
        self.next_draw = time.monotonic() + (QUIET_FOR if verbose == "auto" else 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.face is not None:
            self.face.draw(self.done, self.text)
            self.face.close()

    def watch(self, batches: BatchSource) -> BatchSource:
        """Return the same batches; each one that is taken moves the bar."""
        return batches if self.kind is None else _Watched(batches, self)

    def resume(self, done: int, finished: bool) -> None:
        """Say that `done` epochs were over already, and whether that is all."""
        self.done, self.text = done, f"{self.title}epoch {done + 1}/{self.epochs}"
        what = "already finished, after" if finished else "resumed after"
        say(f"{self.title}{what} epoch {done} of {self.epochs}", self.verbose)

    def advance(self, done: float) -> None:
        """Say that `done` epochs are over, in parts of one."""
        self.done = done
        if self.kind is not None and time.monotonic() >= self.next_draw:
            self.face = self.face or self.kind(self.epochs)
            self.face.draw(done, self.text)
            self.next_draw = time.monotonic() + self.face.every

    def show(self, epoch: Epoch) -> None:
        """Say what an epoch came to."""
        listener = _listener.get()
        if listener is not None:
            listener(self.title, epoch, self.look)
        self.text = f"{self.title}epoch {epoch.number}/{self.epochs}  loss {epoch.loss:.4g}"
        for name, value in epoch.validation.items():
            self.text += f"  validation {name} {value:.4g}"
        self.text += f"  {epoch.samples_per_second:,.0f}/s"
        self.advance(epoch.number)


class _Watched:
    def __init__(self, batches: BatchSource, progress: Progress) -> None:
        self.batches, self.progress = batches, progress

    @property
    def n_samples(self) -> int:
        return self.batches.n_samples

    def __len__(self) -> int:
        return len(self.batches)

    def epoch(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        for taken, batch in enumerate(self.batches.epoch(number)):
            self.progress.advance(number - 1 + taken / len(self.batches))
            yield batch
