"""Squared Frobenius norms of Jacobians, a sample at a time, and differentiable."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from embudo.nn.activations import curvature, derivative
from embudo.nn.layers import Dense
from embudo.nn.world import ALONE, World


def is_dense(encoder: nn.Sequential) -> bool:
    """Return whether `encoder` is one dense layer, with or without an activation."""
    return [isinstance(layer, Dense) for layer in encoder] in ([True], [True, False])


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
        slope = slope.masked_fill(_silenced(pre, code), 0.0)
    return slope.square() @ layer.weight.square().sum(1)


def dense_norm_gradient(encoder: nn.Sequential, x: Tensor, pre: Tensor, code: Tensor) -> tuple[Tensor | None, Tensor]:
    """Return the derivative of the sum of `dense_norm` over samples.

    Parameters
    ----------
    encoder, x, pre, code
        As of `dense_norm`.

    Returns
    -------
    pre : Tensor of shape (n, n_components) or None
        With respect to `pre`, ``2 s''(z_nj) sum_i W_ji^2``; None where that is 0.
    weight : Tensor of shape (n_components, n_features)
        With respect to the layer's weight, ``2 W_ji sum_n s'(z_nj)^2``.
    """
    layer = cast("Dense", encoder[0])
    activation = encoder[1] if len(encoder) == 2 else None
    speaks = 1.0 if code is pre else (~_silenced(pre, code)).to(pre.dtype)
    slope = derivative(activation, pre, lambda: layer(x)) * speaks
    bend = curvature(activation, pre, lambda: layer(x))
    along_pre = None if bend is None else bend * speaks * (2 * layer.weight.square().sum(1))
    return along_pre, 2 * layer.weight * slope.square().sum(0).unsqueeze(1)


def _silenced(pre: Tensor, code: Tensor) -> Tensor:
    return (code == 0) & (pre != 0)


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


def estimated_norm(
    encode: Callable[[Tensor], Tensor], x: Tensor, probes: int, generator: torch.Generator, world: World = ALONE
) -> Tensor:
    """Return an unbiased estimate for each sample, shape (n,): the mean of ``||v^T J||^2`` over random signs v.

    They are drawn for the whole batch of which x is a share in `world`.
    """
    x = x.detach().requires_grad_()
    total = torch.zeros(len(x), dtype=x.dtype, device=x.device)
    with torch.enable_grad():
        code = encode(x)
        for _ in range(probes):
            v = torch.empty_like(world.whole(code)).bernoulli_(0.5, generator=generator).mul_(2).sub_(1)
            (row,) = torch.autograd.grad(code, x, world.own(v), create_graph=True)
            total = total + row.square().flatten(1).sum(1)
    return total / probes
