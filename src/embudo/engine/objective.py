"""The objective: one batch in, named losses out."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from embudo.engine.distribution import world
from embudo.errors import InvalidParameter
from embudo.nn.network import Network
from embudo.nn.sparsity import keep_largest, sparsity_rules
from embudo.parts.corruptions import Corruption
from embudo.parts.losses import LossFunction, cross_entropy
from embudo.parts.penalties import Penalty, Step

CorruptionFunction = Callable[[Tensor, torch.Generator], Tensor]


class Objective(nn.Module):
    """What is minimised: a batch and its targets in, named losses out.

    Parameters
    ----------
    network : nn.Module
        Its weights are what is learnt.
    corruption : Corruption or callable, optional
        What the network sees. A callable is given x and the generator.
    seed : int, default=0
        Decides what is drawn.
    """

    def __init__(
        self, network: nn.Module, *, corruption: Corruption | CorruptionFunction | None = None, seed: int = 0
    ) -> None:
        super().__init__()
        self.corruption, self.rules = corruption, sparsity_rules(network)
        self.generator = torch.Generator(next(network.parameters()).device).manual_seed(seed)
        self.memory: dict[str, Tensor] = {}
        self.world = world()
        for rule in self.rules:
            rule.world = self.world

    def forward(self, x: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return each term of the objective, a scalar, by name; their sum is minimised."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it minimises.")

    def measure(self, x: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return the mean of each measure over held-out samples, by name: "loss", without corruption, and others."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it measures.")

    def badness(self, measured: dict[str, float]) -> tuple[float, ...]:
        """Return what early stopping compares, the smaller the better, of the measures of all held-out samples."""
        return (measured["loss"],)

    def corrupted(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return what the network sees of a batch, and the weight of each entry in the loss (None: 1)."""
        if self.corruption is None:
            return x, None
        own = self.world.own
        if isinstance(self.corruption, Corruption):
            x_in, emphasis = self.corruption(self.world.whole(x), self.generator)
            return own(x_in), None if emphasis is None else own(emphasis)
        whole = self.world.gathered(x.clone())
        shape = whole.shape
        x_in = self.corruption(whole, self.generator)
        if x_in.shape != shape:
            raise InvalidParameter(
                f"A corruption must return a batch of the shape it is given, {tuple(shape)}; it returned "
                f"{tuple(x_in.shape)}."
            )
        return own(x_in), None

    def rule_costs(self) -> dict[str, Tensor]:
        """Return what the sparsity rules cost in this step."""
        costs = [cost for rule in self.rules if (cost := rule.take_cost()) is not None]
        return {"sparsity": torch.stack(costs).sum()} if costs else {}


class Reconstruction(Objective):
    """The distance of reconstruction and clean input, and what else costs.

    Parameters
    ----------
    network : Network
        Its weights are what is learnt.
    loss : callable
        Of reconstruction and target; `cross_entropy` is given logits.
    penalty : Penalty, optional
        What else costs.
    revive : tuple of int and float, optional
        How many dead units reconstruct a sample by themselves, and what the loss of that weighs.
    corruption, seed
        As of `Objective`.
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
        super().__init__(network, corruption=corruption, seed=seed)
        self.network, self.loss, self.revive = network, loss, revive
        self.penalties: dict[str, Penalty] = penalty.terms if penalty else {}
        # the loss of probabilities is computed on their logits, where it keeps its precision
        self.logits = network.decoder[:-1] if loss is cross_entropy else None

    def forward(self, x: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return each term of the objective, a scalar, by name; their sum is minimised."""
        network = self.network
        target, place = target[:, : x.shape[1]], target[:, x.shape[1] :]
        x_in, emphasis = self.corrupted(x)
        pre = network.encoder(x_in)
        code = pre if network.sparsity is None else network.sparsity(pre)
        output, y = self._decoded(code)
        terms = {"reconstruction": self.loss(output, target, emphasis)}
        if self.revive is not None:
            revived = self.revived(pre)
            lost = pre.new_zeros(()) if revived is None else self.loss(self._decoded(revived)[0], target, None)
            terms["revival"] = self.revive[1] * lost
        if self.penalties:
            step = self.record(x_in, target, place, pre, code, y)
            terms.update({kind: penalty(step) for kind, penalty in self.penalties.items()})
        return terms | self.rule_costs()

    def record(self, x_in: Tensor, target: Tensor, place: Tensor, pre: Tensor, code: Tensor, y: Tensor) -> Step:
        """Return what a step computed, for penalties to look at."""
        return Step(
            x=target,
            x_in=x_in,
            pre=pre,
            code=code,
            y=y,
            place=place,
            encode=self.network.encode,
            encoder=self.network.encoder,
            generator=self.generator,
            memory=self.memory,
            world=self.world,
        )

    def measure(self, x: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return the mean loss of samples as they are, without corruption or penalties."""
        return {"loss": self.loss(self._decoded(self.network.encode(x))[0], target, None)}

    def _decoded(self, code: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the loss is given, and the reconstruction."""
        if self.logits is None:
            y = self.network.decode(code)
            return y, y
        logits: Tensor = self.logits(code)
        return logits, logits.sigmoid()

    def revived(self, pre: Tensor) -> Tensor | None:
        """Return the code of the largest dead units, which reconstruct a sample by themselves; None where all live."""
        rule = self.network.sparsity
        if self.revive is None or rule is None or (dead := rule.dead) is None:
            return None
        # largest by the rule's own measure: a unit that the rule would not choose cannot come back
        candidates = pre.masked_fill(~dead, 0.0 if rule.by_magnitude else -torch.inf)
        return keep_largest(candidates, min(self.revive[0], int(dead.sum())), rule.by_magnitude)


class Classification(Objective):
    """Cross-entropy between the softmax of the network's logits and the class of each sample.

    Parameters
    ----------
    network : nn.Module
        From scaled samples to logits, shape (n, n_classes).
    class_weight : Tensor of shape (n_classes,)
        What the samples of each class weigh.
    corruption, seed
        As of `Objective`.
    """

    def __init__(
        self,
        network: nn.Module,
        class_weight: Tensor,
        *,
        corruption: Corruption | CorruptionFunction | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(network, corruption=corruption, seed=seed)
        self.network, self.class_weight = network, class_weight

    def forward(self, x: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return the mean weighted cross-entropy, and what the sparsity rules cost."""
        x_in, _ = self.corrupted(x)
        return {"cross_entropy": self._cross_entropy(self.network(x_in), target), **self.rule_costs()}

    def measure(self, x: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return loss and accuracy of samples as they are."""
        logits = self.network(x)
        right = logits.argmax(1) == target
        return {"loss": self._cross_entropy(logits, target), "accuracy": right.to(logits.dtype).mean()}

    def badness(self, measured: dict[str, float]) -> tuple[float, ...]:
        """Return what early stopping compares: accuracy, and loss where accuracies are the same."""
        return -measured["accuracy"], measured["loss"]

    def _cross_entropy(self, logits: Tensor, target: Tensor) -> Tensor:
        losses = F.cross_entropy(logits, target, reduction="none")
        return (self.class_weight[target] * losses).mean()
