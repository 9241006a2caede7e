"""Fully connected layers, their tied twins, and how both are initialised."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from embudo.nn.activations import ACTIVATIONS, make_activation


class Dense(nn.Linear):
    """`y = W x + b`, initialised to suit the activation that follows.

    The weights are drawn uniformly: with variance `2 / n_in` before rectifiers (He et al. 2015), with
    `2 / (n_in + n_out)` otherwise (Glorot and Bengio 2010), and 4 times as wide before sigmoids, whose slope at 0 is
    1/4 (Bengio 2012, Practical recommendations for gradient-based training). The biases are zero.
    """

    def __init__(self, n_in: int, n_out: int, activation: str) -> None:
        self.family = ACTIVATIONS[activation][1]
        super().__init__(n_in, n_out)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the weights anew."""
        fan = self.in_features if self.family == "he" else (self.in_features + self.out_features)
        bound = (4 if self.family == "glorot4" else 1) * math.sqrt(6 / fan)
        nn.init.uniform_(self.weight, -bound, bound, generator=generator)
        nn.init.zeros_(self.bias)


class TiedDense(nn.Module):
    """`y = W^T x + b`, where W is the weight of another layer: one storage, one gradient.

    The other layer is not registered as a submodule, so W appears once among parameters and in files.
    """

    def __init__(self, source: Dense) -> None:
        super().__init__()
        self._source = (source,)
        self.bias = nn.Parameter(torch.empty(source.in_features))

    @property
    def weight(self) -> Tensor:
        """The transposed weight of the other layer, shape `(n_out, n_in)`; a view."""
        return self._source[0].weight.t()

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
    stack = nn.Sequential()
    for linear, activation in zip(linears, activations, strict=True):
        stack.append(linear)
        if activation != "identity":
            stack.append(make_activation(activation))
    return stack


def initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Draw the weights of every dense layer of `module` from `generator`, and set the biases to zero."""
    for layer in module.modules():
        if isinstance(layer, Dense):
            layer.reset_parameters(generator)
        elif isinstance(layer, TiedDense):
            nn.init.zeros_(layer.bias)
