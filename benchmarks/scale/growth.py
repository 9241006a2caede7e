"""How the cost of training and encoding grows: with samples, features, size of the code, and layers.

One of the four changes at a time, the others stay as in BASE. The process's own CPU time on one thread, the median of
three runs in an order that turns; the straight line through it by least squares, and how far from it the worst point
lies. Draws growth.svg beside this file too.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks/, for common.py

import matplotlib as mpl
import numpy as np
import torch
from common import Report, parse_arguments
from matplotlib.figure import Figure

from embudo import MLP, Autoencoder, Training

HERE = Path(__file__).parent
BASE = {"samples": 4096, "features": 256, "code": 64, "layers": 0}
AXES = {
    "samples": [1024, 2048, 4096, 8192, 16384, 32768],
    "features": [64, 256, 512, 1024, 2048, 4096],
    "code": [16, 64, 128, 256, 512, 1024],
    "layers": [0, 1, 2, 3, 4, 6],
}
LABELS = {
    "samples": "samples",
    "features": "features",
    "code": "units of the code",
    "layers": "hidden layers of 256 units, on each side",
}
EPOCHS = 4


def seconds(samples: int, features: int, code: int, layers: int) -> dict[str, float]:
    """Return the CPU time of an epoch of training, and of encoding all samples."""
    X = np.random.default_rng(0).random((samples, features), dtype=np.float32)
    training = Training(EPOCHS, batch_size=256, device="cpu", verbose=False)
    ae = Autoencoder(code, encoder=MLP((256,) * layers), training=training, random_state=0)
    times = [time.process_time()]
    ae.fit(X)
    times.append(time.process_time())
    for _ in range(EPOCHS):
        ae.transform(X)
    times.append(time.process_time())
    return {"train": (times[1] - times[0]) / EPOCHS, "encode": (times[2] - times[1]) / EPOCHS}


def straight(values: list[float], costs: list[float]) -> tuple[float, float, float]:
    """Return slope and intercept of the line, fitted for relative errors, and the largest of these."""
    slope, intercept = np.polyfit(values, costs, 1, w=1 / np.asarray(costs))
    line = slope * np.asarray(values) + intercept
    return float(slope), float(intercept), float(np.abs(line / costs - 1).max())


def draw(rows: list[dict[str, Any]]) -> Figure:
    """Return a panel for each of the four."""
    figure = Figure(figsize=(10, 7), layout="constrained")
    for ax, (axis, label) in zip(figure.subplots(2, 2).flat, LABELS.items(), strict=True):
        for what, colour, marker in (("train", "#D55E00", "o"), ("encode", "#0072B2", "s")):
            (row,) = (row for row in rows if row["axis"] == axis and row["what"] == what)
            values, costs = np.asarray(row["values"]), 1000 * np.asarray(row["seconds"])
            ax.plot(values, costs, marker, color=colour, label=f"{what}: an epoch" if what == "train" else what)
            ax.plot(values, 1000 * (row["slope"] * values + row["intercept"]), color=colour, linewidth=1)
        ax.set(xlabel=label, ylabel="CPU time of all samples (ms)", ylim=(0, None))
        ax.grid(alpha=0.3)
        ax.legend(frameon=False)
    return figure


def main() -> None:
    arguments = parse_arguments(__doc__)
    torch.set_num_threads(1)
    report = Report(
        "scale_growth",
        quick=arguments.quick,
        data="uniform numbers, float32",
        base=BASE,
        threads=1,
        epochs=EPOCHS,
    )
    seconds(**BASE)  # the first run pays for imports
    for axis, values in AXES.items():
        chosen = values[:3] if arguments.quick else values
        runs: dict[float, list[dict[str, float]]] = {value: [] for value in chosen}
        for turn in range(1 if arguments.quick else 3):
            for value in chosen[turn:] + chosen[:turn]:
                runs[value].append(seconds(**BASE | {axis: value}))
        for what in ("train", "encode"):
            costs = [statistics.median(run[what] for run in runs[value]) for value in chosen]
            slope, intercept, worst = straight(chosen, costs)
            report.add(
                axis=axis, what=what, values=chosen, seconds=costs, slope=slope, intercept=intercept, worst=worst
            )
    if not arguments.quick:
        mpl.rcParams["svg.hashsalt"] = "embudo"  # the same drawing, the same file
        draw(report.content["results"]).savefig(HERE / "growth.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
