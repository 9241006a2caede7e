"""Wide codes of which few units speak: products by the units that do."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from embudo.nn.activations import forward_and_backward, is_elementwise
from embudo.nn.layers import Dense
from embudo.nn.sparsity import BatchTopKModule, SparsityModule, TopKModule, largest

if TYPE_CHECKING:
    from embudo.nn.network import Network

#: units below which dense products are as fast, in batches of 32
WIDE = 2048
#: units, for each one that speaks, below which they are
SPARSE = 16
#: samples whose units are computed at a time, and units whose gradient is: few enough to stay in cache
BLOCK_ROWS, BLOCK_UNITS = 256, 2048


@dataclasses.dataclass(frozen=True)
class SparseCode:
    """Codes as a CSR matrix: what is said, sample after sample, and by whom.

    Parameters
    ----------
    values, units : Tensor of shape (n_values,)
    starts : Tensor of shape (n_samples + 1,)
        Where the values of each sample start, and where those of the last one end.
    n_components : int
        Units.
    """

    values: Tensor
    units: Tensor
    starts: Tensor
    n_components: int

    @property
    def samples(self) -> Tensor:
        """The sample of each value."""
        counts = self.starts.diff()
        return torch.arange(len(counts), device=counts.device).repeat_interleave(counts)

    @property
    def spoke(self) -> Tensor:
        """Which units said something, shape (n_components,)."""
        spoke = torch.zeros(self.n_components, dtype=torch.bool, device=self.units.device)
        spoke[self.units[self.values.detach() != 0]] = True
        return spoke

    def transposed(self) -> tuple[SparseCode, Tensor]:
        """Return the same matrix with units for rows, and where each of its values stands in this one."""
        order = self.units.argsort(stable=True)
        counts = self.units.bincount(minlength=self.n_components)
        return SparseCode(
            self.values.detach()[order], self.samples[order], F.pad(counts.cumsum(0), (1, 0)), len(self.starts) - 1
        ), order

    def times(self, rows: Tensor) -> Tensor:
        """Return the product with a dense matrix of shape (n_components, n_columns), differentiable by the values."""
        return F.embedding_bag(
            self.units, rows, self.starts, mode="sum", per_sample_weights=self.values, include_last_offset=True
        )

    def part(self, first: int, last: int) -> SparseCode:
        """Return the samples from `first` to before `last`."""
        starts = self.starts[first : last + 1]
        where = slice(int(starts[0]), int(starts[-1]))
        return SparseCode(self.values[where], self.units[where], starts - starts[0], self.n_components)


def sums(products: Sequence[tuple[SparseCode, Tensor]]) -> Iterator[tuple[slice, Tensor]]:
    """Yield the sum of sparse matrices times dense ones, a block of rows at a time, and which rows they are."""
    n_rows = len(products[0][0].starts) - 1
    for first in range(0, n_rows, BLOCK_UNITS):
        block = slice(first, min(first + BLOCK_UNITS, n_rows))
        found = (code.part(block.start, block.stop).times(rows) for code, rows in products)
        yield block, functools.reduce(torch.add, found)


def few_speak(rule: SparsityModule | None, k: int | None = None) -> bool:
    """Return whether so few of so many units speak, `k` of them or as many as after training, that it pays."""
    if not isinstance(rule, TopKModule | BatchTopKModule):
        return False
    return rule.n_components >= max(WIDE, SPARSE * (k or rule.k))


class SparseEncoder:
    """The last layer of an encoder, and of its units those that may speak, a block of samples at a time.

    Parameters
    ----------
    layer : Dense
    activation : nn.Module or None
        None is the identity.
    rule : TopKModule or BatchTopKModule
    """

    def __init__(self, layer: Dense, activation: nn.Module | None, rule: TopKModule | BatchTopKModule) -> None:
        self.layer, self.activation, self.rule = layer, activation, rule
        self.activate, _ = forward_and_backward(activation)
        self.buffer = layer.weight.new_empty(0)  #: what units put out, and how large they are

    def encode(self, x: Tensor) -> SparseCode:
        """Return the codes of a batch, of which each sample or all together have k units a sample."""
        k = self.rule.k_now
        return self.of_all(x, k) if isinstance(self.rule, BatchTopKModule) else self.of_each(x, k)

    @torch.no_grad()
    def of_each(self, x: Tensor, k: int, chosen: Tensor | None = None) -> SparseCode:
        """Return the k largest units of each sample, of all or of those `chosen`."""
        values, units = [], []
        for pre, size in self._blocks(x, chosen):
            units.append(largest(size, k))
            values.append(pre.gather(1, units[-1]))
        found = torch.cat(units).flatten()
        starts = torch.arange(0, len(found) + 1, k, device=x.device)
        found = found if chosen is None else chosen[found]
        return SparseCode(torch.cat(values).flatten(), found, starts, self.layer.out_features)

    @torch.no_grad()
    def of_all(self, x: Tensor, k: int) -> SparseCode:
        """Return the ``n * k`` largest units of n samples."""
        wanted, width = k * len(x), self.layer.out_features
        values, places, least = x.new_empty(0), torch.empty(0, dtype=torch.long, device=x.device), -torch.inf
        for number, (pre, size) in enumerate(self._blocks(x)):
            found = (size.flatten() >= least).nonzero().squeeze(1)  # none below can be among so many
            values = torch.cat([values, pre.flatten()[found]])
            places = torch.cat([places, found + number * BLOCK_ROWS * width])
            if len(values) > wanted:
                top = (values.abs() if self.rule.by_magnitude else values).topk(wanted, sorted=False)
                values, places, least = values[top.indices], places[top.indices], float(top.values.min())
        places, order = places.sort()
        counts = (places // width).bincount(minlength=len(x))
        return SparseCode(values[order], places % width, F.pad(counts.cumsum(0), (1, 0)), width)

    def _blocks(self, x: Tensor, chosen: Tensor | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield what units put out for blocks of samples, and what they are compared by; the next overwrites both."""
        weight: Tensor = self.layer.weight
        bias: Tensor = self.layer.bias
        if chosen is not None:
            weight, bias = weight[chosen], bias[chosen]
        shape = 1 + self.rule.by_magnitude, min(BLOCK_ROWS, len(x)), len(bias)
        size = math.prod(shape)
        if len(self.buffer) < size:
            self.buffer = weight.new_empty(size)
        buffer = self.buffer[:size].view(shape)
        for rows in x.split(BLOCK_ROWS):
            block = buffer[:, : len(rows)]
            pre = self.activate(torch.addmm(bias, rows, weight.t(), out=block[0]))
            yield pre, torch.abs(pre, out=block[1]) if self.rule.by_magnitude else pre


def sparse_encoder(network: Network) -> tuple[nn.Sequential, SparseEncoder] | None:
    """Return what comes before the last dense layer of the encoder, and that layer with its rule.

    None where few units do not speak, or where what they say does not tell the slope of the activation.
    """
    layers = list(network.encoder)
    activation = layers.pop() if is_elementwise(layers[-1]) else None
    last = layers.pop()
    if not few_speak(network.sparsity) or not isinstance(last, Dense) or isinstance(activation, nn.GELU):
        return None
    rule = cast("TopKModule | BatchTopKModule", network.sparsity)
    return nn.Sequential(*layers), SparseEncoder(last, activation, rule)
