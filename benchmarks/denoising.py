"""Gaussian noise taken out of 60 photographs, as grey, by the denoiser that comes with the package and by BM3D.

``python benchmarks/denoising.py --data ../shared/data`` measures embudo, and with ``--bm3d`` BM3D (Dabov, Foi,
Katkovnik and Egiazarian 2007; ``pip install bm3d``), on the same noise, to a file of its own. The images are the first
60 of the test part of BSDS; none of them, nor any other of that part, was learnt from or chose anything.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from common import Report

from embudo import ImageDenoiser
from embudo.data.images import read_image
from embudo.metrics.reconstruction import psnr

SIGMAS = (15, 25, 50)  #: of 255
N_IMAGES = 60

Method = Callable[[np.ndarray, float], np.ndarray]


def embudo_methods() -> dict[str, Method]:
    """Return ways to call the denoiser, each of a noisy image from 0 to 1 and the level of its noise."""
    denoise = ImageDenoiser.pretrained().denoise
    return {
        "embudo, told sigma": lambda noisy, sigma: denoise(noisy, sigma),
        "embudo, blind": lambda noisy, sigma: denoise(noisy),
        "embudo, blind, 1 view": lambda noisy, sigma: denoise(noisy, n_views=1),
        "embudo, blind, 1 view, noise clipped to 8 bits": lambda noisy, sigma: (
            denoise(eight_bits(noisy), n_views=1) / 255
        ),
    }


def bm3d_methods() -> dict[str, Method]:
    from bm3d import bm3d

    return {"BM3D, told sigma": lambda noisy, sigma: np.clip(bm3d(noisy.squeeze(2), sigma), 0, 1)[..., None]}


def eight_bits(noisy: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(255 * noisy), 0, 255).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder that holds bsds/")
    parser.add_argument("--bm3d", action="store_true", help="measure BM3D")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--go-on", action="store_true", help="keep the rows of a run of the same weights that was stopped"
    )
    parser.add_argument("--images", type=int, default=N_IMAGES, help="how many, for a quick look")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    paths = sorted((options.data / "bsds" / "test").glob("*.jpg"))[: options.images]
    report = Report(
        "denoising_bm3d" if options.bm3d else "denoising",
        quick=options.images < N_IMAGES,
        data=f"BSDS test, the first {len(paths)} by name, grey",
        seeds="of the noise: (sigma, number of the image)",
    )
    if options.go_on and report.path.exists():
        report.content["results"] = json.loads(report.path.read_text())["results"]
    done = {(row["image"], row["sigma"], row["method"]) for row in report.content["results"]}
    methods = bm3d_methods() if options.bm3d else embudo_methods()
    for number, path in enumerate(paths):
        clean = read_image(path, "grey") / 255
        for sigma in SIGMAS:
            noise = np.random.default_rng((sigma, number)).normal(0, sigma / 255, clean.shape)
            for name, method in methods.items():
                if (path.name, sigma, name) in done:
                    continue
                started, cpu = time.perf_counter(), time.process_time()
                denoised = method(clean + noise, sigma / 255)
                seconds = round(time.perf_counter() - started, 2)
                cpu_seconds = round(time.process_time() - cpu, 2)
                score = round(psnr(clean, denoised, peak=1), 3)
                report.add(
                    image=path.name, sigma=sigma, method=name, psnr=score, seconds=seconds, cpu_seconds=cpu_seconds
                )


if __name__ == "__main__":
    main()
