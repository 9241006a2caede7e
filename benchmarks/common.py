"""What the benchmarks share: the command line, MNIST, and results with the facts of the run beside them."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shlex
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from embudo.data.readers import read

RESULTS = Path(__file__).parent / "results"
LIBRARIES = ("embudo", "torch", "scikit-learn", "numpy", "scipy")


def parse_arguments(description: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder that holds mnist/ and others")
    parser.add_argument("--quick", action="store_true", help="a small run that only shows that the script works")
    return parser.parse_args()


def load_mnist(folder: Path, part: str) -> np.ndarray:
    """Return the images of `part`, "train" (60000) or "test" (10000), as float32 rows of 784 values in [0, 1]."""
    name = {"train": "train", "test": "t10k"}[part]
    images = read(folder / "mnist" / f"{name}-images-idx3-ubyte.gz")
    return images.reshape(len(images), -1).astype(np.float32) / 255


class Report:
    """Rows of results, written to ``results/<name>.json`` after each one, so that a killed run keeps what it has.

    Parameters
    ----------
    name : str
        Of the script. A quick run writes to ``<name>.quick.json``.
    quick : bool
    **facts
        Data, split, seeds and the like.
    """

    def __init__(self, name: str, *, quick: bool, **facts: Any) -> None:
        self.path = RESULTS / f"{name}{'.quick' if quick else ''}.json"
        self.started = time.perf_counter()
        self.content: dict[str, Any] = {
            "command": shlex.join(["python", *sys.argv]),
            "date": time.strftime("%Y-%m-%d"),
            "python": platform.python_version(),
            "versions": {library: version(library) for library in LIBRARIES},
            "cpu": platform.processor() or platform.machine(),
            "cpus": os.cpu_count(),
            "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
            "load_before": os.getloadavg(),
            **facts,
            "results": [],
        }

    def add(self, **row: Any) -> None:
        """Add a row, print it, and write the file anew."""
        self.content["results"].append(row)
        self.content["load_after"] = os.getloadavg()
        self.content["seconds"] = round(time.perf_counter() - self.started, 1)
        self.path.parent.mkdir(exist_ok=True)
        text = json.dumps(self.content, indent=1)
        rows_of_numbers = re.compile(r"\[[^\[\]{}\"]*\]")
        self.path.write_text(rows_of_numbers.sub(lambda found: " ".join(found[0].split()), text) + "\n")
        print("  ".join(f"{key}={_short(value)}" for key, value in row.items()), flush=True)


def _short(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)
