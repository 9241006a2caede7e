"""A training to watch: its losses, epoch by epoch, as they come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from embudo.engine.history import Epoch
from embudo.report.explorer.subject import Subject

PAUSE = 0.1  #: seconds between looks at what is new
PATIENCE = 5.0  #: seconds that a browser has to come and see, after a training that was shorter


class Watch(Subject):
    """The losses of a training.

    Parameters
    ----------
    title : str
    """

    template = "watch.html"
    summary = "The losses of a training, as they come."

    def __init__(self, title: str) -> None:
        self.title = title
        self.facts, self.calls = {}, {}
        self.rows: list[dict[str, Any]] = []
        self.finished = False
        self.told = 0  #: browsers that know the end

    def note(self, stage: str, epoch: Epoch) -> None:
        """Add a row: what an epoch of a stage came to."""
        losses = {"loss": epoch.loss} | {f"validation {name}": value for name, value in epoch.validation.items()}
        row = {"stage": stage.strip(), "epoch": epoch.number, "losses": losses, "speed": epoch.samples_per_second}
        self.rows.append(row)

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """Yield the rows there are, those that come, and at the end that it is."""
        sent = 0
        while True:
            finished = self.finished  # before the rows are looked at, so that none is missed
            for row in self.rows[sent:]:
                sent += 1
                yield row
            if finished:
                break
            await asyncio.sleep(PAUSE)
        yield {"finished": True}
        self.told += 1

    def finish(self, patience: float | None = None) -> None:
        """Say that the training is over, and wait until a browser knows, or none has come in time."""
        self.finished = True
        until = time.monotonic() + (PATIENCE if patience is None else patience)
        while not self.told and time.monotonic() < until:
            time.sleep(PAUSE)
