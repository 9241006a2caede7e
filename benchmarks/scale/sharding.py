"""Two processes, with all weights in each and with weights, gradients and moments divided: peak memory and time.

Gaussian noise goes through wide networks. torchrun starts the processes on this machine, with one thread each. The peak
is that of one process over the fit, above what it holds before, with all that is imported loaded. What is freed in
pieces below 32 MB glibc does not always give back; with its threshold fixed at 1 MB it does. Linux.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks/, for common.py

import torch
from common import Report, parse_arguments
from wide import resident

from embudo import MLP, Adam, Autoencoder, Training

#: name: features, hidden units before the code, and whether the decoder has the encoder's weights
SIZES: dict[str, tuple[int, tuple[int, ...], bool]] = {
    "1024-8192-64, mirrored": (1024, (8192,), False),
    "1024-8192-64, tied": (1024, (8192,), True),
    "2048-2048-2048-2048-64, mirrored": (2048, (2048,) * 3, False),
}
#: name: whether weights are divided, and what is set in the environment
WAYS: dict[str, tuple[bool, dict[str, str]]] = {
    "in each process": (False, {}),
    "divided": (True, {}),
    "divided, freed memory given back": (True, {"MALLOC_MMAP_THRESHOLD_": str(2**20)}),
}
BATCH, STEPS, REPEATS = 256, 8, 2


def measure(name: str, shard: bool) -> dict[str, Any]:
    """Learn in this process, one of two, and return what that took; epochs are single steps."""
    torch.set_num_threads(1)
    n_features, hidden, tied = SIZES[name]
    training = Training(STEPS + 1, batch_size=BATCH, optimizer=Adam(1e-4), shard=shard, verbose=False)
    ae = Autoencoder(64, encoder=MLP(hidden), tied=tied, scale=None, training=training, random_state=0)
    generator = torch.Generator().manual_seed(0)
    tiny = Autoencoder(2, encoder=MLP(4), training=training.with_params(epochs=2), random_state=0)
    tiny.fit(torch.randn(16, 8, generator=generator).numpy())  # all that is imported when first used
    X = torch.randn(BATCH, n_features, generator=generator).numpy()
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins at what is resident now
    ae.fit(X)
    peak = resident("VmHWM") - before
    seconds = [BATCH / speed for speed in ae.history_["samples_per_second"]]
    n_weights = sum(weight.numel() for weight in ae.module_.parameters())
    return {
        "peak_mib": peak,
        "weights_mib": n_weights * 4 / 2**20,
        "seconds": seconds[1:],
        "losses": ae.history_["loss"],
    }


def main() -> None:
    if "--measure" in sys.argv:
        row = measure(sys.argv[2], WAYS[sys.argv[3]][0])
        if os.environ["RANK"] == "0":
            print(json.dumps(row), flush=True)
        return
    arguments = parse_arguments(__doc__, WAYS)
    report = Report(
        "scale_sharding",
        quick=arguments.quick,
        measured=lambda row: row["how"] in arguments.only,
        data=f"Gaussian noise, batches of {BATCH}",
        model="rectified hidden units, Adam, float32, two processes of one thread",
    )
    for repeat in range(1 if arguments.quick else REPEATS):
        for name in list(SIZES)[:1] if arguments.quick else SIZES:
            for how in arguments.only:
                torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
                command = [sys.executable, *torchrun, __file__, "--measure", name, how]
                environment, load = {**os.environ, "OMP_NUM_THREADS": "1", **WAYS[how][1]}, os.getloadavg()[0]
                done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
                row = json.loads(done.stdout.splitlines()[-1])
                median = statistics.median(row["seconds"])
                report.add(size=name, how=how, repeat=repeat, **row, median_seconds=median, load=load)


if __name__ == "__main__":
    main()
