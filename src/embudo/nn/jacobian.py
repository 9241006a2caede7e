"""Squared Frobenius norms of Jacobians, a sample at a time, and differentiable."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from embudo.nn.activations import derivative
from embudo.nn.layers import Dense


def is_dense(encoder: nn.Sequential) -> bool:
    """Return whether `encoder` is one dense layer, with or without an activation."""
    return len(encoder) <= 2 and isinstance(encoder[0], Dense)


def dense_norm(encoder: nn.Sequential, x: Tensor, pre: Tensor, code: Tensor) -> Tensor:
    """Return ``sum_j s'(z_j)^2 sum_i W_ji^2`` of each sample, shape (n,): no costlier than the layer itself.

    Parameters
    ----------
    encoder : nn.Sequential
        One dense layer, with or without an activation s.
    x : Tensor of shape (n, n_features)
        What it was given.
    pre : Tensor of shape (n, n_components)
        What it returned.
    code : Tensor of shape (n, n_components)
        What a sparsity rule made of that, or `pre` itself: units that were silenced have no slope.
    """
    layer = cast("Dense", encoder[0])
    slope = derivative(encoder[1] if len(encoder) == 2 else None, pre, lambda: layer(x))
    if code is not pre:
        slope = slope.masked_fill((code == 0) & (pre != 0), 0.0)
    return slope.square() @ layer.weight.square().sum(1)


def exact_norm(encode: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return the norm for each sample, shape (n,), by one vector-Jacobian product a code unit."""
    differentiable = torch.is_grad_enabled()
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        code = encode(x).flatten(1)
        n, m = code.shape
        units = torch.eye(m, dtype=code.dtype, device=code.device).unsqueeze(1).expand(m, n, m)
        (rows,) = torch.autograd.grad(code, x, units, is_grads_batched=True, create_graph=differentiable)
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
