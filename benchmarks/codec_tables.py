"""The tables of the codec, drawn from its results."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

Content = dict[str, Any]
Curves = dict[str, dict[str, list[float]]]

RATES = (0.25, 0.5, 1.0, 2.0)  #: bits a pixel
LEVELS = (28, 30, 32, 34, 36, 38)  #: dB


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def curves_of(content: Content, data: str) -> dict[str, Curves]:
    """Return the curves of each codec, by image, on one set of images."""
    return {row["codec"]: row["curves"] for row in content["results"] if row["data"] == data}


def at(x: float, xs: Sequence[float], ys: Sequence[float]) -> float:
    """Return y at x on a curve, interpolated; NaN beyond its ends."""
    order = np.argsort(xs)
    return float(np.interp(x, np.asarray(xs)[order], np.asarray(ys)[order], left=math.nan, right=math.nan))


def means_at(codecs: dict[str, Curves], x: float, key: str, value: str) -> tuple[int, dict[str, float]]:
    """Return the mean of `value` where `key` is `x`, by codec, over the images whose curves all reach there."""
    logarithm = np.log if value == "bpp" else np.asarray
    found = {
        name: np.array([at(x, curve[key], logarithm(curve[value])) for curve in curves.values()])
        for name, curves in codecs.items()
    }
    reached = np.isfinite(list(found.values())).all(axis=0)
    exponential = np.exp if value == "bpp" else np.asarray
    return int(reached.sum()), {
        name: float(exponential(values[reached].mean())) if reached.any() else math.nan
        for name, values in found.items()
    }


def rate_distortion(content: Content) -> str:
    found = {(row["data"], row["codec"]): row for row in content["results"]}
    sets, names = (list(dict.fromkeys(column)) for column in zip(*found, strict=True))
    names.sort(key=lambda name: found[sets[0], name]["bd_rate"]["psnr"])
    rows = []
    for name in names:
        cells = []
        for row in (found.get((data, name)) for data in sets):
            each = sorted(rate["psnr"] for rate in row["bd_rates"].values()) if row else []
            means = [f"{row['bd_rate'][metric]:.1f}" for metric in ("psnr", "ms_ssim")] if row else ["", ""]
            cells += [means[0], f"{each[0]:.0f} to {each[-1]:.0f}" if row else "", means[1]]
        rows.append((name, *cells))
    head = [f"{data}: {what}" for data in sets for what in ("PSNR", "least to greatest", "MS-SSIM")]
    return table(("codec", *head), rows)


def by_columns(content: Content, key: str, value: str, columns: Sequence[float], unit: str, form: str) -> str:
    """Return the table of means of `value` where `key` is each of `columns`, on the photographs."""
    codecs = curves_of(content, "photos")
    found = [means_at(codecs, x, key, value) for x in columns]
    rows = [
        (name, *("" if math.isnan(mean[name]) else format(mean[name], form) for _, mean in found)) for name in codecs
    ]
    rows.append(("images", *(str(n) for n, _ in found)))
    return table(("codec", *(f"{x:g} {unit}" for x in columns)), rows)


def bits_at_equal_psnr(content: Content) -> str:
    return by_columns(content, "psnr", "bpp", LEVELS, "dB", ".3f")


def psnr_at_equal_size(content: Content) -> str:
    return by_columns(content, "bpp", "psnr", RATES, "bits/pixel", ".2f")


def ms_ssim_at_equal_size(content: Content) -> str:
    return by_columns(content, "bpp", "ms_ssim", RATES, "bits/pixel", ".4f")


def monotone(content: Content) -> str:
    rows = []
    for data in dict.fromkeys(row["data"] for row in content["results"]):
        found = [row for row in content["results"] if row["data"] == data]
        rows.append(
            (
                data,
                str(len(found)),
                str(99 * len(found)),
                *(str(sum(row[key] for row in found)) for key in ("steps_not_larger", "steps_not_better")),
                f"{min(row['least_growth_bytes'] for row in found)}",
                f"{min(row['least_gain_db'] for row in found):.3f}",
            )
        )
    head = ("data", "images", "steps", "not larger", "not better", "least growth (bytes)", "least gain (dB)")
    return table(head, rows)


def scaling(content: Content) -> str:
    rows = []
    for row in content["results"]:
        pixels = row["height"] * row["width"]
        both = [
            (
                f"{row[f'{what}_seconds']:.2f}",
                f"{row[f'{what}_cpu_seconds']:.2f}",
                f"{row[f'{what}_cpu_seconds'] / pixels * 1e6:.2f}",
                f"{row[f'{what}_mib']:.0f}",
            )
            for what in ("encode", "decode")
        ]
        rows.append((f"{row['width']} x {row['height']}", f"{pixels * 3 / 2**20:.1f}", *both[0], *both[1]))
    columns = ("s", "CPU s", "CPU s/Mpixel", "MiB beside it")
    head = (f"{what} ({column})" for what in ("encode", "decode") for column in columns)
    return table(("pixels", "image (MiB)", *head), rows)


def narrow_domain(content: Content) -> str:
    rows = [
        (
            row["domain"],
            "together" if row["together"] else "one a file",
            f"{row['codec']}, quality {row['quality']}",
            f"{row['bytes_each']:,.0f}",
            f"{row['embudo_bytes_each']:,.0f}",
            f"{row['psnr']:.2f}",
            f"{row['embudo_psnr']:.2f}",
            f"{row['embudo_psnr'] - row['psnr']:+.2f}",
            f"{row['embudo_better_on']} of {row['files']}",
        )
        for row in sorted(content["results"], key=lambda row: (row["domain"], row["together"]))
        if row["files"]
    ]
    head = (
        "pictures",
        "files",
        "format",
        "bytes each",
        "embudo's",
        "PSNR",
        "embudo's",
        "gain (dB)",
        "embudo is better on",
    )
    return table(head, rows)


def narrow_codecs(content: Content) -> str:
    rows = {}
    for row in content["results"]:
        scores = ", ".join(f"{block}: {score:.2f}" for block, score in row["psnr_of_blocks"].items())
        rows[row["domain"]] = (
            row["domain"],
            str(row["learnt_from"]),
            str(row["block"]),
            scores,
            f"{row['cpu_seconds']:.0f}",
        )
    head = (
        "pictures",
        "learnt from",
        "block",
        "PSNR at 2 bits/pixel by block, to choose it",
        "CPU seconds, choice included",
    )
    return table(head, list(rows.values()))
