"""Draws the tables of README.md from the files in results/, between the lines that mark their places."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import bench_peers
import codec_tables
from codec_tables import table
from common import RESULTS

NOISE = 0.15  #: cores used by others beyond which bench_peers.py leaves a run out
Content = dict[str, Any]
#: name of the results, and what draws a table of them
Drawing = tuple[str, Callable[[Content], str]]


def span(values: Sequence[float], form: str) -> str:
    """Return the least and the greatest value, or the one there is."""
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low} to {high}"


def groups(rows: Sequence[Content], *keys: str) -> dict[tuple[Any, ...], list[Content]]:
    """Return the rows that share the values of `keys`, in order."""
    grouped: dict[tuple[Any, ...], list[Content]] = {}
    for row in rows:
        grouped.setdefault(tuple(row[key] for key in keys), []).append(row)
    return grouped


def pca(content: Content) -> str:
    head = (
        "data",
        "k",
        "init",
        "tied",
        "seeds",
        "largest angle (degrees)",
        "error above PCA's (%)",
        "seconds",
        "training",
    )
    rows = [
        (
            data,
            str(k),
            init,
            "yes" if tied else "no",
            str(len(runs)),
            span([run["angle_degrees"] for run in runs], ".2g"),
            span([max(0.0, run["excess_percent"]) for run in runs], ".1g"),
            span([run["seconds"] for run in runs], ".0f"),
            f"`{training}`" if training != "none" else training,
        )
        for (data, k, init, tied, training), runs in groups(
            content["results"], "data", "n_components", "init", "tied", "training"
        ).items()
    ]
    return table(head, rows)


def beyond_pca(content: Content) -> str:
    head = (
        "k",
        "PCA",
        "autoencoder",
        "share of PCA's",
        "on training images",
        "seeds",
        "seconds",
        "encoder",
        "epochs",
        "lr",
    )
    rows = []
    for (k,), runs in groups([r for r in content["results"] if r["stage"] == "test"], "n_components").items():
        first = runs[0]
        errors = [run["test_error"] for run in runs]
        rows.append(
            (
                str(k),
                f"{first['pca_error']:.2f}",
                span(errors, ".2f"),
                f"{statistics.mean(errors) / first['pca_error']:.2f}",
                span([run["train_error"] for run in runs], ".2f"),
                str(len(runs)),
                span([run["seconds"] for run in runs], ".0f"),
                f"`{first['encoder']}`",
                str(first["epochs"]),
                f"{first['lr']:g}",
            )
        )
    return table(head, rows)


def selection(content: Content) -> str:
    rows = [row for row in content["results"] if row["stage"] == "selection"]
    sizes = list(groups(rows, "n_components"))
    head = ("encoder", "lr", *(f"k = {k}" for (k,) in sizes))
    return table(
        head,
        [
            (f"`{encoder}`", f"{lr:g}", *(f"{run['validation_error']:.2f}" for run in runs))
            for (encoder, lr), runs in groups(rows, "encoder", "lr").items()
        ],
    )


def defaults(content: Content) -> str:
    names = [name for (name,) in groups(content["results"], "data")]
    rows = []
    for (encoder, training), runs in groups(content["results"], "encoder", "training").items():
        shares = {run["data"]: run["share_of_pca"] for run in runs}
        mean = statistics.geometric_mean(shares.values())
        seconds = sum(run["seconds"] for run in runs)
        cells = [f"{shares[name]:.2f}" if name in shares else "" for name in names]
        rows.append((encoder, training, *cells, f"{mean:.2f}", f"{max(shares.values()):.2f}", f"{seconds:.0f}"))
    return table(("encoder", "training", *names, "geometric mean", "worst", "seconds in all"), rows)


def convolutions(content: Content) -> str:
    head = ("encoder", "weights", "weight decay", "epochs", "error, unseen people", "on people learnt", "CPU seconds")
    rows = []
    for run in [run for run in content["results"] if run["stage"] == "test" and run["kind"] == "PCA"]:
        rows.append(("PCA", "", "", "", f"{run['test_error']:.2f}", "", ""))
    for kind in ("dense", "convolutional"):
        runs = [run for run in content["results"] if run["stage"] == "test" and run["kind"] == kind]
        first = runs[0]
        rows.append(
            (
                f"`{first['encoder']}`",
                f"{first['weights']:,}",
                f"{first['weight_decay']:g}",
                str(first["epochs"]),
                span([run["test_error"] for run in runs], ".2f"),
                span([run["train_error"] for run in runs], ".2f"),
                span([run["cpu_seconds"] for run in runs], ".0f"),
            )
        )
    return table(head, rows)


def ranking(content: Content) -> str:
    """Draw the means over all sets that a detector has been through, by protocol."""
    rows = [row for row in content["results"] if row["measure"] == "ranking"]
    found = groups(rows, "detector", "protocol")

    def cells(detector: str, protocol: str) -> tuple[str, str, str]:
        runs = found.get((detector, protocol))
        if runs is None:
            return "", "", ""
        seconds = sum(run["cpu_seconds"] for run in runs) / len({run["seed"] for run in runs})
        auroc, ap = (statistics.fmean(run[measure] for run in runs) for measure in ("auroc", "ap"))
        return f"{auroc:.3f}", f"{ap:.3f}", f"{seconds:.0f}"

    head = ("detector", *("clean: AUROC", "AP", "CPU s"), *("polluted: AUROC", "AP", "CPU s"))
    detectors = dict.fromkeys(row["detector"] for row in rows)
    return table(head, [(name, *cells(name, "clean"), *cells(name, "polluted")) for name in detectors])


def false_alarms(content: Content) -> str:
    """Draw the shares of new normal rows that were flagged, mean and deviation over splits."""
    rows = [row for row in content["results"] if row["measure"] == "false alarms"]
    lines = []
    for (name,), mine in groups(rows, "set").items():
        cells = {row["asked"]: f"{row['got']:.4f} ± {row['deviation']:.4f}" for row in mine}
        lines.append((name, str(mine[0]["calibrated_on"]), str(mine[0]["new"]), *map(cells.get, (0.01, 0.05))))
    means = [f"{statistics.fmean(row['got'] for row in rows if row['asked'] == asked):.4f}" for asked in (0.01, 0.05)]
    head = ("set", "rows to calibrate by", "new normal rows", "flagged of 0.01", "flagged of 0.05")
    return table(head, [*lines, ("mean", "", "", *means)])


def denoising(content: Content) -> str:
    rows = content["results"]
    peer = RESULTS / "denoising_bm3d.json"
    if peer.exists():
        rows = rows + json.loads(peer.read_text())["results"]
    methods = groups(rows, "method")
    common = set.intersection(
        *({row["image"] for row in found} for found in groups(rows, "method", "sigma").values())
    )  # where a measurement was stopped
    table_rows = []
    for (method,), found in methods.items():
        by_sigma = groups([row for row in found if row["image"] in common], "sigma")
        means = [f"{statistics.mean(row['psnr'] for row in group):.2f}" for group in by_sigma.values()]
        seconds = statistics.median(row["cpu_seconds"] for row in found)
        table_rows.append((method, *means, str(len(common)), f"{seconds:.1f}"))
    sigmas = [sigma for (sigma,) in groups(rows, "sigma")]
    head = ("method", *(f"sigma {sigma}" for sigma in sigmas), "images", "CPU seconds an image, median")
    return table(head, table_rows)


def maps(content: Content) -> str:
    head = ("model", "code", "kNN accuracy", "trustworthiness", "squared error", "with", "epochs", "CPU minutes")
    rows = [
        (
            run["model"],
            str(run["n_components"]),
            f"{run['knn_accuracy']:.3f}",
            f"{run['trustworthiness']:.3f}",
            f"{run['reconstruction_error']:.2f}" if "reconstruction_error" in run else "",
            f"`{run['params'][1:-1]}`" if run.get("params", "{}") != "{}" else "",
            str(run.get("epochs", "")),
            f"{run['cpu_minutes']:.1f}",
        )
        for run in sorted(content["results"], key=lambda run: run["n_components"])
        if run["stage"] == "test"
    ]
    return table(head, rows)


def startup(content: Content) -> str:
    head = ("command", "median (s)", "least (s)", "beyond Python (s)", "limit (s)")
    rows = [
        (
            f"`{run['what']}`",
            f"{run['median']:.3f}",
            f"{run['least']:.3f}",
            f"{run['beyond_python']:.3f}",
            f"{run['limit']:g}" if run["limit"] else "",
        )
        for run in content["results"]
    ]
    return table(head, rows)


def explorer(content: Content) -> str:
    head = ("what is moved", "moves", "painted, median (ms)", "next frame, median (ms)", "greatest (ms)", "limit (ms)")
    rows = [
        (
            run["what"],
            str(run["moves"]),
            *(f"{run[name]:,.0f}" for name in ("painted", "shown", "greatest")),
            f"{run['limit']:g}" if run["limit"] else "",
        )
        for run in content["results"]
    ]
    return table(head, rows)


def output_width(content: Content) -> str:
    found = groups(content["results"], "composition")
    widths = sorted({run["width"] for run in content["results"]}, reverse=True)
    rows = []
    for (name,), runs in found.items():
        by_width = {run["width"]: run for run in runs}
        errors = [f"{by_width[width]['error']:,.4g}" for width in widths]
        dead = [f"{by_width[width]['dead_share']:.0%}" for width in (1.0, 0.1)]
        rows.append((name, *errors, *dead))
    return table(("composition", *(f"error, {width:g}" for width in widths), "dead, 1", "dead, 0.1"), rows)


def speed(work: str) -> Callable[[Content], str]:
    """Return what draws the table of one work item of bench_peers.py."""

    def draw_work(content: Content) -> str:
        unit, metric = bench_peers.UNIT[work]
        lower, rows = unit.startswith("us"), []
        for name, entry in content[work].items():
            runs, _ = bench_peers.clean(entry, NOISE)
            if not runs or name in {"limit_mkl", "limit_openblas"}:
                continue
            median = statistics.median(map(metric, runs))
            ratio = bench_peers.paired(content[work]["embudo"], entry, metric, lower, NOISE)
            rows.append((median, (name, f"{median:,.0f}", f"{ratio:.2f}", str(len(runs)))))
        rows.sort(key=lambda row: row[0], reverse=not lower)
        return table(("system", unit, "embudo is times as fast", "runs"), [row for _, row in rows])

    return draw_work


#: by name
TABLES: dict[str, Drawing] = {
    "pca": ("pca", pca),
    "beyond_pca": ("beyond_pca", beyond_pca),
    "selection": ("beyond_pca", selection),
    "defaults": ("defaults", defaults),
    "convolutions": ("convolutions", convolutions),
    "output_width": ("output_width", output_width),
    "anomaly_ranking": ("anomaly", ranking),
    "false_alarms": ("anomaly", false_alarms),
    "rate_distortion": ("codec_rate_distortion", codec_tables.rate_distortion),
    "bits_at_equal_psnr": ("codec_rate_distortion", codec_tables.bits_at_equal_psnr),
    "psnr_at_equal_size": ("codec_rate_distortion", codec_tables.psnr_at_equal_size),
    "ms_ssim_at_equal_size": ("codec_rate_distortion", codec_tables.ms_ssim_at_equal_size),
    "monotone": ("codec_monotone", codec_tables.monotone),
    "scaling": ("codec_scaling", codec_tables.scaling),
    "narrow_domain": ("codec_narrow_domain_linear", codec_tables.narrow_domain),
    "narrow_codecs": ("codec_narrow_domain_linear", codec_tables.narrow_codecs),
    "denoising": ("denoising", denoising),
    "maps": ("maps", maps),
    "startup": ("startup", startup),
    "explorer": ("explorer", explorer),
    "speed_training": ("speed", speed("W1")),
    "speed_encoding": ("speed", speed("W2")),
    "speed_small": ("speed", speed("W3")),
}


def facts(content: Content) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in content["versions"].items())
    runs = [run_of(run) for run in (content, *content.get("earlier", ()))]
    system = f"{content['cpus']} CPUs, Python {content['python']}, {versions}"
    return f"{'; before that, for the other rows, '.join(runs)}. {system}."


def run_of(content: Content) -> str:
    load = content["load_before"][0], content["load_after"][0]
    took = f"{content['date']}, {content['seconds']:.0f} s in all, load average {span(load, '.1f')}"
    return f"`{content['command']}`: {took}"


def draw(name: str, tables: Mapping[str, Drawing]) -> str:
    results, drawn_by = tables[name]
    path = RESULTS / f"{results}.json"
    if not path.exists():
        return "Not measured yet."
    content = json.loads(path.read_text())
    return f"{drawn_by(content)}\n\n{facts(content)}" if "command" in content else drawn_by(content)


def fill(page: Path, tables: Mapping[str, Drawing]) -> None:
    """Draw the tables of a page anew, between the lines that mark their places."""
    text = re.sub(
        r"(<!-- table (\w+) -->\n).*?(<!-- end -->)",
        lambda place: f"{place[1]}{draw(place[2], tables)}\n{place[3]}",
        page.read_text(),
        flags=re.DOTALL,
    )
    page.write_text(text)


if __name__ == "__main__":
    fill(Path(__file__).with_name("README.md"), TABLES)
