"""Who learns from a batch: one process, or several that each hold a share of it.

What depends on a whole batch asks here: a mean, the largest of all values, what is drawn. `World` is a process by
itself, which holds all; `embudo.engine.distribution.Group` is several.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

Value = TypeVar("Value")


def is_one_of_several() -> bool:
    """Return whether torchrun, or a launcher after its manner, has started this process beside others."""
    told = all(name in os.environ for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"))
    return told and os.environ["WORLD_SIZE"] != "1"


class World:
    """A process that learns by itself: its share of a batch is the batch.

    Attributes
    ----------
    rank : int
        Number of this process, from 0 on.
    size : int
        How many there are.
    weight : float
        Share of the batch at work that this process looks at.
    """

    rank, size, weight = 0, 1, 1.0

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return self.rank == 0

    # ------------------------------------------------------------------ the batch at work

    def rows(self, x: Tensor) -> int:
        """Return how many samples the batch has of which `x` is the share."""
        return x.shape[0]

    def whole(self, x: Tensor) -> Tensor:
        """Return a tensor of the batch's shape with the share `x` in its place, and no matter what elsewhere."""
        return x

    def gathered(self, x: Tensor) -> Tensor:
        """Return the shares of all processes, in order."""
        return x

    def own(self, batch: Tensor) -> Tensor:
        """Return the share of this process in what has a row for each sample of the batch."""
        return batch

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean over the batch, given that over the share; it has no gradient."""
        return value

    def any(self, flags: Tensor) -> Tensor:
        """Return which flags are set in any process."""
        return flags

    def least(self, value: Tensor) -> Tensor:
        """Return the least value of all processes."""
        return value

    def n_largest(self, values: Tensor, k: int) -> int:
        """Return how many of the `k` largest values of all processes are among these."""
        return k

    def reduce(self, parameters: Iterable[Tensor], terms: dict[str, Any]) -> dict[str, Any]:
        """Make gradients of parameters, and terms, those of the batch, given those of the share; return the terms."""
        return terms

    # ------------------------------------------------------------------ the training as a whole

    def share(self, n: int) -> slice:
        """Return which of `n` samples this process looks at, one at least, and keep what share of them that is."""
        return slice(None)

    def shared(self, batches: Any) -> Any:
        """Return a source of the shares of this process in `batches`."""
        return batches

    def total(self, sums: dict[str, float]) -> dict[str, float]:
        """Return the sums over all processes, by name."""
        return sums

    def agreed(self, make: Callable[[], Value]) -> Value:
        """Return, in all processes, what `make` returns in the first one, or raise what it raises there."""
        return make()

    def align(self, tensors: Iterable[Tensor]) -> None:
        """Set tensors, in place, to those of the first process."""


ALONE = World()
