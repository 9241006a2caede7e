"""The first weights of a network."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import nn

from embudo.data.arrays import Matrix
from embudo.data.batches import dense_block
from embudo.data.scaling import Scaler, scaled_means
from embudo.data.streams import Stream
from embudo.errors import InvalidParameter
from embudo.nn.convolutional import ToRows, TransposedConvolution
from embudo.nn.layers import Dense, Layer, TiedDense, initialise
from embudo.nn.network import Network
from embudo.parts.architectures import MLP, Architecture

INITS = ("auto", "pca")


def check_pca(encoder: Architecture, decoder: Architecture, activations: tuple[str, str]) -> None:
    """Refuse ``init="pca"`` where the network is not linear.

    Raises
    ------
    InvalidParameter
    """
    one_layer = all(isinstance(part, MLP) and not part.hidden for part in (encoder, decoder))
    if not one_layer or activations != ("identity", "identity"):
        raise InvalidParameter(
            'init="pca" needs a network that is linear: no hidden layers, and code_activation and '
            'output_activation "identity".'
        )


def initialise_network(network: Network, init: str, X: Matrix, scaler: Scaler, seed: int) -> None:
    """Set the first weights in place.

    Parameters
    ----------
    network : Network
    init : {"auto", "pca"}
        "auto" draws weights that suit each activation, and lets the output begin near the mean of X.
        "pca", for one linear layer each way, sets
        ``f(x) = V (x - mean)`` and ``g(h) = V^T h + mean``, the rows of V being the principal axes of the scaled X.
    X : array, CSR matrix or stream of shape (n_samples, n_features)
    scaler : Scaler
    seed : int

    Raises
    ------
    InvalidParameter
        If there are fewer samples or features than components to find.
    """
    if network.sparsity is not None:
        network.sparsity.reset()
    if init == "auto":
        device = next(network.parameters()).device
        initialise(network, torch.Generator(device).manual_seed(seed))
        prepare_output(network, X, scaler)
        return
    from sklearn.decomposition import PCA

    encoder, decoder = cast("Dense", network.encoder[0]), cast("Dense | TiedDense", network.decoder[0])
    n_components = encoder.weight.shape[0]
    if n_components > min(X.shape):
        raise InvalidParameter(
            f'init="pca" finds at most {min(X.shape)} components in {X.shape[0]} samples of {X.shape[1]} features; '
            f"got n_components={n_components}."
        )
    if isinstance(X, Stream):
        raise InvalidParameter('init="pca" needs all samples in memory, but X is streamed: use init="auto".')
    pca = PCA(n_components, random_state=seed % 2**32)
    with np.errstate(invalid="ignore"):  # it divides by the variance of all, which may be 0
        pca.fit(dense_block(X, scaler, torch.float64).numpy())
    axes, mean = torch.from_numpy(pca.components_), torch.from_numpy(pca.mean_)
    with torch.no_grad():
        encoder.weight.copy_(axes)
        encoder.bias.copy_(-(axes @ mean))
        decoder.bias.copy_(mean)
        if not isinstance(decoder, TiedDense):
            decoder.weight.copy_(axes.T)


@torch.no_grad()
def prepare_output(network: Network, X: Matrix, scaler: Scaler) -> None:
    """Let the output begin near the mean of X, of convolutions that of each channel, which early steps need not learn.

    Before a sigmoid the bias is the mean's logit, and the weights are as narrow as before other activations: wide ones
    would begin saturated.
    """
    output, last = next(layer for layer in reversed(network.decoder) if isinstance(layer, Layer)), network.decoder[-1]
    means = torch.from_numpy(scaled_means(X, scaler))
    bias = output.get_parameter("bias")
    mean = means.view(-1, len(bias)).mean(0)
    if isinstance(last, nn.Sigmoid):
        bias.copy_(mean.clamp(0.01, 0.99).logit())
        if isinstance(output, Dense | TransposedConvolution):
            output.weight.div_(4)
    elif isinstance(last, Layer | ToRows):
        bias.copy_(mean)
