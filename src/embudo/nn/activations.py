"""The activations by name. Importing this module does not import torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

#: name -> (class in torch.nn, initialisation that suits it: see `embudo.nn.layers.Dense`)
ACTIVATIONS = {
    "identity": ("Identity", "glorot"),
    "relu": ("ReLU", "he"),
    "leaky_relu": ("LeakyReLU", "he"),
    "gelu": ("GELU", "he"),
    "tanh": ("Tanh", "glorot"),
    "sigmoid": ("Sigmoid", "glorot4"),
    "softplus": ("Softplus", "he"),
}


def make_activation(name: str) -> nn.Module:
    """Return the torch module of the activation `name`."""
    from torch import nn

    activation: nn.Module = getattr(nn, ACTIVATIONS[name][0])()
    return activation


def derivative(activation: nn.Module | None, h: Tensor, z: Callable[[], Tensor]) -> Tensor:
    """Return the elementwise slope of `activation`, differentiable once more.

    Parameters
    ----------
    activation : nn.Module or None
        None is the identity.
    h : Tensor
        What it returned.
    z : callable
        Gives what it was applied to; called only where `h` does not tell the slope.
    """
    import torch
    from torch import nn

    match activation:
        case None:
            return torch.ones_like(h)
        case nn.ReLU():
            return (h > 0).to(h.dtype)
        case nn.LeakyReLU():
            return torch.where(h > 0, 1.0, activation.negative_slope).to(h.dtype)
        case nn.Tanh():
            return 1 - h.square()
        case nn.Sigmoid():
            return h * (1 - h)
        case nn.Softplus():
            return -torch.expm1(-h)
        case nn.GELU():
            at = z()
            density = torch.exp(-0.5 * at.square()) / (2 * torch.pi) ** 0.5
            slope: Tensor = torch.special.ndtr(at) + at * density
            return slope
    raise TypeError(f"No derivative is known for {activation}.")
