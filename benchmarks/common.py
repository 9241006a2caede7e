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
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from embudo.data.readers import read

RESULTS = Path(__file__).parent / "results"
#: what is told of a run whose rows a later one keeps
RUN = ("command", "date", "seconds", "load_before", "load_after")
LIBRARIES = ("embudo", "torch", "scikit-learn", "numpy", "scipy")


def parse_arguments(description: str, rows: Iterable[str] = ()) -> argparse.Namespace:
    """Read the command line; `rows` are the names that ``--only`` chooses from, all of them by default."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder that holds mnist/ and others")
    parser.add_argument("--quick", action="store_true", help="a small run that only shows that the script works")
    names = list(rows)
    if names:
        parser.add_argument(
            "--only", nargs="+", choices=names, default=names, help="measure these, and keep the other rows of the file"
        )
    return parser.parse_args()


def load_mnist(folder: Path, part: str) -> np.ndarray:
    """Return the images of `part`, "train" (60000) or "test" (10000), as float32 rows of 784 values in [0, 1]."""
    name = {"train": "train", "test": "t10k"}[part]
    images = read(folder / "mnist" / f"{name}-images-idx3-ubyte.gz")
    return images.reshape(len(images), -1).astype(np.float32) / 255


def pca_error(n_components: int, train: np.ndarray, test: np.ndarray, svd_solver: str) -> float:
    """Return the mean error of PCA, learnt from `train`, on `test`: squared, summed over features."""
    from sklearn.decomposition import PCA

    train, test = (x.reshape(len(x), -1).astype(np.float64) for x in (train, test))
    pca = PCA(n_components, svd_solver=svd_solver).fit(train)
    return float(np.square(test - pca.inverse_transform(pca.transform(test))).sum(axis=1).mean())


class Report:
    """Rows of results, written to ``results/<name>.json`` after each one, so that a killed run keeps what it has.

    Parameters
    ----------
    name : str
        Of the script. A quick run writes to ``<name>.quick.json``.
    quick : bool
    measured : callable, optional
        Says whether this run measures a row of the file anew. The others are kept, and the runs that they came from are
        told under "earlier". By default all are.
    **facts
        Data, split, seeds and the like.
    """

    def __init__(
        self, name: str, *, quick: bool, measured: Callable[[dict[str, Any]], bool] | None = None, **facts: Any
    ) -> None:
        self.path = RESULTS / f"{name}{'.quick' if quick else ''}.json"
        kept: list[dict[str, Any]] = []
        earlier: list[dict[str, Any]] = []
        if measured is not None and self.path.exists():
            last = json.loads(self.path.read_text())
            kept = [row for row in last["results"] if not measured(row)]
            earlier = [*last.get("earlier", []), {fact: last[fact] for fact in RUN}] if kept else []
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
            "earlier": earlier,
            "results": kept,
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
