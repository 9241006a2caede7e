"""Noises that images may have, and how a network learns to take them out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from embudo.engine.objective import Objective

HIGHEST = 65 / 255  #: standard deviation of the strongest Gaussian noise that is learnt


class Denoising(Objective):
    """The squared distance of what comes out and the clean image.

    Noisy patches are given the level of their noise half of the time, for the network to learn to do without.
    """

    def __init__(self, network: nn.Module, *, seed: int = 0) -> None:
        super().__init__(network, seed=seed)
        self.network = network

    def forward(self, x: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return the squared error of a patch, weighted, so that every noise level counts alike."""
        drawn = torch.rand(3, len(x), generator=self.generator, device=x.device)
        sigma = HIGHEST * drawn[0]
        noise = torch.empty_like(x).normal_(generator=self.generator)
        x_in = x + sigma.view(-1, 1, 1, 1) * noise
        stored = (x_in.clamp(0, 1) * 255).round() / 255
        x_in = torch.where(drawn[1].view(-1, 1, 1, 1) < 1 / 3, stored, x_in)
        told = torch.where(drawn[2] < 0.5, sigma, 0)
        error = (self.network(x_in, told).float() - target).square().mean(dim=(1, 2, 3))
        return {"squared_error": (error / (sigma + 5 / 255)).mean()}

    def measure(self, x: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return the mean squared error, and PSNR in dB."""
        error = (self.network(x, x.new_zeros(len(x))).float() - target).square().mean(dim=(1, 2, 3))
        return {"loss": error.mean(), "psnr": -10 * error.log10().mean()}
