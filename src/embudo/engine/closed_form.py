"""Backpropagation written out: the gradient of a multilayer perceptron, a layer at a time.

With ``a_0 = x`` and, for each layer l, ``z_l = a_{l-1} W_l^T + b_l`` and ``a_l = s(z_l)``, the derivative of the cost
C with respect to what a layer puts out gives those with respect to its weights and to what it was given (Rumelhart,
Hinton and Williams 1986, Learning representations by back-propagating errors, Nature 323):

    D_l = dC/da_l * s'(z_l)        dC/dW_l = D_l^T a_{l-1}        dC/db_l = sum_n D_l        dC/da_{l-1} = D_l W_l

Nothing is recorded and nothing is allocated anew in each step, so that a step costs hardly more than its products.
"""

from __future__ import annotations

import contextlib
import itertools
import operator
from collections.abc import Iterable, Iterator
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from embudo.engine.arithmetic import NumPy, Torch, Values
from embudo.engine.objective import Objective, Reconstruction
from embudo.engine.runtime import Runtime
from embudo.engine.step import TrainingStep
from embudo.nn.activations import is_elementwise
from embudo.nn.layers import Dense, TiedDense
from embudo.parts.losses import GRADIENTS
from embudo.parts.penalties import Step
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
    by : type of Torch
        What computes.
    """

    def __init__(
        self, linear: Dense | TiedDense, activation: nn.Module | None, grads: dict[Tensor, Tensor], by: type[Torch]
    ) -> None:
        self.by = by
        self.activate, self.back = by.activation(activation)
        own = linear.weight if isinstance(linear, Dense) else linear.source.weight
        pair = own.detach(), grads[own]
        self.weight, self.weight_grad = (by.given(w if isinstance(linear, Dense) else w.t()) for w in pair)
        self.bias, self.bias_grad = by.given(linear.bias.detach()), by.given(grads[linear.bias])
        self.weight_t = self.weight.T
        self.empty = linear.bias.detach().new_empty
        self.buffers = self.rows = [by.given(self.empty(0, width)) for width in self.weight.shape]

    def forward(self, x: Values) -> Values:
        """Return ``a = s(x W^T + b)``, shape (n, n_out)."""
        n = x.shape[0]
        if n != self.rows[0].shape[0]:
            if n > self.buffers[0].shape[0]:
                self.buffers = [self.by.given(self.empty(n, width)) for width in self.weight.shape]
            self.rows = [buffer[:n] for buffer in self.buffers]
        self.x = x
        self.z = self.by.affine(x, self.weight_t, self.bias, self.rows[0])
        self.a = self.activate(self.z)
        return self.a

    def backward(self, d: Values, *, again: bool = False, shared: bool = False, further: bool = True) -> Values:
        """Set the gradients, given dC/da, and return dC/dx.

        Parameters
        ----------
        d : of shape (n, n_out)
            Overwritten.
        again : bool, default=False
            Whether these gradients are added to those of the way back before.
        shared : bool, default=False
            Whether another layer has set the gradient of the same weights already.
        further : bool, default=True
            Whether dC/dx is asked for; `d` is returned otherwise.
        """
        d = self.back(d, self.a, self.z)
        self.by.product(d.T, self.x, self.weight_grad, add=again or shared)
        self.by.sum(d, self.bias_grad, add=again)
        return self.by.product(d, self.weight, self.rows[1]) if further else d


class Layers:
    """The dense layers of encoder and decoder, and what computes with them."""

    def __init__(self, objective: Reconstruction, grads: dict[Tensor, Tensor], by: type[Torch]) -> None:
        network, logits = objective.network, objective.logits
        self.by, self.loss = by, by.loss(objective.loss)
        self.encoder = dense_layers(network.encoder, grads, by)
        self.decoder = dense_layers(network.decoder if logits is None else logits, grads, by)


class ClosedFormStep(TrainingStep):
    """A step whose gradient is written out, for dense layers with elementwise activations."""

    takes_shares = True
    small_product = 2**18  #: multiply-adds of a product up to which NumPy makes it; OpenBLAS starts no threads then

    def __init__(self, objective: Objective, training: Training, runtime: Runtime) -> None:
        super().__init__(objective, training, runtime)
        self.reconstruction = cast("Reconstruction", objective)
        self.rule = self.reconstruction.network.sparsity
        self.grads: dict[Tensor, Tensor] = {
            parameter: torch.zeros_like(parameter) for parameter in objective.parameters()
        }
        self.prepared: dict[type[Torch], Layers] = {}
        self.n = -1
        self.tied = any(isinstance(layer, TiedDense) for layer in self.reconstruction.network.decoder.children())
        self.largest = max(parameter.numel() for parameter in self.grads)

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

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Have the gradients where they are set here: another step may have learnt in between."""
        for parameter, grad in self.grads.items():
            parameter.grad = grad
        with super().at_work(), np.errstate(all="ignore"):  # what is not finite is looked for after each epoch
            yield

    def _prepare(self, n: int) -> None:
        """Take the layers for batches of `n` samples."""
        small = self.runtime.device.type == "cpu" and n * self.largest <= self.small_product
        by = NumPy if small else Torch
        if by not in self.prepared:
            self.prepared[by] = Layers(self.reconstruction, self.grads, by)
        self.n, self.layers = n, self.prepared[by]

    def differentiate(self, x: Tensor, target: Tensor) -> dict[str, Any]:
        """Return the terms of the objective, and leave the gradient of their sum in ``grad`` of the parameters."""
        if x.shape[0] != self.n:
            self._prepare(x.shape[0])
        objective, rule, layers, by = self.reconstruction, self.rule, self.layers, self.layers.by
        given = target.to(self.runtime.device)
        x = given if x is target else x.to(self.runtime.device)
        target = given if given is x or given.shape == x.shape else given[:, : x.shape[1]]
        x_in, emphasis = objective.corrupted(x)
        wanted = by.given(target)
        pre = _forward(layers.encoder, wanted if x_in is target else by.given(x_in))
        code = pre if rule is None else by.given(rule(by.tensor(pre)))
        output = _forward(layers.decoder, code)
        loss, d = layers.loss(output, wanted, None if emphasis is None else by.given(emphasis))
        terms = {"reconstruction": loss}
        d = _backward(layers.decoder, d)

        of_weight: list[Tensor] = []
        if rule is not None or objective.penalties:
            seen = [by.tensor(values) for values in (pre, code, output)]
            step = objective.record(x_in, target, given[:, x.shape[1] :], *seen)
            d, of_weight = self._through_code(step, by.tensor(d), terms)
            d = by.given(d)
        _backward(layers.encoder, d, shared=self.tied, further=False)
        for gradient in of_weight:
            by.tensor(layers.encoder[0].weight_grad).add_(gradient)
        return terms if rule is None else terms | objective.rule_costs()

    def _through_code(self, step: Step, d: Tensor, terms: dict[str, Any]) -> tuple[Tensor, list[Tensor]]:
        """Return dC/dz of the encoder's last layer, given dC/dh, and gradients of a weight; note penalties as terms."""
        objective, rule = self.reconstruction, self.rule
        gradients: dict[str, list[Tensor]] = {}
        for kind, penalty in objective.penalties.items():
            terms[kind] = penalty(step)
            for name, gradient in penalty.gradient(step).items():
                gradients.setdefault(name, []).append(gradient)
        d = _sum(d, gradients.get("code", ()))
        d = _sum(d if rule is None else rule.backward(step.pre, step.code, d), gradients.get("pre", ()))
        if objective.revive is not None:
            d, terms["revival"] = self._revive(step.pre, step.x, d, objective.revive[1])
        return d, gradients.get("weight", [])

    def _revive(self, pre: Tensor, target: Tensor, d: Tensor, weight: float) -> tuple[Tensor, Any]:
        """Add to `d` what dead units learn, which reconstruct by themselves, and return it with that term."""
        revived = self.reconstruction.revived(pre)
        if revived is None:
            return d, pre.new_zeros(())
        d, layers, by = d.clone(), self.layers, self.layers.by  # the decoder is gone through again
        loss, back = layers.loss(_forward(layers.decoder, by.given(revived)), by.given(target), None)
        back *= weight
        back = by.tensor(_backward(layers.decoder, back, again=True))
        return d.add_(back.masked_fill_(revived == 0, 0.0)), loss * weight


def _forward(layers: list[DenseLayer], x: Values) -> Values:
    for layer in layers:
        x = layer.forward(x)
    return x


def _backward(
    layers: list[DenseLayer], d: Values, *, again: bool = False, shared: bool = False, further: bool = True
) -> Values:
    for layer in reversed(layers):
        d = layer.backward(d, again=again, shared=shared, further=further or layer is not layers[0])
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


def dense_layers(layers: nn.Module, grads: dict[Tensor, Tensor], by: type[Torch]) -> list[DenseLayer]:
    """Return the layers of a perceptron, each with its activation."""
    pairs: list[tuple[Dense | TiedDense, nn.Module | None]] = []
    for layer in layers.children():
        if isinstance(layer, Dense | TiedDense):
            pairs.append((layer, None))
        else:
            pairs[-1] = (pairs[-1][0], layer)
    return [DenseLayer(*pair, grads, by) for pair in pairs]
