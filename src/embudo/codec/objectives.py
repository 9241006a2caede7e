"""What the networks of a prior are trained for: fewer bits."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from embudo.codec.context import UNIT, IntegerNetwork
from embudo.codec.entropy import MAX_INDEX, PER_OCTAVE, REACH, Tables
from embudo.codec.prior import FRACTION
from embudo.engine.objective import Objective

NOT_CODED = -1  #: in place of a magnitude


class CodeLength(Objective):
    """The bits that codes take, their tables chosen by a network.

    Between two tables the cost is interpolated, so that it has a gradient.

    Parameters
    ----------
    network : nn.Sequential
        From features to octaves by which the scales are wrong that the closed form expects.
    tables : Tables
    seed : int
        Not used: nothing is drawn.
    """

    bits: Tensor

    def __init__(self, network: nn.Sequential, tables: Tables, seed: int) -> None:
        super().__init__(network, seed=seed)
        self.network = network
        self.register_buffer("bits", torch.from_numpy(tables.bits).flatten())

    def forward(self, x: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return the bits of a place, weighted.

        Parameters
        ----------
        x : Tensor of shape (n, n_features), int16
        target : Tensor of shape (n, 1 + 2 * n_channels), int16
            The weight of the place, the indices of the tables in closed form, and the magnitudes.
        """
        weight = target[:, 0].float()
        return {"bits": (weight * self._bits(x, target)).mean() / self.world.mean(weight.mean())}

    def measure(self, x: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return the bits of a place."""
        return {"loss": self._bits(x, target).mean()}

    def _bits(self, x: Tensor, target: Tensor) -> Tensor:
        base, sizes = target[:, 1:].chunk(2, dim=1)
        index = base + PER_OCTAVE * self.network(x.float() / UNIT).float()
        index = index.clamp(0, MAX_INDEX - 0.001)
        table = index.floor()
        cell = table.long() * (REACH + 2) + sizes.clamp(0, REACH + 1)
        share = index - table
        bits = (1 - share) * self.bits[cell] + share * self.bits[cell + REACH + 2]
        return torch.where(sizes == NOT_CODED, 0, bits).sum(dim=1)


def trainable(network: IntegerNetwork) -> nn.Sequential:
    """Return a network that computes in floating point what one on integers does."""
    layers: list[nn.Module] = []
    for number, (weight, bias) in enumerate(network.layers):
        layer = nn.utils.skip_init(nn.Linear, *reversed(weight.shape))
        scale = 2.0**FRACTION * (PER_OCTAVE if number == len(network.layers) - 1 else 1)
        layer.weight.data = torch.from_numpy(weight.astype(np.float32) / scale)
        layer.bias.data = torch.from_numpy(bias.astype(np.float32) / (scale * UNIT))
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def in_integers(network: nn.Sequential) -> IntegerNetwork:
    """Return the network on integers that comes nearest to one in floating point."""
    linear = [layer for layer in network if isinstance(layer, nn.Linear)]
    layers = []
    for layer in linear:
        scale = 2.0**FRACTION * (PER_OCTAVE if layer is linear[-1] else 1)
        layers.append((_rounded(layer.weight * scale, np.int16), _rounded(layer.bias * (scale * UNIT), np.int32)))
    return IntegerNetwork(layers)


def _rounded(values: Tensor, dtype: type[np.signedinteger]) -> np.ndarray:
    limits = np.iinfo(dtype)
    rounded = np.rint(values.detach().cpu().double().numpy())
    integers: np.ndarray = np.clip(rounded, limits.min, limits.max).astype(dtype)
    return integers
