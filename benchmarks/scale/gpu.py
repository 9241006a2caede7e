"""On a GPU: networks of MNIST's size and wide sparse codes, beside plain PyTorch and the rate of one large product.

Rows are Gaussian noise that lies on the device before PyTorch's epochs begin, and in memory before embudo's: all of
`Autoencoder.fit` is timed, checks and copy included; one short training before is not. A weight takes six operations
for each sample, four in the first layer, below which no gradient goes: what is done of these a second is held against
one large product of the same type.
``--device cpu --quick`` shows that the script works where there is no GPU.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks/, for common.py

import torch
import torch.nn.functional as F
from common import Report
from torch import Tensor, nn
from wide import Dense as WideDense
from wide import K

from embudo import MLP, Adam, Autoencoder, TopK, Training

LR, ROUNDS = 1e-3, 3
#: features, hidden units, code, samples of a batch, samples, epochs
WORKS = {
    "784-512-64, batch 256": (784, (512,), 64, 256, 60_000, 5),
    "784-512-64, batch 4,096": (784, (512,), 64, 4096, 60_000, 5),
    "64-16, batch 32": (64, (), 16, 32, 1797, 20),
    "768 to 24,576, 32 speak": (768, (), 24_576, 4096, 65_536, 2),
}
QUICK = {"64-16, batch 32": (64, (), 16, 32, 320, 2), "32 to 2,048, 32 speak": (32, (), 2048, 64, 128, 2)}
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def wait(device: str) -> None:
    if device != "cpu":
        torch.accelerator.synchronize()


def rate(device: str, dtype: torch.dtype, size: int) -> float:
    """Return how many floating-point operations a second one large product makes: the best of five."""
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(5):
        wait(device)
        started = time.perf_counter()
        a @ b
        wait(device)
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best


def network(n_features: int, hidden: tuple[int, ...], code: int) -> nn.Module:
    """Return what embudo builds, as one writes it down."""
    if code > n_features:
        return WideDense(n_features, code)
    sizes = [n_features, *hidden, code, *hidden[::-1], n_features]
    pairs = list(itertools.pairwise(sizes))
    layers: list[nn.Module] = []
    for number, (n_in, n_out) in enumerate(pairs):
        layers.append(nn.Linear(n_in, n_out))
        if number < len(pairs) - 1:
            layers.append(nn.ReLU())
    return nn.Sequential(*layers)


def pytorch(X: Tensor, work: tuple, precision: str, device: str) -> float:
    """Return the seconds of a plain loop, the rows on the device, a fused Adam."""
    n_features, hidden, code, batch, _, epochs = work
    model, rows = network(n_features, hidden, code).to(device), X.to(device)
    optimizer = torch.optim.Adam(model.parameters(), LR, fused=True)
    wait(device)
    started = time.perf_counter()
    for _ in range(epochs):
        for indices in torch.randperm(len(rows), device=device).split(batch):
            x = rows[indices]
            optimizer.zero_grad()
            with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bfloat16"):
                loss = F.mse_loss(model(x), x, reduction="sum") / len(x)
            loss.backward()
            optimizer.step()
    wait(device)
    return time.perf_counter() - started


def embudo(X: Tensor, work: tuple, precision: str, device: str) -> float:
    """Return the seconds of a fit."""
    _, hidden, code, batch, _, epochs = work
    training = Training(epochs, batch_size=batch, optimizer=Adam(LR), precision=precision, device=device, verbose=False)
    wide = TopK(K, by="value") if code > X.shape[1] else None
    parts = {"encoder": MLP(hidden), "code_activation": "relu", "sparsity": wide, "scale": None, "training": training}
    rows = X.numpy()
    started = time.perf_counter()
    Autoencoder(code, random_state=0, **parts).fit(rows)
    wait(device)
    return time.perf_counter() - started


SYSTEMS: dict[str, Callable[[Tensor, tuple, str, str], float]] = {"embudo": embudo, "PyTorch": pytorch}


def operations(work: tuple) -> float:
    """Return the floating-point operations of the products of a training."""
    n_features, hidden, code, _, n_samples, epochs = work
    sizes = [n_features, *hidden, code, *hidden[::-1], n_features]
    weights = [a * b for a, b in itertools.pairwise(sizes)]
    return (6 * sum(weights) - 2 * weights[0]) * n_samples * epochs


def runs(works: dict[str, tuple], device: str) -> Iterator[tuple[str, str, str, float]]:
    for name, work in works.items():
        X = torch.randn(work[4], work[0], generator=torch.Generator().manual_seed(0))
        for precision in PRECISIONS:
            for seconds in SYSTEMS.values():
                seconds(X[: 4 * work[3]], (*work[:5], 1), precision, device)
            for _ in range(ROUNDS):
                for system, seconds in SYSTEMS.items():
                    yield name, precision, system, seconds(X, work, precision, device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda", help="as torch names it")
    parser.add_argument("--quick", action="store_true", help="a small run that only shows that the script works")
    arguments = parser.parse_args()
    if arguments.device.startswith("cuda") and not torch.cuda.is_available():
        raise SystemExit("torch finds no GPU here: use a machine that has one, or --device cpu --quick.")
    name = torch.cuda.get_device_name() if arguments.device.startswith("cuda") else arguments.device
    report = Report("scale_gpu", quick=arguments.quick, device=name, data="Gaussian noise", rounds=ROUNDS)
    size = 512 if arguments.quick else 8192
    rates = {precision: rate(arguments.device, dtype, size) for precision, dtype in PRECISIONS.items()}
    works = QUICK if arguments.quick else WORKS
    found: dict[tuple[str, str, str], list[float]] = {}
    for *key, seconds in runs(works, arguments.device):
        found.setdefault(tuple(key), []).append(seconds)
    for (work, precision, system), seconds in found.items():
        median = statistics.median(seconds)
        report.add(
            work=work,
            precision=precision,
            system=system,
            seconds=seconds,
            samples_per_second=works[work][4] * works[work][5] / median,
            share_of_rate=operations(works[work]) / median / rates[precision],
            rate=rates[precision],
        )


if __name__ == "__main__":
    main()
