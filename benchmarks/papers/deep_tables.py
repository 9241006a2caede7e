"""Tables and curves of deep networks: what draw.py puts into README.md."""

from __future__ import annotations

import statistics
from pathlib import Path

from tables import Content, Drawing, groups, span, table


def deep(content: Content) -> str:
    head = ("data", "method", "paper", "test error", "training error", "epochs", "CPU minutes")
    rows = []
    for row in sorted(content["results"], key=lambda row: (row["data"], -row["test_error"])):
        kind = "PCA" if row["variant"] == "PCA" else "autoencoder"
        rows.append(
            (
                row["data"],
                row["variant"],
                f"{content['printed'][row['data']][kind]:.2f}",
                f"{row['test_error']:.2f}",
                f"{row['training_error']:.2f}",
                str(row.get("epochs", "")),
                f"{row['cpu_minutes']:.1f}" if "cpu_minutes" in row else "",
            )
        )
    draw_curves(content, Path(__file__).with_name("deep.svg"))
    return table(head, rows) + "\n\n![Test error over the minutes of training](deep.svg)"


def draw_curves(content: Content, path: Path) -> None:
    """Draw the test error over the minutes of a run: greedy levels as points, epochs as lines."""
    import matplotlib

    matplotlib.rcParams["svg.hashsalt"] = "embudo"
    from matplotlib.figure import Figure

    curves = [row for row in content["results"] if "curve" in row]
    data = sorted({row["data"] for row in curves})
    figure = Figure(figsize=(5 * len(data), 3.6), layout="constrained")
    for ax, name in zip(figure.subplots(1, len(data), squeeze=False)[0], data, strict=True):
        for row in sorted((row for row in curves if row["data"] == name), key=lambda row: row["variant"]):
            n_levels = max(len(row["stages"].get("stage", [])) - 1, 0)
            minutes, errors = zip(*row["curve"], strict=True)
            (line,) = ax.plot(minutes[n_levels:], errors[n_levels:], label=row["variant"])
            ax.plot(minutes[:n_levels], errors[:n_levels], "o", color=line.get_color(), markersize=4)
        ax.axhline(content["printed"][name]["autoencoder"], color="gray", linestyle=":", label="the paper's")
        ax.set(title=name, xlabel="minutes", ylabel="squared error on test images", yscale="log")
        ax.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})


def fine_tuning(content: Content) -> str:
    head = (
        "network",
        "paper (%)",
        "test error (%)",
        "validation error (%)",
        "corruption while fine-tuned",
        "lr",
        "units that speak",
        "epochs",
        "minutes",
    )
    return table(
        head,
        [
            (
                row["variant"],
                f"{content['printed'][row['variant']]:.2f}",
                f"{row['test_error']:.2f}",
                f"{row['validation_error']:.2f}",
                f"`{row['corruption']}`" if row["corruption"] else "",
                f"{row['lr']:g}",
                str(row.get("speaking") or ""),
                f"{row['pretraining_epochs']} a level, {row['epochs']}"
                if row["pretraining_epochs"]
                else str(row["epochs"]),
                f"{row['pretraining_minutes'] + row['minutes']:.1f}",
            )
            for row in sorted(of_stage(content, "test"), key=lambda row: row["test_error"])
        ],
    )


def of_stage(content: Content, stage: str) -> list[Content]:
    return [row for row in content["results"] if row["stage"] == stage]


def few_labels(content: Content) -> str:
    rows = of_stage(content, "test")
    labels = [n for (n,) in groups(rows, "labels")]
    cells: dict[str, list[str]] = {}
    for row in rows:
        errors = row["test_errors"]
        spread = f" ± {statistics.stdev(errors):.2f}" if len(errors) > 1 else ""
        cells.setdefault(row["classifier"], []).append(f"{row['mean']:.2f}{spread}")
    return table(("classifier", *(f"{n} labels" for n in labels)), [(name, *found) for name, found in cells.items()])


def hierarchy(content: Content) -> str:
    head = ("level", "units", "test error of a linear probe (%)", "pixels with 90 % of a favourite input")
    return table(
        head,
        [
            (
                row["level"],
                str(row["units"]),
                f"{row['test_error']:.2f}",
                f"{row['extent']:g}" if "extent" in row else "",
            )
            for row in content["results"]
        ],
    )


def stack_cost(content: Content) -> str:
    head = ("compared", "CPU seconds", "of the other", "ratio", "quartiles")
    return table(
        head,
        [
            (
                row["case"],
                f"{row['cpu_seconds']:.2f}",
                f"{row['base_cpu_seconds']:.2f}",
                f"{row['ratio']:.2f}",
                span(row["ratio_quartiles"], ".2f"),
            )
            for row in content["results"]
        ],
    )


#: by name
TABLES: dict[str, Drawing] = {
    "deep": ("papers_deep", deep),
    "fine_tuning": ("papers_fine_tuning", fine_tuning),
    "few_labels": ("papers_few_labels", few_labels),
    "hierarchy": ("papers_hierarchy", hierarchy),
    "stack_cost": ("papers_stack_cost", stack_cost),
}
