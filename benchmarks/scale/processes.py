"""One and two processes on two cores: samples per second, and the loss of each epoch laid over each other.

5000 digits of MNIST go through 784-512-64-512-784. torchrun starts the processes, which share each batch; one process
with two threads is what they compete with. With the same seed and the same batches the losses should be the same.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks/, for common.py

import torch
from common import Report, load_mnist, parse_arguments

from embudo import (
    MLP,
    Adam,
    Autoencoder,
    BatchTopK,
    Contractive,
    KLSparsity,
    MaskingNoise,
    Training,
)
from embudo.parts.part import Part

N_SAMPLES, EPOCHS, REPEATS = 5000, 5, 2
#: name: parts of the autoencoder, and batch size
COMPOSITIONS: dict[str, tuple[dict[str, Part], int]] = {
    "plain, batch 64": ({}, 64),
    "plain": ({}, 256),
    "plain, batch 1024": ({}, 1024),
    "KL sparsity, masking": ({"penalty": KLSparsity(0.1, weight=0.1), "corruption": MaskingNoise(0.25)}, 256),
    "BatchTopK": ({"sparsity": BatchTopK(16)}, 256),
    "contraction, 1 probe": ({"penalty": Contractive(0.1, probes=1)}, 256),
}
#: processes and threads of each
SETTINGS = [(1, 1), (2, 1), (1, 2)]


def measure(folder: Path, names: list[str]) -> None:
    """Learn in this process, which may be one of several, and print a row for each composition."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    X = load_mnist(folder, "train")[:N_SAMPLES]
    for name in names:
        parts, batch_size = COMPOSITIONS[name]
        ae = Autoencoder(
            64,
            encoder=MLP(512, activation="sigmoid"),
            code_activation="sigmoid",
            **parts,
            training=Training(EPOCHS, batch_size=batch_size, optimizer=Adam(1e-3), verbose=False),
            random_state=0,
        ).fit(X)
        if os.environ["RANK"] == "0":
            speeds = ae.history_["samples_per_second"][1:]  # the first epoch warms up
            row = {"losses": ae.history_["loss"], "samples_per_second": statistics.median(speeds)}
            print(json.dumps({"composition": name, "batch_size": batch_size, **row}), flush=True)


def main() -> None:
    names = list(COMPOSITIONS)
    if "--measure" in sys.argv:
        measure(Path(sys.argv[-1]), json.loads(os.environ["COMPOSITIONS"]))
        return
    arguments = parse_arguments(__doc__)
    report = Report(
        "scale_processes",
        quick=arguments.quick,
        data=f"{N_SAMPLES} digits of MNIST",
        model="784-512-64-512-784, sigmoids in the encoder, Adam(1e-3)",
        compositions=names,
    )
    if arguments.quick:
        names = names[1:2]
    for repeat in range(1 if arguments.quick else REPEATS):
        for processes, threads in SETTINGS:
            started, load = time.perf_counter(), os.getloadavg()[0]
            torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
            command = [sys.executable, *torchrun, __file__, "--measure", str(arguments.data)]
            environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "COMPOSITIONS": json.dumps(names)}
            done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
            seconds = time.perf_counter() - started
            for line in done.stdout.splitlines():
                row: dict[str, Any] = json.loads(line)
                report.add(
                    processes=processes, threads=threads, repeat=repeat, **row, load=load, seconds_in_all=seconds
                )


if __name__ == "__main__":
    main()
