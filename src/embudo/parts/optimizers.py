"""Optimizers: how a gradient becomes a step."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING

from embudo.errors import InvalidParameter, check_choice, check_number
from embudo.parts.part import Part

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclasses.dataclass(frozen=True, repr=False)
class Optimizer(Part):
    """Base of the optimizers: a learning rate and a decoupled weight decay."""

    lr: float = 1e-3
    _: dataclasses.KW_ONLY
    weight_decay: float = 0.0

    def validate(self) -> None:
        """Raise `InvalidParameter` if a field is out of bounds."""
        check_number(f"{type(self).__name__}.lr", self.lr, low=0, open_low=True)
        check_number(f"{type(self).__name__}.weight_decay", self.weight_decay, low=0)

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Return the torch optimizer of `parameters`."""
        raise NotImplementedError(f"{type(self).__name__} does not say how to build itself.")

    def _groups(self, parameters: Iterable[nn.Parameter]) -> list[dict[str, object]]:
        """Split off the biases, which do not decay; one group is faster where nothing does."""
        parameters = list(parameters)
        if self.weight_decay == 0:
            return [{"params": parameters, "weight_decay": 0.0}]
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": self.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        return [group for group in groups if group["params"]]


@dataclasses.dataclass(frozen=True, repr=False)
class Adam(Optimizer):
    """Adam (Kingma and Ba 2015) with decoupled weight decay (AdamW, Loshchilov and Hutter 2019).

    Parameters
    ----------
    lr : float, default=1e-3
        Learning rate; with a schedule, its greatest value.
    weight_decay : float, default=0.0
        Each step shrinks weights, not biases, by ``lr * weight_decay``.
    betas : (float, float), default=(0.9, 0.999)
        Decay of the running means of the gradient and of its square.
    eps : float, default=1e-8
        Added to the denominator.

    Examples
    --------
    >>> from embudo import Adam
    >>> Adam(1e-2, weight_decay=1e-4)
    Adam(0.01, weight_decay=0.0001)
    """

    _: dataclasses.KW_ONLY
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8

    def validate(self) -> None:
        """Raise `InvalidParameter` if a field is out of bounds."""
        super().validate()
        if not isinstance(self.betas, tuple) or len(self.betas) != 2:
            raise InvalidParameter(f"Adam.betas must be a pair of numbers; got {self.betas!r}.")
        for beta in self.betas:
            check_number("A number in Adam.betas", beta, low=0, high=1, open_high=True)
        check_number("Adam.eps", self.eps, low=0, open_low=True)

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Return the fused torch optimizer of `parameters`."""
        from embudo.nn.optimizers import FusedAdamW

        return FusedAdamW(self._groups(parameters), lr=self.lr, betas=self.betas, eps=self.eps, fused=True)


@dataclasses.dataclass(frozen=True, repr=False)
class SGD(Optimizer):
    """Stochastic gradient descent, with momentum (Polyak 1964; Sutskever et al. 2013) as an option.

    Parameters
    ----------
    lr : float, default=1e-3
        Learning rate; with a schedule, its greatest value.
    weight_decay : float, default=0.0
        Added to the gradient of weights, not biases, times the weight.
    momentum : float, default=0.0
        Share of the last step that is kept.
    nesterov : bool, default=False
        Look ahead along the momentum; needs ``momentum > 0``.

    Examples
    --------
    >>> from embudo import SGD
    >>> SGD(0.1, momentum=0.9)
    SGD(0.1, momentum=0.9)
    """

    _: dataclasses.KW_ONLY
    momentum: float = 0.0
    nesterov: bool = False

    def validate(self) -> None:
        """Raise `InvalidParameter` if a field is out of bounds."""
        super().validate()
        check_number("SGD.momentum", self.momentum, low=0, high=1, open_high=True)
        check_choice("SGD.nesterov", self.nesterov, (True, False))
        if self.nesterov and self.momentum == 0:
            raise InvalidParameter("SGD.nesterov needs momentum greater than 0; got momentum=0.0.")

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Return the fused torch optimizer of `parameters`."""
        from embudo.nn.optimizers import FusedSGD

        return FusedSGD(
            self._groups(parameters), lr=self.lr, momentum=self.momentum, nesterov=self.nesterov, fused=True
        )
