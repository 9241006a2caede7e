"""A whole training step with wide codes of which 32 units speak: embudo, dense PyTorch, and two libraries for it.

Each system learns from one batch of Gaussian noise, in processes of its own, in turn. A step is timed from batch to
changed weights; peak memory is counted from before there is a model, with all libraries loaded. The libraries are
looked for by the interpreter of ``--peers``, and left out where it lacks them. Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks/, for common.py

import torch
import torch.nn.functional as F
from torch import Tensor, nn

K, LR = 32, 1e-4
#: features, units, samples of a batch, and steps that are timed
SIZES = {"256 to 8,192": (256, 8192, 1024, 8), "768 to 24,576": (768, 24_576, 512, 4)}
ROUNDS = 2
Step = Callable[[], Any]


class Dense(nn.Module):
    """Rectified units, of which the k largest of a sample speak, as one writes it down."""

    def __init__(self, n_features: int, n_units: int) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(n_features, n_units), nn.Linear(n_units, n_features)

    def forward(self, x: Tensor) -> Tensor:
        """Return the reconstructions of a batch."""
        values, units = self.encoder(x).relu().topk(K, sorted=False)
        return self.decoder(values.new_zeros(len(x), self.decoder.in_features).scatter(1, units, values))


def pytorch(x: Tensor, n_units: int, fused: bool = False) -> Step:
    model = Dense(x.shape[1], n_units)
    optimizer = torch.optim.Adam(model.parameters(), lr=LR, fused=fused)

    def step() -> None:
        optimizer.zero_grad()
        (F.mse_loss(model(x), x, reduction="sum") / len(x)).backward()
        optimizer.step()

    return step


def sae_lens(x: Tensor, n_units: int, sparse: bool = False) -> Step:
    from sae_lens import TopKTrainingSAE, TopKTrainingSAEConfig
    from sae_lens.config import LoggingConfig, SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    # sparse activations cannot be rescaled on a CPU: no gradient is found then
    config = TopKTrainingSAEConfig(
        d_in=x.shape[1], d_sae=n_units, k=K, use_sparse_activations=sparse, rescale_acts_by_decoder_norm=not sparse
    )
    training = SAETrainerConfig(
        n_checkpoints=0,
        checkpoint_path=None,
        save_final_checkpoint=False,
        total_training_samples=10**6,
        device="cpu",
        autocast=False,
        lr=LR,
        lr_end=LR,
        lr_scheduler_name="constant",
        lr_warm_up_steps=0,
        adam_beta1=0.9,
        adam_beta2=0.999,
        lr_decay_steps=0,
        n_restart_cycles=1,
        train_batch_size_samples=len(x),
        dead_feature_window=1000,
        feature_sampling_window=2000,
        logger=LoggingConfig(log_to_wandb=False),
    )
    trainer = SAETrainer(training, TopKTrainingSAE(config), iter(()))
    return lambda: trainer.step(x)


def dictionary_learning(x: Tensor, n_units: int) -> Step:
    from dictionary_learning.trainers.top_k import TopKTrainer

    trainer = TopKTrainer(10**6, x.shape[1], n_units, K, layer=0, lm_name="none", lr=LR, device="cpu")
    return lambda: trainer.update(1, x)


def product(x: Tensor, n_units: int) -> Step:
    layer, out = nn.Linear(x.shape[1], n_units).requires_grad_(False), x.new_empty(len(x), n_units)
    return lambda: torch.addmm(layer.bias, x, layer.weight.t(), out=out)


PRODUCT = "the encoder's product alone"
SYSTEMS: dict[str, Callable[[Tensor, int], Step] | None] = {
    "embudo": None,
    "PyTorch": pytorch,
    "PyTorch, fused Adam": lambda x, n_units: pytorch(x, n_units, fused=True),
    "SAELens": sae_lens,
    "SAELens, sparse activations": lambda x, n_units: sae_lens(x, n_units, sparse=True),
    "dictionary_learning": dictionary_learning,
    PRODUCT: product,
}
PEERS = {"SAELens": "sae_lens", "SAELens, sparse activations": "sae_lens", "dictionary_learning": "dictionary_learning"}


def embudo(x: Tensor, n_units: int, n_steps: int) -> list[float]:
    """Return the seconds of steps: epochs of one batch."""
    from embudo import Adam, Autoencoder, TopK, Training

    training = Training(n_steps, batch_size=len(x), optimizer=Adam(LR), verbose=False)
    sparsity = TopK(K, by="value")
    ae = Autoencoder(n_units, code_activation="relu", sparsity=sparsity, scale=None, training=training, random_state=0)
    return [len(x) / speed for speed in ae.fit(x.numpy()).history_["samples_per_second"]]


def timed(step: Step, n_steps: int) -> list[float]:
    seconds = []
    for _ in range(n_steps):
        started = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - started)
    return seconds


def resident(name: str) -> int:
    """Return an entry of the process's status in MiB: "VmRSS", what is resident, or "VmHWM", the peak of it."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) // 1024


def measure(system: str, size: str) -> dict[str, Any]:
    """Train in this process, and return what that took; the first step is left out of the times."""
    n_features, n_units, n_samples, n_steps = SIZES[size]
    build = SYSTEMS[system]
    tiny = torch.randn(8, 4)  # all that is imported when first used
    if build is None:
        embudo(tiny, 64, 2)
    else:
        timed(build(tiny, 64), 2)
    x = torch.randn(n_samples, n_features, generator=torch.Generator().manual_seed(0))
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins at what is resident now
    seconds = embudo(x, n_units, n_steps + 1) if build is None else timed(build(x, n_units), n_steps + 1)
    weights = (2 * n_features * n_units + n_features + n_units) * 4 / 2**20
    return {
        "seconds": seconds[1:],
        "peak_mib": resident("VmHWM") - before,
        "state_mib": round(3 * weights),  # weights and two moments
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", default=sys.executable, help="interpreter that has sae-lens, dictionary-learning")
    parser.add_argument("--quick", action="store_true", help="a small run that only shows that the script works")
    parser.add_argument("--measure", nargs=2, metavar=("SYSTEM", "SIZE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(*arguments.measure)))
        return
    from common import Report

    script = "import importlib, sys; print(importlib.import_module(sys.argv[1]).__version__)"
    found = {}
    for name in dict.fromkeys(PEERS.values()):
        done = subprocess.run([arguments.peers, "-c", script, name], capture_output=True, text=True, cwd="/")
        if done.returncode == 0:
            found[name] = done.stdout.split()[-1]
    report = Report(
        "scale_wide",
        quick=arguments.quick,
        data="one batch of Gaussian noise",
        model=f"rectified units, the {K} largest of a sample speak; squared error, Adam, float32",
        peers=found,
        threads=torch.get_num_threads(),
        limits={"times_as_fast": 3, "share_of_memory": 0.25},
    )
    sizes = list(SIZES)[:1] if arguments.quick else list(SIZES)
    for size in sizes:
        for repeat in range(1 if arguments.quick else ROUNDS):
            for system in SYSTEMS:
                if system in PEERS and PEERS[system] not in found:
                    continue
                python = arguments.peers if system in PEERS else sys.executable
                command = [python, __file__, "--measure", system, size]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                row = json.loads(done.stdout.splitlines()[-1])
                report.add(
                    size=size,
                    system=system,
                    repeat=repeat,
                    load=os.getloadavg()[0],
                    median=statistics.median(row["seconds"]),
                    **row,
                )


if __name__ == "__main__":
    main()
