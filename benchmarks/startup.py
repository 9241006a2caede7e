"""How long `import embudo`, `embudo --help` and a first fit take, in fresh processes, beyond a bare Python.

Limits: 0.3 s and 0.5 s. The fit is of 50 samples for one epoch; beside it stand the libraries that it needs, imported,
and one step of plain PyTorch. The commands take turns, so that a busy machine slows all of them alike.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

from common import Report, parse_arguments

FIT = """
import numpy as np
from embudo import Autoencoder, Training
Autoencoder(2, training=Training(1)).fit(np.random.default_rng(0).random((50, 8)))
"""
STEP = """
import torch
model = torch.nn.Linear(8, 8)
adam = torch.optim.Adam(model.parameters())
model(torch.rand(50, 8)).square().sum().backward()
adam.step()
"""
COMMANDS = {
    "python -c pass": ([sys.executable, "-c", "pass"], None),
    "import embudo": ([sys.executable, "-c", "import embudo"], 0.3),
    "embudo --help": ([str(Path(sysconfig.get_path("scripts")) / "embudo"), "--help"], 0.5),
    "import torch, sklearn.base": ([sys.executable, "-c", "import torch, sklearn.base"], None),
    "a first fit": ([sys.executable, "-c", FIT], None),
    "a first step of PyTorch's Adam": ([sys.executable, "-c", STEP], None),
}


def seconds_of(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    arguments = parse_arguments(__doc__)
    runs = 3 if arguments.quick else 9
    report = Report("startup", quick=arguments.quick, runs=runs, seeds=[])
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(runs + 1):
        for name, (command, _limit) in COMMANDS.items():
            times[name].append(seconds_of(command))
    bare = statistics.median(times["python -c pass"][1:])
    for name, (_command, limit) in COMMANDS.items():
        warm = times[name][1:]  # the first one reads from disk
        median = statistics.median(warm)
        report.add(
            what=name, median=median, least=min(warm), greatest=max(warm), beyond_python=median - bare, limit=limit
        )


if __name__ == "__main__":
    main()
