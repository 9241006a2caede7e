"""Memory and throughput against data size: one epoch, then the codes to a file, from memory, a memory map and Parquet.

A detector learns one epoch as well, and scores all rows. Rows of 512 float32 numbers, Gaussian noise around 32 random
directions, become 128 codes. Data are written to a temporary folder, one file at a time where they are large, and
removed. Each measurement is a fresh process, whose resident memory is counted from before the data are opened, with all
libraries loaded and a small model trained. Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks/, for common.py

import numpy as np
from common import Report

N_FEATURES, N_COMPONENTS, BATCH = 512, 128, 256
GROUP = 16_384  #: rows of a row group, 32 MiB
SIZES = {"0.1 GB": 50_000, "1 GB": 500_000, "10 GB": 5_000_000}  #: rows
DETECTOR = "memory map, by a detector"
HOWS = ("memory", "memory map", DETECTOR, "Parquet")
REPEATS = {"0.1 GB": 3, "1 GB": 3, "10 GB": 1}


def blocks(n_rows: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    axes = rng.standard_normal((32, N_FEATURES), dtype=np.float32)
    for start in range(0, n_rows, GROUP):
        n = min(GROUP, n_rows - start)
        noise = rng.standard_normal((n, N_FEATURES), dtype=np.float32)
        yield rng.standard_normal((n, 32), dtype=np.float32) @ axes + noise


def write(path: Path, n_rows: int) -> None:
    if path.suffix == ".npy":
        mapped = np.lib.format.open_memmap(path, "w+", np.float32, (n_rows, N_FEATURES))
        start = 0
        for block in blocks(n_rows):
            mapped[start : start + len(block)] = block
            start += len(block)
        mapped.flush()
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(f"x{i}", pa.float32()) for i in range(N_FEATURES)])
    with pq.ParquetWriter(path, schema, use_dictionary=False) as writer:
        for block in blocks(n_rows):
            writer.write_table(pa.table([np.ascontiguousarray(column) for column in block.T], schema))


def resident(name: str) -> int:
    """Return an entry of the process's status in MiB: "VmRSS", what is resident, or "VmHWM", the peak of it."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) // 1024


def measure(path: Path, how: str) -> dict[str, Any]:
    """Fit and encode in this process, and return what that took."""
    import torch

    from embudo import AnomalyDetector, Autoencoder, Training, stream

    torch.set_num_threads(1)
    training = Training(1, batch_size=BATCH, verbose=False)
    ae = Autoencoder(N_COMPONENTS, training=training, random_state=0).fit(next(blocks(2000)))
    if path.suffix == ".parquet":
        import pyarrow.parquet  # noqa: F401 (a library is no data)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins at what is resident now
    X = {
        "memory": lambda: np.load(path),
        "memory map": lambda: np.load(path, mmap_mode="r"),
        DETECTOR: lambda: np.load(path, mmap_mode="r"),
        "Parquet": lambda: stream(path),
    }[how]()
    model = AnomalyDetector(ae, contamination=0, random_state=0) if how == DETECTOR else ae
    started, cpu = time.perf_counter(), time.process_time()
    model.fit(X)
    fitted, cpu_fitted = time.perf_counter(), time.process_time()
    peak = resident("VmHWM") - before
    if how == DETECTOR:
        model.score_samples(X)
    else:
        model.transform(X, out=path.with_name("codes.npy"))
    measured = {
        "peak_mib": peak,
        "peak_encoding_mib": resident("VmHWM") - before,
        "fit_seconds": fitted - started,
        "fit_cpu_seconds": cpu_fitted - cpu,
        "encode_seconds": time.perf_counter() - fitted,
        "encode_cpu_seconds": time.process_time() - cpu_fitted,
    }
    if how == DETECTOR:
        return measured
    history = {name: ae.history_[name][0] for name in ("samples_per_second", "loss")}
    return measured | history


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="where the data are written for a while; 14 GB are needed")
    parser.add_argument("--only", nargs="+", choices=HOWS, default=HOWS, help="measure these, and keep the other rows")
    parser.add_argument("--quick", action="store_true", help="a small run that only shows that the script works")
    parser.add_argument("--measure", nargs=2, metavar=("FILE", "HOW"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(Path(arguments.measure[0]), arguments.measure[1])))
        return
    report = Report(
        "scale_memory",
        quick=arguments.quick,
        measured=lambda row: row["how"] in arguments.only,
        data=f"{N_FEATURES} float32 features, Gaussian noise around 32 directions",
        model=f"{N_FEATURES}-{N_COMPONENTS}-{N_FEATURES}, linear, batch {BATCH}, scale='standard', one thread",
        row_group=GROUP,
        limits={"peak_mib": 1024, "share_of_memory": 0.85},
    )
    sizes = {"0.1 GB": 50_000} if arguments.quick else SIZES
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        for size, n_rows in sizes.items():
            needed = 1.4 * n_rows * N_FEATURES * 4 * (1 if n_rows > 10**6 else 2)
            free = shutil.disk_usage(folder).free
            if free < needed:
                raise SystemExit(
                    f"{size} need {needed / 1e9:.0f} GB of disk in '{folder}', but {free / 1e9:.0f} are free."
                )
            hows = [how for how in HOWS[n_rows > 10**6 :] if how in arguments.only]
            paths = {how: Path(folder, f"rows{'.parquet' if how == 'Parquet' else '.npy'}") for how in hows}
            if n_rows > 10**6:  # one file at a time
                rounds = [[how] for how in hows]
            else:
                for path in set(paths.values()):
                    write(path, n_rows)
                rounds = [hows] * REPEATS[size]
            for repeat, turn in enumerate(rounds):
                for how in turn:
                    if not paths[how].exists():
                        write(paths[how], n_rows)
                    command = [sys.executable, __file__, "--measure", str(paths[how]), how]
                    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
                    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
                    report.add(
                        size=size,
                        rows=n_rows,
                        how=how,
                        repeat=0 if n_rows > 10**6 else repeat,
                        load=os.getloadavg()[0],
                        **json.loads(done.stdout),
                    )
                if n_rows > 10**6:
                    paths[turn[0]].unlink()
            for path in set(paths.values()):
                path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
