"""The step for wide codes of which few units speak: gradients by the units that do."""

from __future__ import annotations

import dataclasses
from typing import cast

import torch
from torch import Tensor, nn

from embudo.engine.objective import Objective, Reconstruction
from embudo.engine.runtime import Runtime
from embudo.engine.step import AutogradStep
from embudo.nn.activations import derivative
from embudo.nn.active import SparseCode, SparseEncoder, few_speak, sparse_encoder, sums
from embudo.nn.layers import Dense, TiedDense
from embudo.nn.optimizers import FusedAdamW
from embudo.parts.training import Training


class SparseStep(AutogradStep):
    """A step of which the encoder's product alone is as large as the code is wide.

    A code is what its units say, and by whom. The decoder's first layer sums those rows of its weight W, one for each
    unit, that belong to units that speak. With r the gradient of that sum, the gradient of what a unit says is the
    product of r and its row; that of W, ``h^T r``, is for each unit a sum of few rows of r, which lie together once
    values are sorted by units; that of the encoder's weight likewise. Layers before the encoder's last and after the
    decoder's first are differentiated automatically.

    Parameters
    ----------
    objective, training, runtime
        As of `TrainingStep`.
    """

    takes_shares = False  # the largest units of a batch are looked for here alone

    def __init__(self, objective: Objective, training: Training, runtime: Runtime) -> None:
        super().__init__(objective, training, runtime)
        self.reconstruction = cast("Reconstruction", objective)
        network, logits = self.reconstruction.network, self.reconstruction.logits
        self.before, self.encoder = cast("tuple[nn.Sequential, SparseEncoder]", sparse_encoder(network))
        self.decoder = cast("Dense | TiedDense", network.decoder[0])
        output = cast("nn.Sequential", network.decoder if logits is None else logits)
        self.after = nn.Sequential(*list(output)[1:])
        # a row for each unit, as it lies in memory: fused optimizers are slow otherwise
        self.rows = nn.Parameter(self.decoder.weight.detach().t())
        self.optimizer = training.optimizer.build(
            self.rows if parameter is self.decoder.weight else parameter for parameter in self.parameters
        )
        #: for each wide weight the products whose sum is its gradient
        self.wide: dict[Tensor, list[tuple[SparseCode, Tensor]]] = {}
        self.grads: dict[Tensor, Tensor] = {}  #: room for those gradients, where they are wanted as a whole
        laid_in_rows = self.rows.is_contiguous()
        self.by_blocks = isinstance(self.optimizer, FusedAdamW) and training.clip is None and laid_in_rows

    @classmethod
    def suits(cls, objective: Objective, runtime: Runtime) -> bool:
        """Return whether few of many units speak, between dense layers, and nothing else costs."""
        return (
            type(objective) is Reconstruction
            and not objective.penalties
            and len(objective.rules) == 1
            and sparse_encoder(objective.network) is not None
            and objective.network.takes_sparse_codes
            and runtime.device.type == "cpu"
            and not runtime.bfloat16
        )

    @torch.enable_grad()
    def differentiate(self, x: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return the terms of the objective, and leave the gradient of their sum in ``grad`` of the parameters."""
        objective, rule = self.reconstruction, self.encoder.rule
        objective.zero_grad(set_to_none=True)
        self.rows.grad = None
        if not few_speak(rule, rule.k_now):  # annealing has only begun
            terms = super().differentiate(x, target)
            if isinstance(self.decoder, Dense):
                self.rows.grad = cast("Tensor", self.decoder.weight.grad).t()
            return terms
        x_in, emphasis = objective.corrupted(x)
        given = self.before(x_in)
        code = self.encoder.encode(given.detach())
        rule.note(code.spoke, code.values)
        passes = [(code, self._summed(code))]
        terms = {"reconstruction": objective.loss(self._output(passes[0][1]), target, emphasis)}
        if objective.revive is not None:
            terms["revival"] = target.new_zeros(())
            if (dead := rule.dead) is not None:
                k, weight = objective.revive
                chosen = dead.nonzero().squeeze(1)
                code = self.encoder.of_each(given.detach(), min(k, len(chosen)), chosen)
                passes.append((code, self._summed(code)))
                terms["revival"] = weight * objective.loss(self._output(passes[1][1]), target, None)
        torch.stack(list(terms.values())).sum().backward()
        self._finish(given, passes)
        return terms

    def _summed(self, code: SparseCode) -> Tensor:
        """Return sums of the decoder's rows; backward keeps their gradient, and that of the code's values."""
        code.values.requires_grad_()
        summed = code.times(self.rows.detach())
        summed.retain_grad()
        return summed

    def _output(self, summed: Tensor) -> Tensor:
        output: Tensor = self.after(summed + self.decoder.bias)
        return output

    @torch.no_grad()
    def _finish(self, given: Tensor, passes: list[tuple[SparseCode, Tensor]]) -> None:
        """Set the gradient of the two layers beside the code, and of what comes before them."""
        layer, to_encoder, to_decoder = self.encoder.layer, [], []
        bias_grad, given_grad = torch.zeros_like(layer.bias), torch.zeros_like(given)
        for code, summed in passes:
            values = code.values.detach()
            grad = cast("Tensor", code.values.grad) * derivative(self.encoder.activation, values, lambda: given)
            by_unit, order = code.transposed()
            to_decoder.append((by_unit, cast("Tensor", summed.grad)))
            to_encoder.append((dataclasses.replace(by_unit, values=grad[order]), given))
            bias_grad += code.units.bincount(grad, minlength=code.n_components)
            if given.requires_grad:
                given_grad += dataclasses.replace(code, values=grad).times(layer.weight)
        if isinstance(self.decoder, TiedDense):
            self.wide = {layer.weight: [*to_encoder, *to_decoder]}
        else:
            self.wide = {layer.weight: to_encoder, self.rows: to_decoder}
        if not self.by_blocks:
            self._set_gradients()
        layer.bias.grad = bias_grad
        if given.requires_grad:
            given.backward(given_grad)

    def _set_gradients(self) -> None:
        """Set the gradients of the wide weights."""
        for parameter, products in self.wide.items():
            if parameter not in self.grads:
                self.grads[parameter] = torch.empty_like(parameter)
            parameter.grad = self.grads[parameter]
            for rows, grad in sums(products):
                parameter.grad[rows] = grad
        if self.rows.grad is not None:
            self.decoder.weight.grad = self.rows.grad.t()
        self.wide = {}

    @torch.no_grad()
    def update(self) -> None:
        """Change the weights by the gradient; of wide ones a block of units after the other, as it is found."""
        if self.wide:
            cast("FusedAdamW", self.optimizer).step(blocks={p: sums(products) for p, products in self.wide.items()})
            self.wide = {}
        else:
            super().update()
