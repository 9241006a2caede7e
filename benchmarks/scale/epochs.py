"""How the speed of training changes from epoch to epoch: embudo beside a plain loop of PyTorch, one thread.

MNIST has pixels that are always black. The error there, and the running means of its gradient, shrink by the same
factor in every step, until they are too small for float32's normal numbers, with which a CPU takes much longer.
"""

from __future__ import annotations

import itertools
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks/, for common.py

import torch
from common import Report, load_mnist, parse_arguments
from torch import Tensor, nn

from embudo import MLP, Adam, Autoencoder, Training

SIZES, BATCH, LR = (784, 256, 32, 256, 784), 128, 1e-3


def pytorch(X: Tensor, epochs: int) -> tuple[list[float], float]:
    """Return the samples a second of each epoch, and the loss of the last."""
    layers: list[nn.Module] = []
    for n_in, n_out in itertools.pairwise(SIZES):
        layers += [nn.Linear(n_in, n_out), nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    optimizer = torch.optim.Adam(model.parameters(), LR, fused=True)
    speeds, loss = [], 0.0
    for _ in range(epochs):
        started, loss = time.perf_counter(), 0.0
        for indices in torch.randperm(len(X)).split(BATCH):
            x = X[indices]
            optimizer.zero_grad()
            cost = (model(x) - x).square().sum() / len(x)
            cost.backward()
            optimizer.step()
            loss += cost.item() * len(x) / len(X)
        speeds.append(len(X) / (time.perf_counter() - started))
    return speeds, loss


def embudo(X: Tensor, epochs: int) -> tuple[list[float], float]:
    """Return the samples a second of each epoch, and the loss of the last."""
    training = Training(epochs, batch_size=BATCH, optimizer=Adam(LR), verbose=False)
    ae = Autoencoder(SIZES[2], encoder=MLP(SIZES[1:2]), code_activation="relu", training=training, random_state=0)
    history = ae.fit(X.numpy()).history_
    return list(history["samples_per_second"]), history["loss"][-1]


def main() -> None:
    arguments = parse_arguments(__doc__ or "")
    epochs, n_samples = (3, 500) if arguments.quick else (30, 10_000)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    X = torch.from_numpy(load_mnist(arguments.data, "train")[:n_samples].copy())
    report = Report(
        "scale_epochs",
        quick=arguments.quick,
        data=f"the first {n_samples:,} digits of MNIST's training set",
        model=f"{'-'.join(map(str, SIZES))}, rectified, squared error, Adam, batch {BATCH}, float32",
        threads=1,
    )
    for repeat, system in itertools.product(range(2), (embudo, pytorch)):
        speeds, loss = system(X, epochs)
        report.add(system=system.__name__, repeat=repeat, samples_per_second=speeds, loss=loss)


if __name__ == "__main__":
    main()
