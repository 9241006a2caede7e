"""Draws the tables of README.md here from ../results/papers_*.json, between the lines that mark their places."""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks/, for tables.py

import deep_tables
from tables import Content, Drawing, fill, groups, span, table


def k_sparse(content: Content) -> str:
    head = (
        "features",
        "paper (%)",
        "test error (%)",
        "validation error (%)",
        "units that speak",
        "dead units (%)",
        "epochs",
        "CPU minutes",
        "parts",
    )
    rows = []
    for row in sorted(content["results"], key=lambda row: -row["test_error"]):
        printed, chosen = content["printed"].get(row["variant"]), row["chosen"]
        rows.append(
            (
                row["variant"],
                f"{printed:.2f}" if printed else "",
                f"{row['test_error']:.2f}",
                f"{chosen['validation_error']:.2f}",
                str(chosen["k_encode"] or ""),
                f"{row['dead_percent']:.1f}" if "dead_percent" in row else "",
                str(row["epochs"] or ""),
                f"{row['cpu_minutes']:.1f}",
                f"`{row['parts']}`" if row["parts"] else "",
            )
        )
    return table(head, rows)


def contraction(content: Content) -> str:
    printed = content["printed"]
    head = (
        "variant",
        "strength",
        "mean of norm",
        "mean of norm²",
        "norm² / (784 · 1000)",
        "printed",
        "saturation",
        "error",
        "validation error (%)",
        "chosen",
        "minutes",
    )
    rows = []
    for (variant,), runs in groups(content["results"], "variant").items():
        least = min(run["validation_error_percent"] for run in runs)
        for run in runs:
            chosen = run["validation_error_percent"] == least
            rows.append(
                (
                    variant,
                    f"`{run['strength']}`" if run["strength"] else "",
                    f"{run['norm']:.2f}",
                    f"{run['squared_norm']:.1f}",
                    f"{run['squared_norm_by_entries']:.2e}",
                    f"{printed[variant]:.2e}" if chosen and variant in printed else "",
                    f"{run['saturation']:.0%}",
                    f"{run['error']:.2f}",
                    f"{run['validation_error_percent']:.2f}",
                    "yes" if chosen else "",
                    f"{run['minutes']:.1f}",
                )
            )
    return table(head, rows)


def robustness(content: Content) -> str:
    levels = [level for (level,) in groups(content["results"], "noise")]
    measures = {
        "code": "change of code",
        "code_by_spread": "the same by spread",
        "reconstruction": "change of reconstruction",
        "distance_from_clean": "distance from clean image",
    }
    head = ("measure", "variant", "without noise", *(f"std {level:g}" for level in levels))
    rows = []
    for measure, name in measures.items():
        for (variant,), runs in groups(content["results"], "variant").items():
            without = statistics.mean(run["distance_without_noise"] for run in runs)
            cells = [[run[measure] for run in runs if run["noise"] == level] for level in levels]
            rows.append(
                (
                    name,
                    variant,
                    f"{without:.3f}" if measure == "distance_from_clean" else "0",
                    *(f"{statistics.mean(cell):.3f}" for cell in cells),
                )
            )
    return table(head, rows)


def mean_activation(content: Content) -> str:
    head = ("penalty", "mean activation", "off rho (%)", "off on test images (%)", "units within 10 %", "minutes")
    return table(
        head,
        [
            (
                f"`{row['rule']}`",
                f"{row['mean_activation']:.4f}",
                f"{row['off_by_percent']:.1f}",
                f"{row['off_by_percent_test']:.1f}",
                f"{row['units_within_10_percent']:.0%}",
                f"{row['minutes']:.1f}",
            )
            for row in content["results"]
            if row["kind"] == "mean activation"
        ],
    )


def speaking_units(content: Content) -> str:
    head = ("rule", "units a row: least, mean, most", "on test images", "dead units (%)", "test error", "minutes")
    return table(
        head,
        [
            (
                f"`{row['rule']}`",
                f"{row['least']}, {row['mean']:g}, {row['most']}",
                f"{row['mean_test']:g}",
                f"{row['dead_percent']:.1f}",
                f"{row['error_test']:.2f}",
                f"{row['minutes']:.1f}",
            )
            for row in content["results"]
            if row["kind"] == "units that speak"
        ],
    )


def sparse_memory(content: Content) -> str:
    head = (
        "rows",
        "units",
        "units a row",
        "dense (GB)",
        "CSR (GB)",
        "grown by (GB)",
        "peak on the way (GB)",
        "minutes",
    )
    rows = [
        (
            f"{row['rows']:,}",
            str(row["units"]),
            span([row["least"], row["most"]], "d"),
            f"{row['dense_gb']:.1f}",
            f"{row['held_gb']:.2f}",
            f"{row['grown_gb']:.2f}",
            f"{row['peak_gb']:.2f}",
            f"{row['seconds'] / 60:.1f}",
        )
        for row in content["results"]
    ]
    return table(head, rows)


def cost(content: Content) -> str:
    head = ("composition", "ms a step", "ratio to the plain step", "quartiles", "ratio of elapsed time", "limit")
    return table(
        head,
        [
            (
                f"{row['composition']}",
                f"{row['cpu_ms']:.1f}",
                f"{row['ratio']:.2f}",
                span(row["ratio_quartiles"], ".2f"),
                f"{row['elapsed_ratio']:.2f}",
                f"{row['limit']:.2f}" if row["limit"] > 1 else "",
            )
            for row in content["results"]
        ],
    )


#: by name
TABLES: dict[str, Drawing] = {
    "k_sparse": ("papers_k_sparse", k_sparse),
    "contraction": ("papers_contraction", contraction),
    "robustness": ("papers_robustness", robustness),
    "mean_activation": ("papers_sparsity_at_its_word", mean_activation),
    "speaking_units": ("papers_sparsity_at_its_word", speaking_units),
    "sparse_memory": ("papers_sparse_memory", sparse_memory),
    "cost": ("papers_cost", cost),
    **deep_tables.TABLES,
}


if __name__ == "__main__":
    fill(Path(__file__).with_name("README.md"), TABLES)
