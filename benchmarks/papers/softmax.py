"""Multinomial logistic regression by mini-batches: a grid of L2 weights is learnt at once.

For weight l it minimises ``mean_n -log p(y_n | x_n) + l / 2 ||W||^2``, as scikit-learn's LogisticRegression does
with ``C = 1 / (l n)``. All the grid's weights share each product of a batch, so that a grid costs little more than
one weight.

    python benchmarks/papers/softmax.py --check     compares it with scikit-learn on 5000 images
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

N_CLASSES = 10


class SoftmaxGrid:
    """Classifiers on fixed features, one a weight of the penalty.

    Parameters
    ----------
    l2 : sequence of float
        Weights of the penalty.
    epochs, batch_size, lr : int, int, float
        Of Adam, with a cosine schedule.
    seed : int
        Decides the order of samples.
    """

    def __init__(
        self, l2: tuple[float, ...], *, epochs: int = 30, batch_size: int = 500, lr: float = 3e-3, seed: int = 0
    ) -> None:
        self.l2, self.epochs, self.batch_size, self.lr, self.seed = l2, epochs, batch_size, lr, seed

    def fit(self, X: np.ndarray, y: np.ndarray) -> SoftmaxGrid:
        """Learn from the features X, shape (n_samples, n_features), and their labels."""
        rows, labels = torch.from_numpy(X), torch.from_numpy(y)
        (n, d), grid = rows.shape, len(self.l2)
        self.weight = torch.zeros(grid * N_CLASSES, d, requires_grad=True)
        self.bias = torch.zeros(grid * N_CLASSES, requires_grad=True)
        penalty = torch.tensor(self.l2).repeat_interleave(N_CLASSES)
        optimizer = torch.optim.Adam([self.weight, self.bias], lr=self.lr, fused=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.epochs * -(-n // self.batch_size))
        generator = torch.Generator().manual_seed(self.seed)
        for _ in range(self.epochs):
            for indices in torch.randperm(n, generator=generator).split(self.batch_size):
                logits = F.linear(rows[indices], self.weight, self.bias).view(-1, N_CLASSES)
                # a row for each sample and member of the grid; members share no weight, so their losses just add up
                loss = F.cross_entropy(logits, labels[indices].repeat_interleave(grid)) * grid
                loss = loss + 0.5 * (penalty @ self.weight.square().sum(1))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
        return self

    @torch.no_grad()
    def errors(self, X: np.ndarray, y: np.ndarray) -> list[float]:
        """Return the percentage of samples that each member of the grid takes for another class."""
        logits = F.linear(torch.from_numpy(X), self.weight, self.bias).view(len(X), len(self.l2), N_CLASSES)
        wrong = logits.argmax(2) != torch.from_numpy(y)[:, None]
        return [100 * float(share) for share in wrong.float().mean(0)]


def check(folder: Path) -> None:
    """Compare weights, losses and errors with scikit-learn's, on 5000 images."""
    from shared import first, load
    from sklearn.linear_model import LogisticRegression

    X, y = first(load(folder, "train"), 5000)
    X_test, y_test = load(folder, "test")
    l2 = (1e-2, 1e-1)
    started = time.perf_counter()
    grid = SoftmaxGrid(l2, epochs=400, lr=1e-2).fit(X, y)
    ours = time.perf_counter() - started
    started = time.perf_counter()
    peers = [LogisticRegression(C=1 / (weight * len(X)), tol=1e-5, max_iter=1000).fit(X, y) for weight in l2]
    theirs = time.perf_counter() - started
    for i, (weight, peer) in enumerate(zip(l2, peers, strict=True)):
        W = grid.weight.detach().numpy()[i * N_CLASSES : (i + 1) * N_CLASSES]
        distance = float(np.linalg.norm(W - peer.coef_) / np.linalg.norm(peer.coef_))
        error, peer_error = grid.errors(X_test, y_test)[i], 100 * (1 - peer.score(X_test, y_test))
        print(f"l2={weight:g}: weights differ by {distance:.2%}, test error {error:.2f} and {peer_error:.2f}")
        if distance > 0.02 or abs(error - peer_error) > 0.1:
            raise SystemExit("The two disagree.")
    print(f"{ours:.1f} s for the grid, {theirs:.1f} s for scikit-learn's {len(l2)} fits")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder that holds mnist/")
    parser.add_argument("--check", action="store_true", help="compare with scikit-learn")
    arguments = parser.parse_args()
    if arguments.check:
        check(arguments.data)
