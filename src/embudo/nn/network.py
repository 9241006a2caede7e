"""The pair of maps that every autoencoder is."""

from __future__ import annotations

from torch import Tensor, nn


class Network(nn.Module):
    """`h = f(x)` and `x' = g(h)`, between scaled features and codes.

    Parameters
    ----------
    encoder, decoder : nn.Sequential
        f and g.
    """

    def __init__(self, encoder: nn.Sequential, decoder: nn.Sequential) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def encode(self, x: Tensor) -> Tensor:
        """Return the codes, shape (n, n_components), of scaled samples."""
        code: Tensor = self.encoder(x)
        return code

    def decode(self, code: Tensor) -> Tensor:
        """Return the scaled reconstructions, shape (n, n_features), of codes."""
        y: Tensor = self.decoder(code)
        return y

    def forward(self, x: Tensor) -> Tensor:
        """Return the scaled reconstructions of scaled samples."""
        return self.decode(self.encode(x))
