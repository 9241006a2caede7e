"""Fully connected layers, their tied twins, and how every layer is initialised."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from embudo.nn.activations import ACTIVATIONS, make_activation


class Layer(nn.Module):
    """Base of the layers with weights or biases, which are drawn anew from a generator."""

    n_places = 1  #: of a sample at which the weights are applied
    unit_norm = False  #: whether what each input sends out is kept at norm 1

    @property
    def source(self) -> Layer | None:
        """The layer whose weights are these too, where there is one."""
        return None

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Set the bias to zero; layers with weights of their own draw them."""
        nn.init.zeros_(self.get_parameter("bias"))

    @torch.no_grad()
    def constrain(self) -> None:
        """Bring the weights back to what they are kept at."""
        if self.unit_norm:
            weight: Any = self.weight
            weight.div_(torch.linalg.vector_norm(weight, dim=0).clamp(min=1e-12))


def draw(weight: Tensor, family: str, fans: tuple[float, float], generator: torch.Generator | None) -> None:
    """Draw weights uniformly, to suit the activation that follows.

    Their variance is `2 / fan_in` before rectifiers (He et al. 2015) and `2 / (fan_in + fan_out)` otherwise (Glorot
    and Bengio 2010); before sigmoids, whose slope at 0 is 1/4, they are 4 times as wide (Bengio 2012, Practical
    recommendations for gradient-based training).

    Parameters
    ----------
    weight : Tensor
        Set in place.
    family : {"he", "glorot", "glorot4", "zero"}
        That of the activation; "zero" sets all weights to 0.
    fans : (float, float)
        How many inputs an output is a sum over, and how many outputs an input takes part in.
    generator : torch.Generator or None
    """
    scale = {"zero": 0, "glorot4": 4}.get(family, 1)
    bound = scale * math.sqrt(6 / (fans[0] if family == "he" else sum(fans)))
    nn.init.uniform_(weight, -bound, bound, generator=generator)


class Dense(Layer, nn.Linear):
    """`y = W x + b`, initialised to suit the activation that follows."""

    def __init__(self, n_in: int, n_out: int, activation: str) -> None:
        self.family = ACTIVATIONS[activation][1]
        super().__init__(n_in, n_out)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the weights anew."""
        draw(self.weight, self.family, (self.in_features, self.out_features), generator)
        super().reset_parameters()


class TiedDense(Layer):
    """`y = W^T x + b`, where W is the weight of another layer: one storage, one gradient.

    The other layer is not registered as a submodule, so W appears once among parameters and in files.
    """

    def __init__(self, source: Dense) -> None:
        super().__init__()
        self._source = (source,)
        self.bias = nn.Parameter(torch.empty(source.in_features))

    @property
    def source(self) -> Dense:
        """The other layer."""
        return self._source[0]

    @property
    def weight(self) -> Tensor:
        """The transposed weight of the other layer, shape `(n_out, n_in)`; a view."""
        return self.source.weight.t()

    def forward(self, x: Tensor) -> Tensor:
        """Map `(n, n_in)` to `(n, n_out)`."""
        return F.linear(x, self.weight, self.bias)


def dense_stack(
    sizes: Sequence[int], activations: Sequence[str], tied_to: nn.Sequential | None = None
) -> nn.Sequential:
    """Return dense layers between `sizes`, each followed by its activation.

    With `tied_to`, a stack of the same sizes in reverse, the weights are that stack's, transposed.
    """
    if tied_to is None:
        linears: list[nn.Module] = [
            Dense(n_in, n_out, activation)
            for (n_in, n_out), activation in zip(itertools.pairwise(sizes), activations, strict=True)
        ]
    else:
        linears = [TiedDense(layer) for layer in reversed(list(tied_to)) if isinstance(layer, Dense)]
    pairs = zip(linears, activations, strict=True)
    return nn.Sequential(*itertools.chain.from_iterable(activated(*pair) for pair in pairs))


def activated(layer: nn.Module, activation: str) -> list[nn.Module]:
    """Return `layer` and the activation that follows it, which may be none."""
    return [layer] if activation == "identity" else [layer, make_activation(activation)]


def multiply_adds(network: nn.Module) -> int:
    """Return how many products of a weight and a value a sample costs on its way through `network`."""
    layers: list[Any] = [module for module in network.modules() if isinstance(module, Layer)]
    return sum(int(layer.weight.numel() * layer.n_places) for layer in layers)


def initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Draw the weights of every layer of `module` from `generator`, and set the biases to zero."""
    for layer in module.modules():
        if isinstance(layer, Layer):
            layer.reset_parameters(generator)
