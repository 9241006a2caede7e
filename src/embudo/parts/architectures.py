"""Architectures: the shape of the encoder f and the decoder g."""

from __future__ import annotations

import dataclasses
import itertools
import numbers
from typing import TYPE_CHECKING

from embudo.errors import InvalidParameter, check_choice, check_number
from embudo.nn.activations import ACTIVATIONS
from embudo.parts.part import Part

if TYPE_CHECKING:
    from torch import nn


@dataclasses.dataclass(frozen=True, repr=False)
class MLP(Part):
    """Fully connected layers, `y = activation(W x + b)`, one after the other.

    Parameters
    ----------
    hidden : tuple of int, default=()
        Units of each layer between input and code, from the input on. A decoder that mirrors an encoder
        has them in reverse.
    activation : {"identity", "relu", "leaky_relu", "gelu", "tanh", "sigmoid", "softplus"}, default="relu"
        Activation of the hidden layers. The code's and the output's are the estimator's
        ``code_activation`` and ``output_activation``.

    Raises
    ------
    InvalidParameter
        If a size is not a positive integer or the activation is unknown.

    Examples
    --------
    >>> from embudo import MLP
    >>> MLP((512, 256), activation="tanh")
    MLP((512, 256), activation='tanh')
    >>> MLP(128).mirrored()
    MLP((128,))
    """

    hidden: tuple[int, ...] = ()
    _: dataclasses.KW_ONLY
    activation: str = "relu"

    def __post_init__(self) -> None:
        if isinstance(self.hidden, numbers.Integral) and not isinstance(self.hidden, bool):
            object.__setattr__(self, "hidden", (int(self.hidden),))
        super().__post_init__()

    def validate(self) -> None:
        """Raise `InvalidParameter` if a size or the activation is not allowed."""
        if not isinstance(self.hidden, tuple):
            raise InvalidParameter(f"MLP.hidden must be a tuple of layer sizes; got {self.hidden!r}.")
        for size in self.hidden:
            check_number("A size in MLP.hidden", size, low=1, integer=True)
        check_choice("MLP.activation", self.activation, ACTIVATIONS)

    def mirrored(self) -> MLP:
        """Return the same layers in reverse order."""
        return dataclasses.replace(self, hidden=self.hidden[::-1])

    def build(self, n_in: int, n_out: int, last_activation: str, tied_to: nn.Sequential | None = None) -> nn.Sequential:
        """Return the layers as a torch module from `n_in` to `n_out` features.

        Parameters
        ----------
        n_in, n_out : int
            Features that go in and come out.
        last_activation : str
            Activation of the last layer.
        tied_to : nn.Sequential, optional
            The encoder whose weights, transposed and in reverse order, are this module's weights.
        """
        from embudo.nn.layers import dense_stack

        sizes = (n_in, *self.hidden, n_out)
        return dense_stack(sizes, [self.activation] * len(self.hidden) + [last_activation], tied_to)

    def n_weights(self, n_in: int, n_out: int) -> int:
        """Return how many weights and biases the layers from `n_in` to `n_out` features have."""
        sizes = (n_in, *self.hidden, n_out)
        return sum((a + 1) * b for a, b in itertools.pairwise(sizes))
