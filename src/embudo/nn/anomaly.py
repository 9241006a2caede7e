"""How far scaled samples lie from what an autoencoder has learnt: the scores of a detector, as torch modules.

In scaled samples `z`, shape `(n, n_features)`, NaN stands for no value: the network sees 0, and it adds no error.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from embudo.nn.network import Network


def filled(z: Tensor) -> Tensor:
    """Return `z` with 0 for NaN."""
    return torch.where(z.isnan(), 0.0, z)


class SquaredError(nn.Module):
    """``|| z - z' ||^2``."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, z: Tensor) -> Tensor:
        """Return the error of each sample, shape `(n,)`."""
        return filled(z - self.network(filled(z))).square().sum(1)


class Whitened(nn.Module):
    """``S^(-1/2) (r - m)``.

    Parameters
    ----------
    mean : Tensor of shape (n_features,)
    matrix : Tensor of shape (n_features, n_features), or (n_features,) for a diagonal one
    """

    mean: Tensor
    matrix: Tensor

    def __init__(self, mean: Tensor, matrix: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("matrix", matrix)

    def forward(self, r: Tensor) -> Tensor:
        """Map `(n, n_features)` to the same shape, NaN to 0."""
        centred = filled(r - self.mean)
        whitened = centred * self.matrix if self.matrix.ndim == 1 else centred @ self.matrix
        return torch.where(r.isnan(), 0.0, whitened)


class WhitenedError(SquaredError):
    """``|| S^(-1/2) (z - z' - m) ||^2``."""

    def __init__(self, network: Network, mean: Tensor, matrix: Tensor) -> None:
        super().__init__(network)
        self.whitened = Whitened(mean, matrix)

    def forward(self, z: Tensor) -> Tensor:
        """Return the error of each sample, shape `(n,)`."""
        error: Tensor = self.whitened(z - self.network(filled(z))).square().sum(1)
        return error


class DenoisingError(SquaredError):
    """``mean_s mean_+- || z - g(f(z +- s e_s)) ||^2 / E_s``.

    Parameters
    ----------
    network : Network
    noise : Tensor of shape (n_levels, n_features)
    usual : Tensor of shape (n_levels,)
        The mean error E_s at each level.
    """

    noise: Tensor
    shares: Tensor

    def __init__(self, network: Network, noise: Tensor, usual: Tensor) -> None:
        super().__init__(network)
        signed = [torch.stack([level, -level]) if level.any() else level[None] for level in noise]
        shares = [1 / (len(pair) * len(usual) * one) for pair, one in zip(signed, usual, strict=True) for _ in pair]
        self.register_buffer("noise", torch.cat(signed))
        self.register_buffer("shares", torch.stack(shares))

    def forward(self, z: Tensor) -> Tensor:
        """Return the error of each sample, shape `(n,)`."""
        noisy = filled(z) + self.noise[:, None]  # one or two of each level, of shape (n, n_features)
        denoised = self.network(noisy.flatten(0, 1)).reshape(noisy.shape)
        return self.shares @ filled(z - denoised).square().sum(2)


class CodeDensity(SquaredError):
    """``|| S^(-1/2) (h - m) ||^2`` of the code h; 0 of a sample without any value."""

    def __init__(self, network: Network, mean: Tensor, matrix: Tensor) -> None:
        super().__init__(network)
        self.whitened = Whitened(mean, matrix)

    def forward(self, z: Tensor) -> Tensor:
        """Return the error of each sample, shape `(n,)`."""
        distance = self.whitened(self.network.encode(filled(z))).square().sum(1)
        return torch.where(z.isnan().all(1), 0.0, distance)
