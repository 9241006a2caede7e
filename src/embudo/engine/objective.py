"""The objective: one batch in, named losses out."""

from __future__ import annotations

from torch import Tensor, nn

from embudo.nn.network import Network
from embudo.parts.losses import LossFunction, cross_entropy
from embudo.parts.penalties import Penalty, Step


class Objective(nn.Module):
    """What is minimised: the distance of reconstruction and input, and the penalties.

    Parameters
    ----------
    network : Network
        Its weights are what is learnt.
    loss : callable
        Of reconstruction and target; `cross_entropy` is given logits.
    penalty : Penalty, optional
        What else costs.
    """

    def __init__(self, network: Network, loss: LossFunction, penalty: Penalty | None = None) -> None:
        super().__init__()
        self.network, self.loss = network, loss
        self.penalties = penalty.terms if penalty else {}
        # the loss of probabilities is computed on their logits, where it keeps its precision
        self.logits = network.decoder[:-1] if loss is cross_entropy else None

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return each term of the objective, a scalar, by name; their sum is minimised."""
        code = self.network.encode(x)
        if self.logits is None:
            y = output = self.network.decode(code)
        else:
            output = self.logits(code)
            y = output.sigmoid()
        terms = {"reconstruction": self.loss(output, x)}
        if self.penalties:
            step = Step(x=x, x_in=x, code=code, y=y, encode=self.network.encode)
            terms.update({kind: penalty(step) for kind, penalty in self.penalties.items()})
        return terms

    def reconstruction_loss(self, x: Tensor) -> Tensor:
        """Return the loss of clean samples without penalties: what validation measures."""
        output = self.network(x) if self.logits is None else self.logits(self.network.encode(x))
        return self.loss(output, x)
