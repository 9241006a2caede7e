"""Sparsity rules as torch modules: from the encoder's output to the code."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from embudo.nn.world import ALONE, World

DEAD_AFTER = 200  #: steps without a word after which a unit counts as dead


class SparsityModule(nn.Module):
    """Base of the rules: counts for each unit the steps since it last spoke.

    Parameters
    ----------
    n_components : int
        Units.
    """

    by_magnitude = True  #: whether units are compared by ``|h|``, or by ``h``

    def __init__(self, n_components: int) -> None:
        super().__init__()
        self.n_components = n_components
        self.done = 1.0  #: share of the training that is over
        self.world: World = ALONE  #: who holds the rest of the batch
        self.silent_steps: Tensor | None = None
        self._noted = False  #: whether this step's code was seen
        self._cost: Tensor | None = None

    def forward(self, pre: Tensor) -> Tensor:
        """Return the code of `pre`; the first time in a training step, note which units spoke and what it costs."""
        code = self.select(pre)
        if self.training and not self._noted:
            self.observe(code)
            self._noted, self._cost = True, self.cost(pre)
        return code

    def take_cost(self) -> Tensor | None:
        """Return what the rule cost in this step, or None; what comes next is another step."""
        cost, self._noted, self._cost = self._cost, False, None
        return cost

    def select(self, pre: Tensor) -> Tensor:
        """Return `pre`, shape (n, n_components), with the units that may not speak set to 0."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it selects.")

    def cost(self, pre: Tensor) -> Tensor | None:
        """Return what the rule itself adds to the objective, or None."""
        return None

    def backward(self, pre: Tensor, code: Tensor, d: Tensor) -> Tensor:
        """Return the derivative of the objective with respect to `pre`, given `d`, that with respect to the code.

        That of units which may not speak is 0. Parameters of the rule, where it has any, get their ``grad``.
        """
        return d.masked_fill_(code == 0, 0.0)

    def reset(self) -> None:
        """Set parameters and buffers to their first values."""
        self.done, self.silent_steps = 1.0, None

    def observe(self, code: Tensor) -> None:
        """Note which units spoke in this step."""
        self.note((code != 0).any(0), code)

    @torch.no_grad()
    def note(self, spoke: Tensor, values: Tensor) -> None:
        """Note which units spoke in this step, shape (n_components,), and what they said; a 0 is not said."""
        if self.silent_steps is None:
            self.silent_steps = torch.zeros(self.n_components, dtype=torch.int32, device=spoke.device)
        self.silent_steps.add_(1).masked_fill_(self.world.any(spoke), 0)

    @property
    def dead(self) -> Tensor | None:
        """Which units have not spoken for `DEAD_AFTER` steps, shape (n_components,); None where all have."""
        if self.silent_steps is None:
            return None
        dead = self.silent_steps >= DEAD_AFTER
        return dead if bool(dead.any()) else None


def sparsity_rules(network: nn.Module) -> list[SparsityModule]:
    """Return the rules within `network`, in order."""
    return [module for module in network.modules() if isinstance(module, SparsityModule)]


