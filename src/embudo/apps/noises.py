"""Noises that images may have, and how a network learns to take them out."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from embudo.engine.objective import CorruptionFunction, Objective
from embudo.parts.corruptions import Corruption

HIGHEST = 65 / 255  #: standard deviation of the strongest Gaussian noise that is learnt
OFFSET = 5 / 255  #: of the weights by noise level, so that the weakest noise does not count more than all others
EIGHT_BITS = 1 / 3  #: share of the noisy patches that are clipped and rounded, as files hold them
TOLD = 1 / 2  #: share of the patches whose noise level the network is told

#: what a function of this kind returns: noisy patches, and the standard deviation of their noise where there is one
Drawn = tuple[Tensor, Tensor | None]


def gaussian(x: Tensor, generator: torch.Generator) -> Drawn:
    """Add Gaussian noise, its level drawn for each patch; a third is then clipped and rounded to 8 bits."""
    sigma = HIGHEST * _uniform(x, generator)
    x_in = x + sigma * torch.empty_like(x).normal_(generator=generator)
    stored = _uniform(x, generator) < EIGHT_BITS
    return torch.where(stored, _eight_bits(x_in), x_in), sigma.flatten()


def poisson(x: Tensor, generator: torch.Generator) -> Drawn:
    """Count photons instead: white is 5 to 500 of them, the logarithm drawn evenly for each patch."""
    white = 5 * 100 ** _uniform(x, generator)
    return torch.poisson(x.clamp(min=0) * white, generator=generator) / white, None


def salt_and_pepper(x: Tensor, generator: torch.Generator) -> Drawn:
    """Make up to half of the pixels, a share drawn for each patch, black or white; all channels of a pixel alike."""
    share = _uniform(x, generator) / 2
    u = torch.rand((len(x), 1, *x.shape[2:]), generator=generator, device=x.device)
    return x.masked_fill(u < share / 2, 0.0).masked_fill(u > 1 - share / 2, 1.0), None


def jpeg(x: Tensor, generator: torch.Generator) -> Drawn:
    """Compress each patch to JPEG and back, with a quality from 5 to 80."""
    qualities = (5 + 75 * _uniform(x, generator)).round().int().flatten().tolist()
    pixels = (x.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    decoded = np.stack([_jpeg(patch, quality) for patch, quality in zip(pixels, qualities, strict=True)])
    return torch.from_numpy(decoded).to(x).permute(0, 3, 1, 2) / 255, None


def _jpeg(patch: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(patch.squeeze()).save(file, "jpeg", quality=quality)
    return np.asarray(Image.open(file)).reshape(patch.shape)


def _uniform(x: Tensor, generator: torch.Generator) -> Tensor:
    """Return a number from 0 to 1 for each image, shape (n, 1, 1, 1)."""
    return torch.rand((len(x), 1, 1, 1), generator=generator, device=x.device)


def _eight_bits(x: Tensor) -> Tensor:
    return (x.clamp(0, 1) * 255).round() / 255


NOISES: dict[str, Callable[[Tensor, torch.Generator], Drawn]] = {
    "gaussian": gaussian,
    "poisson": poisson,
    "salt_and_pepper": salt_and_pepper,
    "jpeg": jpeg,
}


class Denoising(Objective):
    """The squared distance of what comes out and the clean image.

    Where the noise has a level, errors are weighted so that every level counts alike, and the network is told it for
    half of the patches, to learn to do with and without.

    Parameters
    ----------
    network : DenoisingNetwork
        Its weights are what is learnt.
    noise : str, Corruption, callable or None
        A name out of `NOISES`, or what is given clean patches and the generator; None where patches are noisy already.
    seed : int, default=0
        Decides what is drawn.
    """

    def __init__(
        self, network: nn.Module, noise: str | Corruption | CorruptionFunction | None, *, seed: int = 0
    ) -> None:
        super().__init__(network, corruption=None if isinstance(noise, str) else noise, seed=seed)
        self.network, self.named = network, NOISES[noise] if isinstance(noise, str) else None

    def forward(self, x: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return the mean squared error of patches, shape (n, channels, height, width), from 0 to 1."""
        sigma = None
        if self.named is not None:
            x_in, sigma = self.named(self.world.gathered(x), self.generator)
            x_in = self.world.own(x_in)
        else:
            x_in, _ = self.corrupted(x)
        if sigma is None:
            return {"squared_error": self._errors(x_in, x.new_zeros(len(x)), target).mean()}
        told = torch.rand(len(sigma), generator=self.generator, device=x.device) < TOLD
        sigma, told = self.world.own(sigma), self.world.own(told)
        errors = self._errors(x_in, torch.where(told, sigma, 0), target)
        return {"squared_error": (errors / (sigma + OFFSET)).mean()}

    def measure(self, x: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return the mean squared error of noisy images, and the mean PSNR in dB."""
        errors = self._errors(x, x.new_zeros(len(x)), target)
        return {"loss": errors.mean(), "psnr": -10 * errors.log10().mean()}

    def _errors(self, x: Tensor, sigma: Tensor, target: Tensor) -> Tensor:
        dtype = next(self.network.parameters()).dtype
        y: Tensor = self.network(x.to(dtype), sigma)
        return (y.to(dtype) - target).square().mean(dim=(1, 2, 3))
