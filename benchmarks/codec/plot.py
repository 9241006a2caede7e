"""Draws the curves of results/codec_rate_distortion.json; a point is the mean over the images at one setting."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from shared import decibels

RESULTS = Path(__file__).parents[1] / "results"
#: Okabe and Ito's colours, told apart by all kinds of eyes; marker; width
STYLES = {
    "embudo": ("#D55E00", "o", 2.4),
    "PCA codec": ("#0072B2", "s", 1.4),
    "JPEG": ("#7F7F7F", "v", 1.4),
    "JPEG 2000": ("#E69F00", "D", 1.4),
    "WebP": ("#56B4E9", "^", 1.4),
    "AVIF": ("#009E73", "P", 1.4),
    "JPEG XL": ("#CC79A7", "X", 1.4),
}


def mean_curve(curves: dict[str, dict[str, list[float]]], metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Return mean bits a pixel and mean distortion by setting; MS-SSIM in decibels."""
    scale = decibels if metric == "ms_ssim" else list
    rates = np.mean([curve["bpp"] for curve in curves.values()], axis=0)
    return rates, np.mean([scale(curve[metric]) for curve in curves.values()], axis=0)


def draw(content: dict[str, Any], data: str, title: str) -> Figure:
    """Return the curves on one set of images: PSNR, and MS-SSIM."""
    figure = Figure(figsize=(11, 5), layout="constrained")
    figure.suptitle(title)
    panels = {"psnr": "PSNR (dB)", "ms_ssim": "MS-SSIM (dB): −10 log₁₀(1 − MS-SSIM)"}
    for ax, (metric, label) in zip(figure.subplots(1, 2), panels.items(), strict=True):
        for row in content["results"]:
            if row["data"] == data:
                colour, marker, width = STYLES[row["codec"]]
                ax.plot(
                    *mean_curve(row["curves"], metric),
                    color=colour,
                    marker=marker,
                    markersize=4.5,
                    linewidth=width,
                    label=row["codec"],
                    zorder=3 if row["codec"] == "embudo" else 2,
                )
        ax.set(xscale="log", xlabel="bits per pixel, whole files", ylabel=label, xlim=(0.08, 4))
        ax.set_xticks([0.1, 0.2, 0.5, 1, 2, 4], ["0.1", "0.2", "0.5", "1", "2", "4"], minor=False)
        ax.xaxis.set_minor_formatter("")
        ax.grid(alpha=0.3)
    ax.legend(frameon=False, loc="lower right")
    return figure


def main() -> None:
    mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "embudo"}
    content = json.loads((RESULTS / "codec_rate_distortion.json").read_text())
    titles = {
        "photos": ("codec_photos.svg", "10 photographs, long side 768"),
        "BSDS": ("codec_bsds.svg", "40 images of BSDS, 321 x 214"),
    }
    measured = {row["data"] for row in content["results"]}
    for data, (name, title) in titles.items():
        if data not in measured:
            continue
        draw(content, data, f"{title}: means over the images").savefig(RESULTS / name, metadata={"Date": None})


if __name__ == "__main__":
    main()