def largest(size: Tensor, k: int) -> Tensor:
    """Return where the k largest entries of each row are, in any order.

    Columns are divided into groups. The k largest entries lie in the k groups with the largest maxima: an entry of
    another group is no larger than each of those k maxima. So k groups are searched, and not all columns.

    Parameters
    ----------
    size : Tensor of shape (n, n_columns)
    k : int

    Returns
    -------
    Tensor of shape (n, k)
    """
    n_columns = size.shape[1]
    depth = math.isqrt(n_columns // k) if k else 0  # as many groups as candidates
    if depth < 4:
        return size.topk(k, sorted=False).indices
    n_groups = n_columns // depth
    maxima = size[:, : depth * n_groups].view(-1, depth, n_groups).amax(1)
    groups = maxima.topk(k, sorted=False).indices
    columns = torch.arange(0, depth * n_groups, n_groups, device=size.device)
    candidates = (groups[:, :, None] + columns).flatten(1)
    rest = torch.arange(depth * n_groups, n_columns, device=size.device).expand(len(size), -1)
    candidates = torch.cat([candidates, rest], 1)
    return candidates.gather(1, size.gather(1, candidates).topk(k, sorted=False).indices)


def keep_largest(pre: Tensor, k: int, by_magnitude: bool) -> Tensor:
    """Return `pre` with all but the k largest entries of each row set to 0."""
    indices = largest(pre.abs() if by_magnitude else pre, k)
    return torch.zeros_like(pre).scatter(-1, indices, pre.gather(-1, indices))


class TopKModule(SparsityModule):
    """Keeps the k largest units of each sample."""

    def __init__(self, n_components: int, k: int, k_encode: int, by_magnitude: bool, anneal: float) -> None:
        super().__init__(n_components)
        self.k, self.k_encode = k, k_encode
        self.by_magnitude, self.anneal = by_magnitude, anneal

    @property
    def k_now(self) -> int:
        """Units that speak at this point of the training, or afterwards."""
        if not self.training:
            return self.k_encode
        if self.done >= self.anneal:
            return self.k
        return round(self.n_components + (self.k - self.n_components) * self.done / self.anneal)

    def select(self, pre: Tensor) -> Tensor:
        """Return the k largest units of each sample."""
        return keep_largest(pre, self.k_now, self.by_magnitude)


class BatchTopKModule(SparsityModule):
    """Keeps the ``n * k`` largest units of a batch, and those above their usual threshold afterwards."""

    threshold: Tensor

    def __init__(self, n_components: int, k: int, by_magnitude: bool) -> None:
        super().__init__(n_components)
        self.k, self.by_magnitude = k, by_magnitude
        self.register_buffer("threshold", torch.zeros(()))

    @property
    def k_now(self) -> int:
        """Units of a sample that speak while training, on average."""
        return self.k

    def reset(self) -> None:
        """Forget the threshold."""
        super().reset()
        self.threshold.zero_()

    def select(self, pre: Tensor) -> Tensor:
        """Return the units of the batch that may speak."""
        size = pre.abs() if self.by_magnitude else pre
        if not self.training:
            return pre.masked_fill(size < self.threshold, 0.0)
        n_kept = self.world.n_largest(size, self.world.rows(pre) * self.k)
        return keep_largest(pre.reshape(1, -1), n_kept, self.by_magnitude).view_as(pre)

    @torch.no_grad()
    def note(self, spoke: Tensor, values: Tensor) -> None:
        """Note which units spoke in this step, and the smallest of what they said."""
        super().note(spoke, values)
        size = values.abs() if self.by_magnitude else values
        least = self.world.least(size.masked_fill(values == 0, torch.inf).min().to(self.threshold.dtype))
        mean = torch.where(self.threshold == 0, least, torch.lerp(self.threshold, least, 0.01))
        self.threshold.copy_(torch.where(least.isfinite(), mean, self.threshold))


def straight_through(value: Tensor, theta: Tensor, slope: Tensor) -> Tensor:
    """Return `value`, with `slope` for its derivative with respect to `theta`."""
    return value + slope.detach() * (theta - theta.detach())


class JumpReLUModule(SparsityModule):
    """Keeps the units above thresholds that are learnt, as logarithms: so they stay positive."""

    def __init__(self, n_components: int, weight: float, threshold: float, bandwidth: float) -> None:
        super().__init__(n_components)
        self.weight, self.first, self.bandwidth = weight, threshold, bandwidth
        self.log_threshold = nn.Parameter(torch.empty(n_components))

    def reset(self) -> None:
        """Set the first thresholds."""
        super().reset()
        nn.init.constant_(self.log_threshold, torch.tensor(self.first).log().item())

    def _near(self, pre: Tensor, theta: Tensor) -> Tensor:
        """Return the rectangular kernel, 1 / width within half a width of the threshold, and 0 elsewhere."""
        return ((pre - theta).abs() < self.bandwidth / 2) / self.bandwidth

    def select(self, pre: Tensor) -> Tensor:
        """Return the units above their thresholds."""
        theta = self.log_threshold.exp()
        code = pre.masked_fill(pre <= theta, 0.0)
        return straight_through(code, theta, -theta * self._near(pre, theta)) if self.training else code

    def backward(self, pre: Tensor, code: Tensor, d: Tensor) -> Tensor:
        """Return the derivative with respect to `pre`; the thresholds get that of reconstruction and cost."""
        theta = self.log_threshold.exp()
        slope = -self._near(pre, theta)
        grad = theta * (slope * (theta * d + self.weight / len(pre))).sum(0)
        self.log_threshold.grad = grad if self.log_threshold.grad is None else self.log_threshold.grad.copy_(grad)
        return super().backward(pre, code, d)

    def cost(self, pre: Tensor) -> Tensor:
        """Return ``weight`` times the mean number of units that speak."""
        theta = self.log_threshold.exp()
        spoken = straight_through((pre > theta).to(theta.dtype), theta, -self._near(pre, theta))
        return self.weight * spoken.sum() / len(pre)
