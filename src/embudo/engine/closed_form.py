"""Backpropagation written out: the gradient of a multilayer perceptron, a layer at a time.

With ``a_0 = x`` and, for each layer l, ``z_l = a_{l-1} W_l^T + b_l`` and ``a_l = s(z_l)``, the derivative of the cost
C with respect to what a layer puts out gives those with respect to its weights and to what it was given (Rumelhart,
Hinton and Williams 1986, Learning representations by back-propagating errors, Nature 323):

    D_l = dC/da_l * s'(z_l)        dC/dW_l = D_l^T a_{l-1}        dC/db_l = sum_n D_l        dC/da_{l-1} = D_l W_l

Nothing is recorded and nothing is allocated anew in each step, so that a step costs hardly more than its products.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from embudo.engine.objective import Objective, Reconstruction
from embudo.engine.runtime import Runtime
from embudo.engine.step import TrainingStep
from embudo.nn.activations import forward_and_backward, is_elementwise
from embudo.nn.layers import Dense, TiedDense
from embudo.parts.losses import GRADIENTS
from embudo.parts.training import Training


class DenseLayer:
    """A dense layer and the activation that follows it, with what the last batch left there.

    Parameters
    ----------
    linear : Dense or TiedDense
        Its weight is that of another layer, if it is tied.
    activation : nn.Module or None
        None is the identity.
    grads : dict
        Where the gradient of each parameter is put.
    """

    def __init__(self, linear: Dense | TiedDense, activation: nn.Module | None, grads: dict[Tensor, Tensor]) -> None:
        self.activate, self.back = forward_and_backward(activation)
        self.bias, self.bias_grad = linear.bias.detach(), grads[linear.bias]
        if isinstance(linear, TiedDense):
            self.weight, self.weight_grad = (
                w.t() for w in (linear.source.weight.detach(), grads[linear.source.weight])
            )
        else:
            self.weight, self.weight_grad = linear.weight.detach(), grads[linear.weight]
        self.weight_t = self.weight.t()
        self.buffers = [self.bias.new_empty(0, n) for n in self.weight.shape]
        self.rows = [buffer[:0] for buffer in self.buffers]

    def forward(self, x: Tensor) -> Tensor:
        """Return ``a = s(x W^T + b)``, shape (n, n_out)."""
        n = x.shape[0]
        if n != self.rows[0].shape[0]:
            if n > self.buffers[0].shape[0]:
                self.buffers = [x.new_empty(n, width) for width in self.weight.shape]
            self.rows = [buffer[:n] for buffer in self.buffers]
        self.x = x
        self.z = torch.addmm(self.bias, x, self.weight_t, out=self.rows[0])
        self.a = self.activate(self.z)
        return self.a

    def backward(self, d: Tensor, *, again: bool = False, shared: bool = False, further: bool = True) -> Tensor:
        """Set the gradients, given dC/da, and return dC/dx.

        Parameters
        ----------
        d : Tensor of shape (n, n_out)
            Overwritten.
        again : bool, default=False
            Whether these gradients are added to those of the way back before.
        shared : bool, default=False
            Whether another layer has set the gradient of the same weights already.
        further : bool, default=True
            Whether dC/dx is asked for; `d` is returned otherwise.
        """
        d = self.back(d, self.a, self.z)
        self.weight_grad.addmm_(d.t(), self.x, beta=float(again or shared))
        if again:
            self.bias_grad.add_(d.sum(0))
        else:
            torch.sum(d, 0, out=self.bias_grad)
        return torch.mm(d, self.weight, out=self.rows[1]) if further else d


class ClosedFormStep(TrainingStep):
    """A step whose gradient is written out, for dense layers with elementwise activations."""

    takes_shares = True

    def __init__(self, objective: Objective, training: Training, runtime: Runtime) -> None:
        super().__init__(objective, training, runtime)
        self.reconstruction = cast("Reconstruction", objective)
        network, logits = self.reconstruction.network, self.reconstruction.logits
        self.rule, self.loss_gradient = network.sparsity, GRADIENTS[self.reconstruction.loss]
        self.grads: dict[Tensor, Tensor] = {
            parameter: torch.zeros_like(parameter) for parameter in objective.parameters()
        }
        self.encoder = dense_layers(network.encoder, self.grads)
        self.decoder = dense_layers(network.decoder if logits is None else logits, self.grads)
        self.tied = any(isinstance(layer, TiedDense) for layer in network.decoder.children())

    @classmethod
    def suits(cls, objective: Objective, runtime: Runtime) -> bool:
        """Return whether the derivatives of all that `objective` is made of are written out."""
        if type(objective) is not Reconstruction or runtime.bfloat16:
            return False
        network = objective.network
        return (
            objective.loss in GRADIENTS
            and is_perceptron(network.encoder)
            and is_perceptron(network.decoder)
            and all(penalty.has_gradient(network.encoder) for penalty in objective.penalties.values())
        )

    def differentiate(self, x: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return the terms of the objective, and leave the gradient of their sum in ``grad`` of the parameters."""
        for parameter, grad in self.grads.items():
            if parameter.grad is not grad:  # another step may have learnt in between
                parameter.grad = grad
        objective, rule = self.reconstruction, self.rule
        x, given = x.to(self.runtime.device), target.to(self.runtime.device)
        target = given if given.shape == x.shape else given[:, : x.shape[1]]
        x_in, emphasis = objective.corrupted(x)
        pre = _forward(self.encoder, x_in)
        code = pre if rule is None else rule(pre)
        output = _forward(self.decoder, code)
        loss, d = self.loss_gradient(output, target, emphasis)
        terms = {"reconstruction": loss}
        d = _backward(self.decoder, d)

        gradients: dict[str, list[Tensor]] = {}
        if objective.penalties:
            step = objective.record(x_in, target, given[:, x.shape[1] :], pre, code, output)
            for kind, penalty in objective.penalties.items():
                terms[kind] = penalty(step)
                for name, gradient in penalty.gradient(step).items():
                    gradients.setdefault(name, []).append(gradient)
        d = _sum(d, gradients.get("code", ()))
        d = _sum(d if rule is None else rule.backward(pre, code, d), gradients.get("pre", ()))
        if objective.revive is not None:
            d, terms["revival"] = self._revive(pre, target, d, objective.revive[1])
        for layer in reversed(self.encoder):
            d = layer.backward(d, shared=self.tied, further=layer is not self.encoder[0])
        _sum(self.encoder[0].weight_grad, gradients.get("weight", ()))
        return terms if rule is None else terms | objective.rule_costs()

    def _revive(self, pre: Tensor, target: Tensor, d: Tensor, weight: float) -> tuple[Tensor, Tensor]:
        """Add to `d` what dead units learn, which reconstruct by themselves, and return it with that term."""
        revived = self.reconstruction.revived(pre)
        if revived is None:
            return d, pre.new_zeros(())
        d = d.clone()  # the decoder is gone through again
        loss, back = self.loss_gradient(_forward(self.decoder, revived), target, None)
        back = _backward(self.decoder, back.mul_(weight), again=True)
        return d.add_(back.masked_fill_(revived == 0, 0.0)), loss * weight


