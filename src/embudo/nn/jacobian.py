"""Squared Frobenius norms of Jacobians, a sample at a time, and differentiable."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from embudo.nn.activations import derivative
from embudo.nn.layers import Dense


def is_dense(encoder: nn.Sequential) -> bool:
    """Return whether `encoder` is one dense layer, with or without an activation."""
    return len(encoder) <= 2 and isinstance(encoder[0], Dense)


def dense_norm(encoder: nn.Sequential, x: Tensor, code: Tensor) -> Tensor:
    """Return ``sum_j s'(z_j)^2 sum_i W_ji^2`` of each sample, shape (n,), in O(n_features * n_components) for all.

    Units that a sparsity rule silenced, whose code is 0 while their pre-activation is not, have no slope.
    """
    layer = cast("Dense", encoder[0])
    z = F.linear(x, layer.weight, layer.bias)
    slope = derivative(encoder[1] if len(encoder) == 2 else None, z)
    silenced = (code == 0) & (z != 0) & (slope != 0)
    return slope.square().masked_fill(silenced, 0.0) @ layer.weight.square().sum(1)


def exact_norm(encode: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return the norm for each sample, shape (n,), by one vector-Jacobian product a code unit."""
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        code = encode(x)
        n, m = code.shape
        units = torch.eye(m, dtype=code.dtype, device=code.device).unsqueeze(1).expand(m, n, m)
        (rows,) = torch.autograd.grad(code, x, units, is_grads_batched=True, create_graph=True)
    return rows.square().flatten(2).sum((0, 2))


def estimated_norm(encode: Callable[[Tensor], Tensor], x: Tensor, probes: int, generator: torch.Generator) -> Tensor:
    """Return an unbiased estimate for each sample, shape (n,): the mean of ``||v^T J||^2`` over random signs v."""
    x = x.detach().requires_grad_()
    total = torch.zeros(len(x), dtype=x.dtype, device=x.device)
    with torch.enable_grad():
        code = encode(x)
        for _ in range(probes):
            v = torch.empty_like(code).bernoulli_(0.5, generator=generator).mul_(2).sub_(1)
            (row,) = torch.autograd.grad(code, x, v, create_graph=True)
            total = total + row.square().flatten(1).sum(1)
    return total / probes
