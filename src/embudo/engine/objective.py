"""The objective: one batch in, named losses out."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from embudo.errors import InvalidParameter
from embudo.nn.network import Network
from embudo.nn.sparsity import keep_largest, sparsity_rules
from embudo.parts.corruptions import Corruption
from embudo.parts.losses import LossFunction, cross_entropy
from embudo.parts.penalties import Penalty, Step

CorruptionFunction = Callable[[Tensor, torch.Generator], Tensor]


class Objective(nn.Module):
    """What is minimised: the distance of reconstruction and clean input, and what else costs.

    Parameters
    ----------
    network : Network
        Its weights are what is learnt.
    loss : callable
        Of reconstruction and target; `cross_entropy` is given logits.
    corruption : Corruption or callable, optional
        What the encoder sees. A callable is given x and the generator.
    penalty : Penalty, optional
        What else costs.
    revive : tuple of int and float, optional
        How many dead units reconstruct a sample by themselves, and what the loss of that weighs.
    seed : int, default=0
        Decides what is drawn.
    """

    def __init__(
        self,
        network: Network,
        loss: LossFunction,
        *,
        corruption: Corruption | CorruptionFunction | None = None,
        penalty: Penalty | None = None,
        revive: tuple[int, float] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.network, self.loss, self.corruption, self.revive = network, loss, corruption, revive
        self.penalties: dict[str, Penalty] = penalty.terms if penalty else {}
        self.rules = sparsity_rules(network)
        self.generator = torch.Generator(next(network.parameters()).device).manual_seed(seed)
        self.memory: dict[str, Tensor] = {}
        # the loss of probabilities is computed on their logits, where it keeps its precision
        self.logits = network.decoder[:-1] if loss is cross_entropy else None

    def forward(self, x: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return each term of the objective, a scalar, by name; their sum is minimised."""
        network = self.network
        x_in, emphasis = self._corrupted(x)
        pre = network.encoder(x_in)
        code = pre if network.sparsity is None else network.sparsity(pre)
        output, y = self._decoded(code)
        terms = {"reconstruction": self.loss(output, target, emphasis)}
        if self.revive is not None:
            terms["revival"] = self._revival(pre, target, *self.revive)
        if self.penalties:
            step = Step(
                x=target,
                x_in=x_in,
                pre=pre,
                code=code,
                y=y,
                encode=network.encode,
                encoder=network.encoder,
                generator=self.generator,
                memory=self.memory,
            )
            terms.update({kind: penalty(step) for kind, penalty in self.penalties.items()})
        costs = [cost for rule in self.rules if (cost := rule.take_cost()) is not None]
        if costs:
            terms["sparsity"] = torch.stack(costs).sum()
        return terms

    def reconstruction_loss(self, x: Tensor, target: Tensor) -> Tensor:
        """Return the loss of samples as they are, without corruption or penalties: what validation measures."""
        return self.loss(self._decoded(self.network.encode(x))[0], target, None)

    def _corrupted(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        if self.corruption is None:
            return x, None
        if isinstance(self.corruption, Corruption):
            return self.corruption(x, self.generator)
        x_in = self.corruption(x.clone(), self.generator)
        if x_in.shape != x.shape:
            raise InvalidParameter(
                f"Autoencoder.corruption must return a batch of the shape it is given, {tuple(x.shape)}; it returned "
                f"{tuple(x_in.shape)}."
            )
        return x_in, None

    def _decoded(self, code: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the loss is given, and the reconstruction."""
        if self.logits is None:
            y = self.network.decode(code)
            return y, y
        logits: Tensor = self.logits(code)
        return logits, logits.sigmoid()

    def _revival(self, pre: Tensor, target: Tensor, k: int, weight: float) -> Tensor:
        """Return the weighted loss of what the k largest dead units reconstruct by themselves."""
        rule = self.network.sparsity
        if rule is None or (dead := rule.dead) is None:
            return target.new_zeros(())
        # largest by the rule's own measure: a unit that the rule would not choose cannot come back
        candidates = pre.masked_fill(~dead, 0.0 if rule.by_magnitude else -torch.inf)
        code = keep_largest(candidates, min(k, int(dead.sum())), rule.by_magnitude)
        return weight * self.loss(self._decoded(code)[0], target, None)
