"""The activations by name. Importing this module does not import torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    Forward = Callable[[Tensor], Tensor]
    Backward = Callable[[Tensor, Tensor, Tensor], Tensor]

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


def is_elementwise(module: nn.Module) -> bool:
    """Return whether `module` is one of the activations."""
    from torch import nn

    return type(module) in {getattr(nn, name) for name, _ in ACTIVATIONS.values()}


def forward_and_backward(activation: nn.Module | None) -> tuple[Forward, Backward]:
    """Return the two ways through an elementwise `activation`.

    Parameters
    ----------
    activation : nn.Module or None
        None is the identity.

    Returns
    -------
    forward : callable
        ``h = s(z)``; it overwrites z where the way back does not need it.
    backward : callable
        ``d * s'(z)`` of d, h and z.
    """
    import torch
    from torch import nn

    aten = torch.ops.aten
    match activation:
        case None:
            return lambda z: z, lambda d, h, z: d
        case nn.ReLU():
            return torch.relu_, lambda d, h, z: aten.threshold_backward.default(d, h, 0)
        case nn.LeakyReLU(negative_slope=slope):
            return (
                lambda z: nn.functional.leaky_relu_(z, slope),
                lambda d, h, z: aten.leaky_relu_backward.default(d, h, slope, True),
            )
        case nn.Tanh():
            return torch.tanh_, lambda d, h, z: aten.tanh_backward.default(d, h)
        case nn.Sigmoid():
            return torch.sigmoid_, lambda d, h, z: aten.sigmoid_backward.default(d, h)
        case nn.Softplus(beta=beta, threshold=threshold):
            return activation, lambda d, h, z: aten.softplus_backward.default(d, z, beta, threshold)
        case nn.GELU():
            return activation, lambda d, h, z: aten.gelu_backward.default(d, z)
    raise TypeError(f"No way back through {activation} is known.")


def by_array(activation: nn.Module | None) -> tuple[Callable[..., Any], Callable[..., Any]] | None:
    """Return the two ways through an `activation` that NumPy has too, of arrays, or None; both overwrite z and d."""
    import numpy as np
    from scipy.special import expit
    from torch import nn

    match activation:
        case None:
            return lambda z: z, lambda d, h, z: d
        case nn.ReLU():
            return lambda z: np.maximum(z, 0, out=z), lambda d, h, z: np.multiply(d, h > 0, out=d)
        case nn.Tanh():
            return lambda z: np.tanh(z, out=z), lambda d, h, z: np.multiply(d, 1 - h * h, out=d)
        case nn.Sigmoid():
            return lambda z: expit(z, out=z), lambda d, h, z: np.multiply(d, h * (1 - h), out=d)
    return None


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


def curvature(activation: nn.Module | None, h: Tensor, z: Callable[[], Tensor]) -> Tensor | None:
    """Return the elementwise derivative of `derivative`, or None where it is 0; parameters as there."""
    import torch
    from torch import nn

    match activation:
        case None | nn.ReLU() | nn.LeakyReLU():
            return None
        case nn.Tanh():
            return -2 * h * (1 - h.square())
        case nn.Sigmoid():
            return h * (1 - h) * (1 - 2 * h)
        case nn.Softplus():
            slope = -torch.expm1(-h)
            return slope * (1 - slope)
        case nn.GELU():
            at = z()
            bend: Tensor = (2 - at.square()) * torch.exp(-0.5 * at.square()) / (2 * torch.pi) ** 0.5
            return bend
    raise TypeError(f"No curvature is known for {activation}.")
