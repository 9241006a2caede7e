"""Draws the tables of README.md here from ../results/, between the lines that mark their places, and the curves."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks/, for tables.py

import matplotlib as mpl
from common import RESULTS
from matplotlib.figure import Figure
from tables import Content, fill, groups, span, table
from wide import PEERS, PRODUCT

HERE = Path(__file__).parent


def memory(content: Content) -> str:
    head = (
        "data",
        "from",
        "peak, MiB above the model",
        "rows/s while training",
        "of memory's",
        "fit, s",
        "speed of memory's fit",
        "fit, CPU s",
        "encode to .npy, CPU s",
        "loss of the epoch",
        "runs",
        "load average",
    )
    found = groups(content["results"], "size", "how")
    rows = []
    for (size, how), runs in found.items():
        beside = found.get((size, "memory"), found[("1 GB", "memory")])
        fit = ratio(runs, beside, lambda run: run["rows"] / run["fit_seconds"])
        learns = "loss" in runs[0]
        training = ratio(runs, beside, lambda run: run["samples_per_second"]) if learns else ""
        rows.append(
            (
                size,
                how,
                span([max(run["peak_mib"], run["peak_encoding_mib"]) for run in runs], ",.0f"),
                span([run["samples_per_second"] for run in runs], ",.0f") if learns else "",
                training,
                span([run["fit_seconds"] for run in runs], ".1f"),
                fit,
                span([run["fit_cpu_seconds"] for run in runs], ".1f"),
                span([run["encode_cpu_seconds"] for run in runs], ".1f"),
                span([run["loss"] for run in runs], ".2f") if learns else "",
                str(len(runs)),
                span([run["load"] for run in runs], ".1f"),
            )
        )
    return table(head, rows)


def ratio(runs: list[Content], beside: list[Content], speed: Callable[[Content], float]) -> str:
    """Return the median speed of some runs as a multiple of that of others."""
    return f"{statistics.median(map(speed, runs)) / statistics.median(map(speed, beside)):.2f}"


def epochs(content: Content) -> str:
    where = (1, 5, 10, 20, 30)
    rows = [
        (
            system,
            *(span([run["samples_per_second"][epoch - 1] for run in runs], ",.0f") for epoch in where),
            span([run["loss"] for run in runs], ".1f"),
        )
        for (system,), runs in groups(content["results"], "system").items()
    ]
    return table(("system", *(f"samples/s, epoch {epoch}" for epoch in where), "loss of the last"), rows)


def processes(content: Content) -> str:
    head = (
        "composition",
        "batch",
        "processes x threads",
        "samples/s",
        "of one process's",
        "greatest difference of an epoch's loss",
        "runs",
        "load average",
    )
    runs_of = groups(content["results"], "composition", "processes", "threads")
    rows = []
    for (name, n_processes, n_threads), runs in runs_of.items():
        speeds, one = ([run["samples_per_second"] for run in found] for found in (runs, runs_of[(name, 1, 1)]))
        losses = zip(runs[0]["losses"], runs_of[(name, 1, 1)][0]["losses"], strict=True)
        rows.append(
            (
                name,
                str(runs[0]["batch_size"]),
                f"{n_processes} x {n_threads}",
                span(speeds, ",.0f"),
                f"{statistics.median(speeds) / statistics.median(one):.2f}",
                f"{max(abs(loss - expected) / expected for loss, expected in losses):.1g}",
                str(len(runs)),
                span([run["load"] for run in runs], ".1f"),
            )
        )
    return table(head, sorted(rows, key=lambda row: (list(content["compositions"]).index(row[0]), row[2])))


def sharding(content: Content) -> str:
    head = (
        "network",
        "weights, gradient, moments",
        "peak of a process, MiB",
        "times the weights",
        "ms a step, median",
        "runs",
        "load average",
    )
    rows = []
    for (size, how), runs in sorted(groups(content["results"], "size", "how").items()):
        weights = runs[0]["weights_mib"]
        rows.append(
            (
                f"{size}: {weights:.0f} MiB",
                how,
                span([run["peak_mib"] for run in runs], ",.0f"),
                span([run["peak_mib"] / weights for run in runs], ".1f"),
                span([1000 * run["median_seconds"] for run in runs], ",.0f"),
                str(len(runs)),
                span([run["load"] for run in runs], ".1f"),
            )
        )
    return table(head, rows)


def growth(content: Content) -> str:
    head = ("with more", "from", "to", "CPU ms of an epoch", "CPU ms to encode", "furthest from the straight line")
    rows = []
    for (axis,), (train, encode) in groups(content["results"], "axis").items():
        ends = [f"{1000 * row['seconds'][0]:.1f} to {1000 * row['seconds'][-1]:.1f}" for row in (train, encode)]
        worst = f"{train['worst']:.0%}, {encode['worst']:.0%}"
        rows.append((axis, f"{train['values'][0]:,}", f"{train['values'][-1]:,}", *ends, worst))
    return table(head, rows)


def kills(content: Content) -> str:
    head = ("training", "kills", "starts", "weights and history")
    same = {True: "the same bits", False: "**differ**"}
    return table(
        head,
        [(row["model"], str(row["kills"]), str(row["starts"]), same[row["same_bits"]]) for row in content["results"]],
    )


def wide(content: Content) -> str:
    head = (
        "features to units",
        "system",
        "ms a step, median",
        "least",
        "embudo is times as fast",
        "peak, MiB",
        "above weights and moments",
        "embudo's share of that",
    )
    found = groups(content["results"], "size", "system")

    def time_of(size: str, system: str) -> float:
        return statistics.median(seconds for run in found[size, system] for seconds in run["seconds"])

    def above(size: str, system: str) -> float:
        return statistics.median(run["peak_mib"] - run["state_mib"] for run in found[size, system])

    rows = []
    for (size, system), runs in sorted(found.items(), key=lambda item: (item[0][0], -time_of(*item[0]))):
        trains = system != PRODUCT
        rows.append(
            (
                size,
                f"{system} {content['peers'][PEERS[system]]}" if system in PEERS else system,
                f"{1000 * time_of(size, system):,.0f}",
                f"{min(1000 * seconds for run in runs for seconds in run['seconds']):,.0f}",
                f"{time_of(size, system) / time_of(size, 'embudo'):.2f}",
                f"{statistics.median(run['peak_mib'] for run in runs):,.0f}" if trains else "",
                f"{above(size, system):,.0f}" if trains else "",
                f"{above(size, 'embudo') / above(size, system):.2f}" if trains else "",
            )
        )
    return table(head, rows)


def draw_curves(content: Content) -> None:
    """Draw the losses of one process as lines and those of two as rings, in results/scale_processes.svg."""
    mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "embudo"}
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for number, name in enumerate(content["compositions"]):
        for n_processes, style in ((1, "-"), (2, "o")):
            runs = groups(content["results"], "composition", "processes", "threads").get((name, n_processes, 1), [])
            for run in runs[:1]:
                label = name if n_processes == 1 else None
                losses = run["losses"]
                epochs = range(1, len(losses) + 1)
                axes.plot(epochs, losses, style, color=f"C{number}", label=label, fillstyle="none", markersize=8)
    axes.set(xlabel="epoch", ylabel="loss", yscale="log", title="One process (lines) and two (rings), the same batches")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(RESULTS / "scale_processes.svg", metadata={"Date": None})


if __name__ == "__main__":
    drawn = (memory, processes, epochs, sharding, growth, kills, wide)
    drawings = {drawn_by.__name__: drawn_by for drawn_by in drawn}
    fill(HERE / "README.md", {name: (f"scale_{name}", drawn_by) for name, drawn_by in drawings.items()})
    draw_curves(json.loads((RESULTS / "scale_processes.json").read_text()))
