"""The activations by name. Importing this module does not import torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

#: name -> (class in torch.nn, family of initialisation: He's for rectifiers, Glorot's for the others)
ACTIVATIONS = {
    "identity": ("Identity", "glorot"),
    "relu": ("ReLU", "he"),
    "leaky_relu": ("LeakyReLU", "he"),
    "gelu": ("GELU", "he"),
    "tanh": ("Tanh", "glorot"),
    "sigmoid": ("Sigmoid", "glorot"),
    "softplus": ("Softplus", "he"),
}


def make_activation(name: str) -> nn.Module:
    """Return the torch module of the activation `name`."""
    from torch import nn

    activation: nn.Module = getattr(nn, ACTIVATIONS[name][0])()
    return activation


def derivative(activation: nn.Module | None, z: Tensor) -> Tensor:
    """Return the elementwise slope of `activation` (None: the identity) at `z`, differentiable once more."""
    import torch
    from torch import nn

    match activation:
        case None:
            return torch.ones_like(z)
        case nn.ReLU():
            return torch.where(z > 0, 1.0, 0.0).to(z.dtype)
        case nn.LeakyReLU():
            return torch.where(z > 0, 1.0, activation.negative_slope).to(z.dtype)
        case nn.Tanh():
            return 1 - torch.tanh(z).square()
        case nn.Sigmoid():
            s = torch.sigmoid(z)
            return s * (1 - s)
        case nn.Softplus():
            return torch.sigmoid(z)
        case nn.GELU():
            density = torch.exp(-0.5 * z.square()) / (2 * torch.pi) ** 0.5
            slope: Tensor = torch.special.ndtr(z) + z * density
            return slope
    raise TypeError(f"No derivative is known for {activation}.")
