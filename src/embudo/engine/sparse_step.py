"""The step for wide codes of which few units speak: gradients by the units that do."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from embudo.engine.objective import Objective, Reconstruction
from embudo.engine.runtime import Runtime
from embudo.engine.step import AutogradStep
from embudo.nn.active import SparseCode, few_speak, set_sum, sparse_encoder
from embudo.nn.activations import derivative
from embudo.nn.layers import Dense, TiedDense
from embudo.parts.training import Training


class SparseStep(AutogradStep):
    """A step of which the encoder's product alone is as large as the code is wide.

    A code is what its units say, by whom. The decoder's first layer sums the rows of its weight W, one a unit, that belong
    to units that speak. With r the gradient of that sum, the gradient of what a unit says is the product of r and the
    unit's row; the gradient of W, ``h^T r``, is a sum of few rows of r for each unit, which lie together once values are
    sorted by units; that of the encoder's weight likewise. Layers before and after are differentiated by autograd.

    Parameters
    ----------
    objective, training, runtime
        As of `TrainingStep`.
    """

    objective: Reconstruction

    def __init__(self, objective: Objective, training: Training, runtime: Runtime) -> None:
        super().__init__(objective, training, runtime)
        network = self.objective.network
        found = sparse_encoder(network)
        assert found is not None, "suits"
        self.before, self.encoder = found
        self.decoder: Dense | TiedDense = network.decoder[0]
        output = network.decoder if self.objective.logits is None else self.objective.logits
        self.after = output[1:]
        self.encoder_grad = torch.empty_like(self.encoder.layer.weight)
        # a row for each unit: fused optimizers are slow where memory has another order
        self.rows = nn.Parameter(self.decoder.weight.detach().t())
        self.rows_grad = torch.empty_like(self.rows) if isinstance(self.decoder, Dense) else self.encoder_grad
        self.optimizer = training.optimizer.build(
            self.rows if parameter is self.decoder.weight else parameter for parameter in self.parameters
        )

    @classmethod
    def suits(cls, objective: Objective, runtime: Runtime) -> bool:
        """Return whether few of many units speak, between dense layers, and nothing else costs."""
        return (
            type(objective) is Reconstruction
            and not objective.penalties
            and sparse_encoder(objective.network) is not None
            and isinstance(objective.network.decoder[0], Dense | TiedDense)
            and runtime.device.type == "cpu"
            and not runtime.bfloat16
        )

    @torch.enable_grad()
    def differentiate(self, x: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return the terms of the objective, and leave the gradient of their sum in ``grad`` of the parameters."""
        objective, rule = self.objective, self.encoder.rule
        self.objective.zero_grad(set_to_none=True)
        if not few_speak(rule, rule.k_now):  # annealing has only begun
            terms = super().differentiate(x, target)
            if isinstance(self.decoder, Dense):
                self.rows.grad = self.decoder.weight.grad.t()
            return terms
        target = target[:, : x.shape[1]]
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
        """Return the sums of rows of the decoder, whose gradient, and that of the code's values, backward keeps."""
        code.values.requires_grad_()
        summed = code.times(self.rows.detach())
        summed.retain_grad()
        return summed

    def _output(self, summed: Tensor) -> Tensor:
        output: Tensor = self.after(summed + self.decoder.bias)
        return output

    @torch.no_grad()
    def _finish(self, given: Tensor, passes: list[tuple[SparseCode, Tensor]]) -> None:
        """Set the gradient of the two layers beside the code, and of what comes before."""
        layer = self.encoder.layer
        to_encoder, to_decoder = [], []
        layer.bias.grad, given_grad = torch.zeros_like(layer.bias), torch.zeros_like(given)
        for code, summed in passes:
            grad = code.values.grad * derivative(self.encoder.activation, code.values.detach(), lambda: None)
            by_unit, order = code.transposed()
            to_decoder.append((by_unit, summed.grad))
            to_encoder.append((dataclasses.replace(by_unit, values=grad[order]), given))
            layer.bias.grad.add_(code.units.bincount(grad, minlength=code.n_components))
            if given.requires_grad:
                given_grad += dataclasses.replace(code, values=grad).times(layer.weight)
        if isinstance(self.decoder, TiedDense):
            set_sum(self.encoder_grad, [*to_encoder, *to_decoder])
        else:
            set_sum(self.encoder_grad, to_encoder)
            set_sum(self.rows_grad, to_decoder)
            self.rows.grad = self.rows_grad
            self.decoder.weight.grad = self.rows_grad.t()
        layer.weight.grad = self.encoder_grad
        if given.requires_grad:
            given.backward(given_grad)
