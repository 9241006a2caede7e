"""The pair of maps that every autoencoder is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from embudo.nn.active import SparseCode, few_speak
from embudo.nn.layers import Dense, TiedDense
from embudo.nn.sparsity import SparsityModule


class Network(nn.Module):
    """`h = f(x)` and `x' = g(h)`, between scaled features and codes.

    ::

        x ── encoder ──▶ pre ── sparsity ──▶ h ── decoder ──▶ x'
        └────────── encode ────────────────┘ └─── decode ─────┘

    Parameters
    ----------
    encoder, decoder : nn.Sequential
        f, up to the sparsity rule, and g.
    sparsity : SparsityModule, optional
        Which units of the code may speak; without it h is what the encoder puts out.
    """

    def __init__(self, encoder: nn.Sequential, decoder: nn.Sequential, sparsity: SparsityModule | None = None) -> None:
        super().__init__()
        self.encoder, self.decoder, self.sparsity = encoder, decoder, sparsity
        first = next(iter(decoder), None)
        if few_speak(sparsity) and isinstance(first, Dense):  # what a unit sends out lies together
            first.weight.data = first.weight.data.t().contiguous().t()

    def encode(self, x: Tensor) -> Tensor:
        """Return the codes h, shape (n, n_components), of scaled samples, shape (n, n_features)."""
        return self.select(self.encoder(x))

    def select(self, pre: Tensor) -> Tensor:
        """Return the codes h of what the encoder put out, both of shape (n, n_components)."""
        return pre if self.sparsity is None else self.sparsity.select(pre)

    def decode(self, code: Tensor | SparseCode) -> Tensor:
        """Return the scaled reconstructions x', shape (n, n_features), of codes."""
        if isinstance(code, SparseCode):
            first = cast("Dense | TiedDense", self.decoder[0])
            y: Tensor = self.decoder[1:](code.times(first.weight.t()) + first.bias)
        else:
            y = self.decoder(code)
        return y

    @property
    def takes_sparse_codes(self) -> bool:
        """Whether `decode` takes a `SparseCode`, and it pays."""
        return few_speak(self.sparsity) and isinstance(self.decoder[0], Dense | TiedDense)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scaled reconstructions x' of scaled samples, both of shape (n, n_features)."""
        return self.decode(self.encode(x))


class Classifier(nn.Module):
    """From scaled samples through an encoder to the logits of classes.

    Parameters
    ----------
    encoder : nn.Sequential
        f, up to the sparsity rule.
    sparsity : SparsityModule or None
        Which units of the code may speak.
    head : nn.Module
        From codes, shape (n, n_components), to logits, shape (n, n_classes).
    """

    def __init__(self, encoder: nn.Sequential, sparsity: SparsityModule | None, head: nn.Module) -> None:
        super().__init__()
        self.encoder, self.sparsity, self.head = encoder, sparsity, head

    def logits(self, x: Tensor) -> Tensor:
        """Return the logits, shape (n, n_classes), of scaled samples."""
        pre = self.encoder(x)
        y: Tensor = self.head(pre if self.sparsity is None else self.sparsity(pre))
        return y

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of scaled samples."""
        return self.logits(x)


class Affine(nn.Module):
    """`y = scale x + offset`, a number or a feature each; fixed, and not part of the weights.

    Parameters
    ----------
    scale, offset : Tensor of shape (n_features,) or (1,)
    """

    scale: Tensor
    offset: Tensor

    def __init__(self, scale: Tensor, offset: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("offset", offset, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(n, n_features)` to the same shape."""
        return torch.addcmul(self.offset, self.scale, x)


def unrolled(networks: Sequence[Network], scalings: Sequence[tuple[Affine, Affine] | None]) -> Network:
    """Return networks, each on the code of the one before, as one network of the same layers: no weight is copied.

    Parameters
    ----------
    networks : sequence of Network
        From the samples up.
    scalings : sequence of (Affine, Affine) or None
        For each network but the first, how the code below is scaled for it, and scaled back; None where it is not.
    """
    up: list[nn.Module] = []
    down: list[nn.Module] = []
    for network, scaling in zip(networks, [None, *scalings], strict=True):
        into, back = ([scaling[0]], [scaling[1]]) if scaling else ([], [])
        rule = [] if network.sparsity is None or network is networks[-1] else [network.sparsity]
        up = [*up, *into, *network.encoder, *rule]
        down = [*network.decoder, *back, *down]
    return Network(nn.Sequential(*up), nn.Sequential(*down), networks[-1].sparsity)
