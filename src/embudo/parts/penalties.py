"""Penalties: what else costs, beside the distance between reconstruction and input.

A penalty maps the record of one training step to one number, in the units of the loss: summed over
features, averaged over samples. Penalties add up: ``Contractive(0.1) + L1(1e-3)``.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from embudo.errors import InvalidParameter, check_number
from embudo.nn.world import ALONE, World
from embudo.parts.part import Combination, Part

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import Tensor, nn


@dataclasses.dataclass(frozen=True)
class Step:
    """What one training step computed, for penalties to look at.

    Attributes
    ----------
    x : Tensor of shape (n, n_features)
        The clean target, scaled.
    x_in : Tensor of shape (n, n_features)
        What the encoder saw: x, corrupted.
    pre : Tensor of shape (n, n_components)
        The encoder's output, before a sparsity rule chose which units may speak.
    code : Tensor of shape (n, n_components)
        What ``transform`` would return for `x_in`.
    y : Tensor of shape (n, n_features)
        The reconstruction, scaled.
    place : Tensor of shape (n, n_components)
        Where the codes of neighbours lie together; of no columns where no penalty asks for it.
    encode : callable
        The map from `x_in` to `code`.
    encoder : nn.Sequential
        The layers of that map.
    generator : torch.Generator
        For penalties that draw.
    memory : dict
        What a penalty keeps from step to step.
    world : World
        Who holds the rest of the batch; what is not a mean over samples asks there.
    """

    x: Tensor
    x_in: Tensor
    pre: Tensor
    code: Tensor
    y: Tensor
    place: Tensor
    encode: Callable[[Tensor], Tensor]
    encoder: nn.Sequential
    generator: torch.Generator
    memory: dict[str, Tensor]
    world: World = ALONE


@dataclasses.dataclass(frozen=True, repr=False)
class Penalty(Part):
    """Base of the penalties; `a + b` is their sum."""

    def __call__(self, step: Step) -> Tensor:
        """Return the weighted penalty of one step, a scalar."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it costs.")

    def has_gradient(self, encoder: nn.Sequential) -> bool:
        """Return whether `gradient` is written out, in this very class, for codes of `encoder`."""
        return "gradient" in vars(type(self))

    def gradient(self, step: Step) -> dict[str, Tensor]:
        """Return the gradient, after the penalty itself was asked for, by what it is taken with respect to.

        "code" and "pre" are those of the step, in the order of the computation: what is given for one takes what comes
        before it as fixed. "weight" is that of the encoder's only layer.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say what its gradient is.")

    def check(self, code_activation: str) -> None:
        """Raise `InvalidParameter` if the penalty makes no sense for codes of this activation."""

    def __add__(self, other: object) -> Sum:
        if not isinstance(other, Penalty):
            return NotImplemented
        return Sum((*self.terms.values(), *other.terms.values()))


@dataclasses.dataclass(frozen=True, repr=False)
class Sum(Combination, Penalty):
    """Penalties of different kinds, added up; made with ``+``."""

    def check(self, code_activation: str) -> None:
        """Raise `InvalidParameter` if one of the penalties makes no sense for codes of this activation."""
        for term in self.terms.values():
            term.check(code_activation)


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

    def gradient(self, step: Step) -> dict[str, Tensor]:
        """Return ``weight / n * sign(h)``."""
        return {"code": step.code.sign().mul_(self.weight / len(step.code))}


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

    def gradient(self, step: Step) -> dict[str, Tensor]:
        """Return ``2 weight / n * h``."""
        return {"code": step.code * (2 * self.weight / len(step.code))}


@dataclasses.dataclass(frozen=True, repr=False)
class KLSparsity(Penalty):
    r"""Each unit's mean activation is pulled towards `rho`, by the Kullback-Leibler divergence.

    ``weight * sum_j rho log(rho / q_j) + (1 - rho) log((1 - rho) / (1 - q_j))``, where ``q_j`` is the mean of unit j
    over the batch, or over the training so far [1]_. The code must lie in (0, 1): ``code_activation="sigmoid"``.

    Parameters
    ----------
    rho : float, default=0.05
        Mean activation that costs nothing, in (0, 1).
    weight : float, default=1.0
        Cost of a unit of divergence (a nat), per code unit.
    running : float, default=0.0
        Share of the running mean that is kept at each step, in [0, 1): 0 is the mean of the batch alone. With small
        batches, 0.9 or more is steadier. The gradient is that of the batch's mean, taken at the running one.

    References
    ----------
    .. [1] Ng (2011). Sparse autoencoder. CS294A lecture notes, Stanford. Also Nair and Hinton (2009). 3D object
       recognition with deep belief nets.

    Examples
    --------
    >>> from embudo import Autoencoder, KLSparsity
    >>> Autoencoder(200, code_activation="sigmoid", penalty=KLSparsity(0.05, weight=0.5))
    Autoencoder(code_activation='sigmoid', n_components=200, penalty=KLSparsity(weight=0.5))
    """

    rho: float = 0.05
    _: dataclasses.KW_ONLY
    weight: float = 1.0
    running: float = 0.0

    def validate(self) -> None:
        """Raise `InvalidParameter` if a field is out of bounds."""
        check_number("KLSparsity.rho", self.rho, low=0, high=1, open_low=True, open_high=True)
        check_number("KLSparsity.weight", self.weight, low=0)
        check_number("KLSparsity.running", self.running, low=0, high=1, open_high=True)

    def check(self, code_activation: str) -> None:
        """Raise `InvalidParameter` unless the code lies in (0, 1)."""
        if code_activation != "sigmoid":
            raise InvalidParameter(
                f"KLSparsity compares mean activations with rho as probabilities, but "
                f'code_activation={code_activation!r} can leave (0, 1): set code_activation="sigmoid".'
            )

    def __call__(self, step: Step) -> Tensor:
        """Return the weighted penalty of one step, a scalar."""
        import torch

        q = step.code.mean(0, dtype=torch.promote_types(step.code.dtype, torch.float32))
        mean = step.world.mean(q.detach())
        if self.running:
            before = step.memory.get("mean_activation", mean)
            mean = self.running * before + (1 - self.running) * mean
            step.memory["mean_activation"] = mean
        q = mean + q - q.detach()
        q = q.clamp(1e-7, 1 - 1e-7)
        rho = self.rho
        on = rho * (rho / q).log()
        off = (1 - rho) * ((1 - rho) / (1 - q)).log()
        return self.weight * (on + off).sum()

    def gradient(self, step: Step) -> dict[str, Tensor]:
        """Return ``weight / n * ((1 - rho) / (1 - q_j) - rho / q_j)``, the same for each sample."""
        q = step.memory["mean_activation"] if self.running else step.world.mean(step.code.mean(0))
        slope = (1 - self.rho) / (1 - q) - self.rho / q
        slope = slope.masked_fill((q < 1e-7) | (q > 1 - 1e-7), 0.0)
        return {"code": slope * (self.weight / len(step.code))}


@dataclasses.dataclass(frozen=True, repr=False)
class Contractive(Penalty):
    r"""The encoder shall change little where its input changes little: ``weight * mean_n ||J(x_n)||_F^2``.

    J is the Jacobian of the code with respect to what the encoder sees, and the norm is Frobenius', squared: the sum
    of all squared partial derivatives [1]_. For one layer and an elementwise activation s it is
    ``sum_j s'(z_j)^2 sum_i W_ji^2``, as cheap as the layer. For deeper encoders it is exact by one vector-Jacobian
    product a code unit, or estimated without bias by a few random ones, ``E_v ||v^T J||^2`` with ``E v v^T = I`` [2]_.

    Parameters
    ----------
    weight : float, default=0.1
        Cost of a unit of squared norm, between scaled values.
    probes : int or None, default=None
        Random directions a sample. None is exact.

    References
    ----------
    .. [1] Rifai, Vincent, Muller, Glorot and Bengio (2011). Contractive auto-encoders: explicit invariance during
       feature extraction. ICML.
    .. [2] Hutchinson (1990). A stochastic estimator of the trace of the influence matrix for Laplacian smoothing
       splines. Communications in Statistics 19.

    Examples
    --------
    >>> from embudo import Contractive, L1
    >>> Contractive(0.1) + L1(1e-4)
    Contractive() + L1(0.0001)
    """

    weight: float = 0.1
    _: dataclasses.KW_ONLY
    probes: int | None = None

    def validate(self) -> None:
        """Raise `InvalidParameter` if a field is out of bounds."""
        check_number("Contractive.weight", self.weight, low=0)
        if self.probes is not None:
            check_number("Contractive.probes (when not None)", self.probes, low=1, integer=True)

    def __call__(self, step: Step) -> Tensor:
        """Return the weighted penalty of one step, a scalar."""
        from embudo.nn.jacobian import dense_norm, estimated_norm, exact_norm, is_dense

        if self.probes is not None:
            norm = estimated_norm(step.encode, step.x_in, self.probes, step.generator, step.world)
        elif is_dense(step.encoder):
            norm = dense_norm(step.encoder, step.x_in, step.pre, step.code)
        else:
            norm = exact_norm(step.encode, step.x_in)
        return self.weight * norm.mean()

    def has_gradient(self, encoder: nn.Sequential) -> bool:
        """Return whether the norm is exact, and that of one layer."""
        from embudo.nn.jacobian import is_dense

        return super().has_gradient(encoder) and self.probes is None and is_dense(encoder)

    def gradient(self, step: Step) -> dict[str, Tensor]:
        """Return ``2 weight / n`` times ``s'(z_nj) s''(z_nj) sum_i W_ji^2`` and ``W_ji sum_n s'(z_nj)^2``."""
        from embudo.nn.jacobian import dense_norm_gradient

        pre, weight = dense_norm_gradient(step.encoder, step.x_in, step.pre, step.code)
        scale = self.weight / len(step.code)
        return {"weight": weight.mul_(scale)} | ({} if pre is None else {"pre": pre.mul_(scale)})


@dataclasses.dataclass(frozen=True, repr=False)
class Neighbours(Penalty):
    r"""Codes shall lie where neighbours lie together: ``weight * mean_n log(1 + ||h_n - z_n||^2)``.

    z is the layout of the samples that UMAP's objective asks for [1]_: neighbours near each other, and others far. When
    `fit` begins, the fuzzy graph of the nearest neighbours of the scaled samples is made, and laid out by gradient
    descent in as many dimensions as the code has. The encoder learns where samples lie, and so where new ones belong,
    as in a parametric UMAP [2]_; one that it would put elsewhere pulls little, as the logarithm bounds the gradient.
    Codes of two or three units become useful as maps. They must reach everywhere: ``code_activation="identity"``.
    `partial_fit` lays out each chunk from where its codes are.

    Parameters
    ----------
    weight : float, default=10.0
        Cost of a unit of log distance (a nat), per sample.
    n_neighbors : int, default=15
        Size of a neighbourhood, the sample itself included. More show the large, fewer the small.
    min_dist : float, default=0.1
        Distance up to which codes are as near as can be, in [0, 3).

    References
    ----------
    .. [1] McInnes, Healy and Melville (2018). UMAP: uniform manifold approximation and projection for dimension
       reduction. arXiv:1802.03426.
    .. [2] Sainburg, McInnes and Gentner (2021). Parametric UMAP embeddings for representation and semisupervised
       learning. Neural Computation 33.

    Examples
    --------
    >>> from embudo import Autoencoder, Neighbours
    >>> Autoencoder(2, penalty=Neighbours(n_neighbors=30))
    Autoencoder(n_components=2, penalty=Neighbours(n_neighbors=30))
    """

    weight: float = 10.0
    _: dataclasses.KW_ONLY
    n_neighbors: int = 15
    min_dist: float = 0.1

    def validate(self) -> None:
        """Raise `InvalidParameter` if a field is out of bounds."""
        check_number("Neighbours.weight", self.weight, low=0)
        check_number("Neighbours.n_neighbors", self.n_neighbors, low=2, integer=True)
        check_number("Neighbours.min_dist", self.min_dist, low=0, high=3, open_high=True)

    def check(self, code_activation: str) -> None:
        """Raise `InvalidParameter` unless codes can lie anywhere."""
        if code_activation != "identity":
            raise InvalidParameter(
                f"Neighbours puts codes anywhere, but those of code_activation={code_activation!r} do not reach "
                'everywhere: set code_activation="identity".'
            )

    def __call__(self, step: Step) -> Tensor:
        """Return the weighted penalty of one step, a scalar."""
        return self.weight * (step.code - step.place).square().sum(1).log1p().mean()

    def gradient(self, step: Step) -> dict[str, Tensor]:
        """Return ``2 weight / n * (h_n - z_n) / (1 + ||h_n - z_n||^2)``."""
        off = step.code - step.place
        squared = off.square().sum(1, keepdim=True)
        return {"code": off.mul_(2 * self.weight / len(off)).div_(squared.add_(1))}
