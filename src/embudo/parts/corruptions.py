"""Corruptions: what the encoder sees instead of x, drawn afresh at every step; the target stays clean.

Corruptions follow each other: ``GaussianNoise(0.1) + MaskingNoise(0.25)`` adds noise, then masks. They act on scaled
values, and only while training.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from embudo.errors import InvalidParameter, check_number
from embudo.parts.part import Combination, Part

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclasses.dataclass(frozen=True, repr=False)
class Corruption(Part):
    """Base of the corruptions: a conditional distribution R(x_in | x); `a + b` is a, then b."""

    def __call__(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Draw from R(x_in | x).

        Parameters
        ----------
        x : Tensor of shape (n, n_features)
            Clean samples; left as they are.
        generator : torch.Generator
            What is drawn from.

        Returns
        -------
        x_in : Tensor of shape (n, n_features)
        emphasis : Tensor of shape (n, n_features) or None
            Weight of each entry in the loss; None is 1 everywhere.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say what it does.")

    def __add__(self, other: object) -> InTurn:
        if not isinstance(other, Corruption):
            return NotImplemented
        return InTurn((*self.terms.values(), *other.terms.values()))


@dataclasses.dataclass(frozen=True, repr=False)
class InTurn(Combination, Corruption):
    """Corruptions one after the other; made with ``+``.

    Where several of them emphasise entries in the loss, an entry weighs the mean of its weights.
    """

    def __call__(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Apply each corruption to what the one before it left."""
        weights = []
        for corruption in self.addends:
            x, emphasis = corruption(x, generator)
            if emphasis is not None:
                weights.append(emphasis)
        return x, sum(weights[1:], weights[0]) / len(weights) if weights else None


@dataclasses.dataclass(frozen=True, repr=False)
class GaussianNoise(Corruption):
    """Additive isotropic noise, ``x_in = x + std * n`` with n standard normal [1]_.

    Parameters
    ----------
    std : float or (float, float), default=0.3
        Standard deviation, in units of the scaled features. Of a pair, low and high, each sample draws one of its own,
        its logarithm evenly between theirs: noise of many levels, which the network is not told.

    References
    ----------
    .. [1] Vincent, Larochelle, Lajoie, Bengio and Manzagol (2010). Stacked denoising autoencoders. JMLR 11.

    Examples
    --------
    >>> from embudo import GaussianNoise, MaskingNoise
    >>> GaussianNoise(0.1) + MaskingNoise(0.5)
    GaussianNoise(0.1) + MaskingNoise(0.5)
    """

    std: float | tuple[float, float] = 0.3

    def validate(self) -> None:
        """Raise `InvalidParameter` if the deviation is negative or not finite, or not a pair that rises."""
        if not isinstance(self.std, tuple):
            check_number("GaussianNoise.std", self.std, low=0)
            return
        for std in self.std:
            check_number("GaussianNoise.std", std, low=0, open_low=True)
        if len(self.std) != 2 or self.std[0] >= self.std[1]:
            raise InvalidParameter(f"GaussianNoise.std must be a number or a pair (low, high); got {self.std!r}.")

    def __call__(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Add noise to every entry."""
        import torch

        noise = torch.empty_like(x).normal_(generator=generator)
        if not isinstance(self.std, tuple):
            return torch.add(x, noise, alpha=self.std), None
        low, high = map(math.log, self.std)
        each = (len(x),) + (1,) * (x.ndim - 1)
        std = torch.empty(each, dtype=x.dtype, device=x.device).uniform_(low, high, generator=generator).exp_()
        return torch.addcmul(x, noise, std), None


@dataclasses.dataclass(frozen=True, repr=False)
class MaskingNoise(Corruption):
    """Each entry is set to 0 with probability `fraction`, independently [1]_.

    Parameters
    ----------
    fraction : float, default=0.25
        Probability, in [0, 1).
    emphasis : float, default=0.5
        What corrupted entries weigh in the loss, in [0, 1]; the others weigh ``1 - emphasis``, both times 2. 0.5 is no
        emphasis, 1 is that of the corrupted entries alone ([2]_, section 4.3 there).

    References
    ----------
    .. [1] Vincent, Larochelle, Bengio and Manzagol (2008). Extracting and composing robust features with denoising
       autoencoders. ICML.
    .. [2] Vincent, Larochelle, Lajoie, Bengio and Manzagol (2010). Stacked denoising autoencoders. JMLR 11.
    """

    fraction: float = 0.25
    _: dataclasses.KW_ONLY
    emphasis: float = 0.5

    def validate(self) -> None:
        """Raise `InvalidParameter` if the probability is not in [0, 1)."""
        check_number("MaskingNoise.fraction", self.fraction, low=0, high=1, open_high=True)
        check_number("MaskingNoise.emphasis", self.emphasis, low=0, high=1)

    def __call__(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Mask entries."""
        import torch

        masked = torch.empty_like(x).uniform_(generator=generator) < self.fraction
        return x.masked_fill(masked, 0.0), emphasised(masked, self.emphasis, x)


@dataclasses.dataclass(frozen=True, repr=False)
class SaltAndPepper(Corruption):
    """Each entry is set, with probability `fraction`, to `low` or to `high`, by a fair coin [1]_.

    Parameters
    ----------
    fraction : float, default=0.25
        Probability, in [0, 1).
    low, high : float, default=0.0, 1.0
        The two values, in units of the scaled features.
    emphasis : float, default=0.5
        As for `MaskingNoise`.

    References
    ----------
    .. [1] Vincent, Larochelle, Lajoie, Bengio and Manzagol (2010). Stacked denoising autoencoders. JMLR 11.
    """

    fraction: float = 0.25
    _: dataclasses.KW_ONLY
    low: float = 0.0
    high: float = 1.0
    emphasis: float = 0.5

    def validate(self) -> None:
        """Raise `InvalidParameter` if the probability is not in [0, 1), or `low` is not less than `high`."""
        check_number("SaltAndPepper.fraction", self.fraction, low=0, high=1, open_high=True)
        check_number("SaltAndPepper.emphasis", self.emphasis, low=0, high=1)
        check_number("SaltAndPepper.low", self.low)
        check_number("SaltAndPepper.high", self.high)
        if self.low >= self.high:
            raise InvalidParameter(f"SaltAndPepper.low must be less than high; got {self.low!r} and {self.high!r}.")

    def __call__(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Set entries to one of two values."""
        import torch

        u = torch.empty_like(x).uniform_(generator=generator)
        pepper, salt = u < self.fraction / 2, u >= 1 - self.fraction / 2
        return x.masked_fill(pepper, self.low).masked_fill(salt, self.high), emphasised(pepper | salt, self.emphasis, x)


def emphasised(corrupted: Tensor, emphasis: float, x: Tensor) -> Tensor | None:
    """Return the weight of each entry in the loss: ``2 emphasis`` where corrupted, ``2 (1 - emphasis)`` elsewhere."""
    if emphasis == 0.5:
        return None
    return corrupted.to(x.dtype).mul_(4 * emphasis - 2).add_(2 - 2 * emphasis)
