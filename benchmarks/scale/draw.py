"""Draws the table of README.md here from ../results/scale_memory.json, between the lines that mark its place."""

from __future__ import annotations

import json
import re
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks/, for tables.py

from tables import Content, facts, groups, span, table

HERE = Path(__file__).parent


def memory(content: Content) -> str:
    head = (
        "data",
        "from",
        "peak, MiB above the model",
        "rows/s while training",
        "fit, CPU s",
        "CPU of memory's",
        "encode to .npy, CPU s",
        "loss of the epoch",
        "runs",
        "load average",
    )
    cpu = {
        key: statistics.median(run["fit_cpu_seconds"] / run["rows"] for run in runs)
        for key, runs in groups(content["results"], "size", "how").items()
    }
    rows = []
    for (size, how), runs in groups(content["results"], "size", "how").items():
        of_memory = cpu.get((size, "memory"), cpu[("1 GB", "memory")])
        rows.append(
            (
                size,
                how,
                span([max(run["peak_mib"], run["peak_encoding_mib"]) for run in runs], ",.0f"),
                span([run["samples_per_second"] for run in runs], ",.0f"),
                span([run["fit_cpu_seconds"] for run in runs], ".1f"),
                f"{cpu[(size, how)] / of_memory:.2f}",
                span([run["encode_cpu_seconds"] for run in runs], ".1f"),
                span([run["loss"] for run in runs], ".2f"),
                str(len(runs)),
                span([run["load"] for run in runs], ".1f"),
            )
        )
    return table(head, rows)


def main() -> None:
    readme = HERE / "README.md"
    content = json.loads((HERE.parent / "results" / "scale_memory.json").read_text())
    text = re.sub(
        r"(<!-- table memory -->\n).*?(<!-- end -->)",
        lambda place: f"{place[1]}{memory(content)}\n\n{facts(content)}\n{place[2]}",
        readme.read_text(),
        flags=re.DOTALL,
    )
    readme.write_text(text)


if __name__ == "__main__":
    main()
