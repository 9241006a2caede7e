"""The pair of maps that every autoencoder is."""

from __future__ import annotations

from torch import Tensor, nn

from embudo.nn.sparsity import SparsityModule


class Network(nn.Module):
    """`h = f(x)` and `x' = g(h)`, between scaled features and codes.

    Parameters
    ----------
    encoder, decoder : nn.Sequential
        f, up to the sparsity rule, and g.
    sparsity : SparsityModule, optional
        Which units of the code may speak.
    """

    def __init__(self, encoder: nn.Sequential, decoder: nn.Sequential, sparsity: SparsityModule | None = None) -> None:
        super().__init__()
        self.encoder, self.decoder, self.sparsity = encoder, decoder, sparsity

    def encode(self, x: Tensor) -> Tensor:
        """Return the codes, shape (n, n_components), of scaled samples."""
        return self.select(self.encoder(x))

    def select(self, pre: Tensor) -> Tensor:
        """Return the codes of what the encoder put out: the units that may speak."""
        return pre if self.sparsity is None else self.sparsity.select(pre)

    def decode(self, code: Tensor) -> Tensor:
        """Return the scaled reconstructions, shape (n, n_features), of codes."""
        y: Tensor = self.decoder(code)
        return y

    def forward(self, x: Tensor) -> Tensor:
        """Return the scaled reconstructions of scaled samples."""
        return self.decode(self.encode(x))
