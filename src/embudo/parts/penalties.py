"""Penalties: what else costs, beside the distance between reconstruction and input.

A penalty maps the record of one training step to one number, in the units of the loss: summed over
features, averaged over samples. Penalties add up: ``L2(1e-4) + L1(1e-3)``.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Self

from embudo.errors import InvalidParameter, check_number
from embudo.parts.part import Part, nested_params, replaced

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Step:
    """What one training step computed, for penalties to look at.

    Attributes
    ----------
    x : Tensor of shape (n, n_features)
        The clean target, scaled.
    x_in : Tensor of shape (n, n_features)
        What the encoder saw.
    code : Tensor of shape (n, n_components)
        What ``transform`` would return.
    y : Tensor of shape (n, n_features)
        The reconstruction, scaled.
    encode : callable
        The map from `x_in` to `code`.
    """

    x: Tensor
    x_in: Tensor
    code: Tensor
    y: Tensor
    encode: Callable[[Tensor], Tensor]


@dataclasses.dataclass(frozen=True, repr=False)
class Penalty(Part):
    """Base of the penalties; `a + b` is their sum."""

    @property
    def terms(self) -> dict[str, Penalty]:
        """The penalties that this one is the sum of, by kind."""
        return {type(self).__name__.lower(): self}

    def __call__(self, step: Step) -> Tensor:
        """Return the weighted penalty of one step, a scalar."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it costs.")

    def __add__(self, other: object) -> Sum:
        if not isinstance(other, Penalty):
            return NotImplemented
        return Sum((*self.terms.values(), *other.terms.values()))


@dataclasses.dataclass(frozen=True, repr=False)
class Sum(Penalty):
    """Penalties of different kinds, added up; made with ``+``.

    Its parameters are keyed by kind: ``penalty__l1``, ``penalty__l1__weight``.
    """

    addends: tuple[Penalty, ...]

    def validate(self) -> None:
        """Raise `InvalidParameter` if two addends are of one kind."""
        kinds = [type(addend).__name__ for addend in self.addends]
        for kind in kinds:
            if kinds.count(kind) > 1:
                raise InvalidParameter(f"A sum of penalties holds {kind} twice: give it once, with one weight.")

    @property
    def terms(self) -> dict[str, Penalty]:
        """The addends by kind."""
        return {kind: addend for part in self.addends for kind, addend in part.terms.items()}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the addends by kind; with `deep`, also their fields, as ``kind__field``."""
        return nested_params(self.terms) if deep else dict(self.terms)

    def with_params(self, **params: Any) -> Self:
        """Return a sum in which the named addends or their fields, ``kind__field``, are replaced."""
        terms = self.terms | replaced("The sum of penalties", self.terms, params)
        return type(self)(tuple(terms.values()))

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.addends))


@dataclasses.dataclass(frozen=True, repr=False)
class L1(Penalty):
    """Absolute size of the code: ``weight * mean_n sum_j |h_nj|``.

    Parameters
    ----------
    weight : float
        Cost of a unit of absolute activation.

    Examples
    --------
    >>> from embudo import L1, L2
    >>> L1(1e-3) + L2(0.5)
    L1(0.001) + L2(0.5)
    """

    weight: float

    def validate(self) -> None:
        """Raise `InvalidParameter` if the weight is negative or not finite."""
        check_number("L1.weight", self.weight, low=0)

    def __call__(self, step: Step) -> Tensor:
        """Return the weighted penalty of one step, a scalar."""
        return self.weight * step.code.abs().sum() / len(step.code)


@dataclasses.dataclass(frozen=True, repr=False)
class L2(Penalty):
    """Squared size of the code: ``weight * mean_n sum_j h_nj^2``.

    The size of the weights is the optimizer's matter: ``Adam(weight_decay=...)``.

    Parameters
    ----------
    weight : float
        Cost of a unit of squared activation.
    """

    weight: float

    def validate(self) -> None:
        """Raise `InvalidParameter` if the weight is negative or not finite."""
        check_number("L2.weight", self.weight, low=0)

    def __call__(self, step: Step) -> Tensor:
        """Return the weighted penalty of one step, a scalar."""
        return self.weight * step.code.square().sum() / len(step.code)
