"""What the closed-form step computes with: torch's tensors, or NumPy's arrays on the same memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from embudo.nn.activations import by_array, forward_and_backward
from embudo.parts.losses import ARRAY_GRADIENTS, GRADIENTS, LossFunction

#: a tensor or an array
Values = Any


class Torch:
    """Tensors, of any size and on any device."""

    @staticmethod
    def given(tensor: Tensor) -> Values:
        """Return a tensor as what is computed with."""
        return tensor

    @staticmethod
    def tensor(values: Values) -> Tensor:
        """Return what is computed with as a tensor, on the same memory."""
        result: Tensor = values
        return result

    @staticmethod
    def affine(x: Values, weight_t: Values, bias: Values, out: Values) -> Values:
        """Return ``x W^T + b``."""
        return torch.addmm(bias, x, weight_t, out=out)

    @staticmethod
    def product(a: Values, b: Values, out: Values, *, add: bool = False) -> Values:
        """Return the matrix product of `a` and `b`, or what `out` has been with it added."""
        return out.addmm_(a, b, beta=float(add))

    @staticmethod
    def sum(rows: Values, out: Values, *, add: bool = False) -> None:
        """Set `out` to the sum of rows, or add it."""
        if add:
            out.add_(rows.sum(0))
        else:
            torch.sum(rows, 0, out=out)

    activation = staticmethod(forward_and_backward)

    @staticmethod
    def loss(loss: LossFunction) -> Callable[[Values, Values, Values], tuple[Any, Values]]:
        """Return what gives a loss and its derivative with respect to the output."""
        return GRADIENTS[loss]


class NumPy(Torch):
    """Small arrays in the memory of tensors on the CPU: torch puts more around its products than these cost."""

    @staticmethod
    def given(tensor: Tensor) -> Values:
        """Return a tensor as what is computed with."""
        return tensor.numpy()

    @staticmethod
    def tensor(values: Values) -> Tensor:
        """Return what is computed with as a tensor, on the same memory."""
        return torch.from_numpy(values)

    @staticmethod
    def affine(x: Values, weight_t: Values, bias: Values, out: Values) -> Values:
        """Return ``x W^T + b``."""
        np.matmul(x, weight_t, out=out)
        out += bias
        return out

    @staticmethod
    def product(a: Values, b: Values, out: Values, *, add: bool = False) -> Values:
        """Return the matrix product of `a` and `b`, or what `out` has been with it added."""
        if add:
            out += a @ b
            return out
        return np.matmul(a, b, out=out)

    @staticmethod
    def sum(rows: Values, out: Values, *, add: bool = False) -> None:
        """Set `out` to the sum of rows, or add it."""
        if add:
            out += rows.sum(0)
        else:
            np.add.reduce(rows, 0, out=out)

    @staticmethod
    def activation(module: nn.Module | None) -> tuple[Callable[..., Values], Callable[..., Values]]:
        """Return the two ways through an elementwise activation."""
        known = by_array(module)
        if known is not None:
            return known
        forward, backward = forward_and_backward(module)
        return (
            lambda z: forward(torch.from_numpy(z)).numpy(),
            lambda *values: backward(*map(torch.from_numpy, values)).numpy(),
        )

    @staticmethod
    def loss(loss: LossFunction) -> Callable[[Values, Values, Values], tuple[Any, Values]]:
        """Return what gives a loss and its derivative with respect to the output."""
        if loss in ARRAY_GRADIENTS:
            return ARRAY_GRADIENTS[loss]

        def through_torch(output: Values, target: Values, weight: Values) -> tuple[Any, Values]:
            emphasis = None if weight is None else torch.from_numpy(weight)
            value, slope = GRADIENTS[loss](torch.from_numpy(output), torch.from_numpy(target), emphasis)
            return value, slope.numpy()

        return through_torch
