"""A training to watch: its losses, epoch by epoch, and how it sees a few samples by now."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import numpy as np

from embudo.engine.history import Epoch
from embudo.engine.progress import Look, Preview
from embudo.models.board import as_images
from embudo.report.display import spread
from embudo.report.explorer.subject import Subject, png_uri
from embudo.report.pictures import mosaic

PAUSE = 0.1  #: seconds between looks at what is new
PATIENCE = 5.0  #: seconds that a browser has to come and see, after a training that was shorter
EVERY = 1.0  #: seconds between pictures at least
SHARE = 0.01  #: of the time of a training that pictures may take
MOST_FEATURES = 32  #: that are drawn of a sample that is no image


class Watch(Subject):
    """The losses of a training, and samples with their reconstructions.

    Parameters
    ----------
    title : str
    """

    template = "watch.html"
    summary = "A training, as it goes."

    def __init__(self, title: str) -> None:
        self.title = title
        self.facts, self.calls = {}, {}
        self.rows: list[dict[str, Any]] = []
        self.look: Look | None = None
        self.picture: dict[str, Any] | None = None
        self.next_picture = 0.0
        self.finished = False
        self.told = 0  #: browsers that know the end

    def note(self, stage: str, epoch: Epoch, look: Look | None = None) -> None:
        """Add a row, what an epoch of a stage came to, and where it is time a picture."""
        stage = stage.strip()
        losses = {"loss": epoch.loss} | {f"validation {name}": value for name, value in epoch.validation.items()}
        row = {"stage": stage, "epoch": epoch.number, "losses": losses, "speed": epoch.samples_per_second}
        self.rows.append(row)
        self.look = look
        if time.monotonic() >= self.next_picture:
            self.draw(f"{stage}, epoch {epoch.number}" if stage else f"Epoch {epoch.number}")

    def draw(self, when: str) -> None:
        """Draw how the last network that was trained sees samples, if it is an autoencoder."""
        if self.look is None:
            return
        started = time.monotonic()
        self.picture = {"when": when} | drawn(self.look())
        done = time.monotonic()
        self.next_picture = done + max(EVERY, (done - started) / SHARE)

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """Yield the rows there are and the last picture, those that come, and at the end that it is."""
        sent, shown = 0, None
        while True:
            finished = self.finished  # before the rest is looked at, so that nothing is missed
            for row in self.rows[sent:]:
                sent += 1
                yield row
            if self.picture is not shown:
                shown = self.picture
                yield {"picture": shown}
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


@np.errstate(over="ignore", invalid="ignore")
def drawn(preview: Preview) -> dict[str, Any]:
    """Return samples, what the network was given, and reconstructions, as the page shows them.

    Images are a strip of them each, as data of a PNG file. Of other samples it is the values of the features between
    the least and the greatest among the samples, from 0 to 1.
    """
    samples, shape = preview.samples, preview.shape
    rows = {"samples": samples, "given": preview.given, "reconstructions": preview.reconstructions}
    known = {name: values for name, values in rows.items() if values is not None}
    if shape is not None:
        images = {name: np.nan_to_num(as_images(values, samples, shape)) for name, values in known.items()}
        strips = {name: mosaic(255 * found, len(found), fill=255).astype(np.uint8) for name, found in images.items()}
        return {"images": {name: png_uri(strip) for name, strip in strips.items()}}
    low, high = samples.min(axis=0), samples.max(axis=0)
    varying = np.flatnonzero(high > low)
    chosen = varying[spread(len(varying), MOST_FEATURES)]
    shares = {name: (values - low)[:, chosen] / (high - low)[chosen] for name, values in known.items()}
    lines = {name: np.nan_to_num(values).clip(-0.1, 1.1).round(3).tolist() for name, values in shares.items()}
    return {"lines": lines, "n_shown": len(chosen), "n_features": samples.shape[1]}
