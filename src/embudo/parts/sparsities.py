"""Sparsity rules: which units may speak."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from embudo.errors import InvalidParameter, check_choice, check_number
from embudo.parts.part import Part

if TYPE_CHECKING:
    from embudo.nn.sparsity import SparsityModule

BY = ("magnitude", "value")


@dataclasses.dataclass(frozen=True, repr=False)
class Sparsity(Part):
    """Base of the sparsity rules."""

    def build(self, n_components: int) -> SparsityModule:
        """Return the torch module that maps encoder outputs to codes of the same shape.

        Raises
        ------
        InvalidParameter
            If the rule does not fit so many units.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say what its module is.")

    @property
    def revival(self) -> tuple[int, float] | None:
        """How many dead units reconstruct by themselves and what that weighs, or None."""
        return None


@dataclasses.dataclass(frozen=True, repr=False)
class TopK(Sparsity):
    """The k largest units of each sample speak, all others are 0 [1]_.

    Parameters
    ----------
    k : int, default=25
        Units that speak while training, at most `n_components`.
    by : {"magnitude", "value"}, default="magnitude"
        Largest by ``|h|`` or by ``h``.
    k_encode : int or None, default=None
        Units that speak afterwards, in ``transform`` and ``reconstruct``. None is `k`; Makhzani and Frey found 3k
        better for classification.
    anneal : float, default=0.0
        Share of the training over which the number of units falls from all to `k`, along a line.
    revive : float, default=0.0
        Weight of an auxiliary loss by which dead units, those that have not spoken for 200 steps, come back: that of
        what the `k` largest of them reconstruct by themselves. 1/32 is enough for long trainings, up to 1 for short
        ones or few units that speak: Adam remembers for some thousand steps how large the gradients of a unit were
        while it spoke, and until then a light loss moves it little. In [2]_ they reconstruct what the others left; but
        units that learn so little stay too small to be chosen.

    References
    ----------
    .. [1] Makhzani and Frey (2013). k-Sparse autoencoders. arXiv:1312.5663.
    .. [2] Gao et al. (2024). Scaling and evaluating sparse autoencoders. arXiv:2406.04093, section 2.4.

    Examples
    --------
    >>> from embudo import Autoencoder, TopK
    >>> Autoencoder(1000, sparsity=TopK(25, k_encode=75))
    Autoencoder(n_components=1000, sparsity=TopK(k_encode=75))
    """

    k: int = 25
    _: dataclasses.KW_ONLY
    by: str = "magnitude"
    k_encode: int | None = None
    anneal: float = 0.0
    revive: float = 0.0

    def validate(self) -> None:
        """Raise `InvalidParameter` if a field is not allowed."""
        check_number("TopK.k", self.k, low=1, integer=True)
        check_choice("TopK.by", self.by, BY)
        if self.k_encode is not None:
            check_number("TopK.k_encode (when not None)", self.k_encode, low=1, integer=True)
        check_number("TopK.anneal", self.anneal, low=0, high=1)
        check_number("TopK.revive", self.revive, low=0)

    @property
    def revival(self) -> tuple[int, float] | None:
        """How many dead units reconstruct by themselves and what that weighs, or None."""
        return (self.k, self.revive) if self.revive else None

    def build(self, n_components: int) -> SparsityModule:
        """Return the torch module of the rule."""
        from embudo.nn.sparsity import TopKModule

        k_encode = self.k if self.k_encode is None else self.k_encode
        for name, k in (("k", self.k), ("k_encode", k_encode)):
            if k > n_components:
                raise InvalidParameter(f"TopK.{name} must be at most n_components={n_components}; got {k}.")
        return TopKModule(n_components, self.k, k_encode, self.by == "magnitude", self.anneal)


@dataclasses.dataclass(frozen=True, repr=False)
class BatchTopK(Sparsity):
    """The ``n * k`` largest units of a batch of n samples speak: k a sample on average [1]_.

    Afterwards a unit speaks where it exceeds a threshold: the running mean of the smallest that spoke while training.

    Parameters
    ----------
    k : int, default=25
        Units that speak, on average.
    by : {"magnitude", "value"}, default="magnitude"
        Largest by ``|h|`` or by ``h``.
    revive : float, default=0.0
        As for `TopK`.

    References
    ----------
    .. [1] Bussmann, Leask and Nanda (2024). BatchTopK sparse autoencoders. arXiv:2412.06410.
    """

    k: int = 25
    _: dataclasses.KW_ONLY
    by: str = "magnitude"
    revive: float = 0.0

    def validate(self) -> None:
        """Raise `InvalidParameter` if a field is not allowed."""
        check_number("BatchTopK.k", self.k, low=1, integer=True)
        check_choice("BatchTopK.by", self.by, BY)
        check_number("BatchTopK.revive", self.revive, low=0)

    @property
    def revival(self) -> tuple[int, float] | None:
        """How many dead units reconstruct by themselves and what that weighs, or None."""
        return (self.k, self.revive) if self.revive else None

    def build(self, n_components: int) -> SparsityModule:
        """Return the torch module of the rule."""
        from embudo.nn.sparsity import BatchTopKModule

        if self.k > n_components:
            raise InvalidParameter(f"BatchTopK.k must be at most n_components={n_components}; got {self.k}.")
        return BatchTopKModule(n_components, self.k, self.by == "magnitude")


@dataclasses.dataclass(frozen=True, repr=False)
class JumpReLU(Sparsity):
    """A unit speaks where it exceeds a threshold of its own, which is learnt: ``h_j = z_j [z_j > theta_j]`` [1]_.

    Each unit that speaks costs `weight`: ``weight * mean_n sum_j [z_nj > theta_j]``. The thresholds' gradients, of the
    cost and of the reconstruction, are estimated with a rectangular kernel of width `bandwidth`.

    Parameters
    ----------
    weight : float, default=0.01
        Cost of a unit that speaks, in units of the loss.
    threshold : float, default=0.01
        First threshold of every unit.
    bandwidth : float, default=0.05
        Width of the kernel, in units of the code.

    References
    ----------
    .. [1] Rajamanoharan et al. (2024). Jumping ahead: improving reconstruction fidelity with JumpReLU sparse
       autoencoders. arXiv:2407.14435.
    """

    weight: float = 0.01
    _: dataclasses.KW_ONLY
    threshold: float = 0.01
    bandwidth: float = 0.05

    def validate(self) -> None:
        """Raise `InvalidParameter` if a field is out of bounds."""
        check_number("JumpReLU.weight", self.weight, low=0)
        check_number("JumpReLU.threshold", self.threshold, low=0, open_low=True)
        check_number("JumpReLU.bandwidth", self.bandwidth, low=0, open_low=True)

    def build(self, n_components: int) -> SparsityModule:
        """Return the torch module of the rule."""
        from embudo.nn.sparsity import JumpReLUModule

        return JumpReLUModule(n_components, self.weight, self.threshold, self.bandwidth)
