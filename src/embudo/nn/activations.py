"""The activations by name. Importing this module does not import torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

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