def _forward(layers: list[DenseLayer], x: Tensor) -> Tensor:
    for layer in layers:
        x = layer.forward(x)
    return x


def _backward(layers: list[DenseLayer], d: Tensor, *, again: bool = False) -> Tensor:
    for layer in reversed(layers):
        d = layer.backward(d, again=again)
    return d


def _sum(total: Tensor, others: Iterable[Tensor]) -> Tensor:
    for other in others:
        total.add_(other)
    return total


def is_perceptron(layers: nn.Sequential) -> bool:
    """Return whether `layers` are dense, each with at most one elementwise activation after it."""
    dense = [False, *(isinstance(layer, Dense | TiedDense) for layer in layers)]
    known = all(is_dense or is_elementwise(layer) for is_dense, layer in zip(dense[1:], layers, strict=True))
    return known and all(itertools.starmap(operator.or_, itertools.pairwise(dense)))


def dense_layers(layers: nn.Module, grads: dict[Tensor, Tensor]) -> list[DenseLayer]:
    """Return the layers of a perceptron, each with its activation."""
    pairs: list[tuple[Dense | TiedDense, nn.Module | None]] = []
    for layer in layers.children():
        if isinstance(layer, Dense | TiedDense):
            pairs.append((layer, None))
        else:
            pairs[-1] = (pairs[-1][0], layer)
    return [DenseLayer(*pair, grads) for pair in pairs]
