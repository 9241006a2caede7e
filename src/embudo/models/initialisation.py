"""The first weights of a network."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import nn

from embudo.data.arrays import Matrix
from embudo.data.batches import block_rows, dense_block
from embudo.data.moments import geometric_median
from embudo.data.scaling import Scaler, scaled_means
from embudo.data.streams import Stream
from embudo.errors import InvalidParameter
from embudo.metrics.variance import MOST_FEATURES, Covariance
from embudo.nn.convolutional import ToRows, TransposedConvolution
from embudo.nn.layers import Dense, Layer, TiedDense, initialise
from embudo.nn.network import Network
from embudo.parts.architectures import MLP, Architecture

INITS = ("auto", "pca", "dictionary")
MOST_SAMPLES = 10_000  #: of which the geometric median is found
#: how wide the output's weights begin, of what suits its activation: the noise they add to the mean is unlearnt first,
#: by silencing units where these are rectified
OUTPUT_WIDTH = 0.1


def check_init(init: str, encoder: Architecture, decoder: Architecture, activations: tuple[str, str]) -> None:
    """Refuse ``init="pca"`` where the network is not linear, ``init="dictionary"`` where the decoder is not.

    Raises
    ------
    InvalidParameter
    """
    one_layer = all(isinstance(part, MLP) and not part.hidden for part in (encoder, decoder))
    if init == "dictionary":
        if not one_layer or activations[1] != "identity":
            raise InvalidParameter(
                'init="dictionary" needs one layer each way: no hidden layers, and output_activation "identity".'
            )
        return
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
    init : {"auto", "pca", "dictionary"}
        "auto" draws weights that suit each activation, and lets the output begin near the mean of X.
        "dictionary", for one layer each way with activation s, draws directions of norm 1 for the columns of D and sets
        ``f(x) = s(D^T (x - m))`` and ``g(h) = D h + m``, m being the geometric median of the scaled X, at most of
        10,000 evenly spaced samples.
        "pca", for one linear layer each way, sets
        ``f(x) = V (x - mean)`` and ``g(h) = V^T h + mean``, the rows of V being the principal axes of the scaled X;
        of a stream those of its covariance, which one pass sums.
    X : array, CSR matrix or stream of shape (n_samples, n_features)
    scaler : Scaler
    seed : int

    Raises
    ------
    InvalidParameter
        If there are fewer samples or features than components to find, or a stream has too many features.
    """
    if network.sparsity is not None:
        network.sparsity.reset()
    if init == "auto":
        device = next(network.parameters()).device
        initialise(network, torch.Generator(device).manual_seed(seed))
        prepare_output(network, X, scaler)
        for layer in network.decoder:
            if isinstance(layer, Layer):
                layer.constrain()
        return
    if init == "dictionary":
        _begin_dictionary(network, X, scaler, seed)
        return
    encoder, decoder = cast("Dense", network.encoder[0]), cast("Dense | TiedDense", network.decoder[0])
    mean, axes = map(torch.from_numpy, _principal_axes(X, scaler, encoder.weight.shape[0], seed))
    with torch.no_grad():
        encoder.weight.copy_(axes)
        encoder.bias.copy_(-(axes @ mean))
        decoder.bias.copy_(mean)
        if not isinstance(decoder, TiedDense):
            decoder.weight.copy_(axes.T)


def _principal_axes(X: Matrix, scaler: Scaler, n_components: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and principal axes of the scaled samples, shape (n_components, n_features), in float64."""
    if n_components > min(X.shape):
        raise InvalidParameter(
            f'init="pca" finds at most {min(X.shape)} components in {X.shape[0]} samples of {X.shape[1]} features; '
            f"got n_components={n_components}."
        )
    if not isinstance(X, Stream):
        from sklearn.decomposition import PCA

        pca = PCA(n_components, random_state=seed % 2**32)
        with np.errstate(invalid="ignore"):  # it divides by the variance of all, which may be 0
            pca.fit(dense_block(X, scaler, torch.float64).numpy())
        return pca.mean_, pca.components_
    if X.n_features > MOST_FEATURES:
        raise InvalidParameter(
            f'init="pca" of a stream holds the covariance of its features, of {MOST_FEATURES} at most; X has '
            f'{X.n_features}: use init="auto".'
        )
    covariance = Covariance(scaled_means(X, scaler))
    for _, rows in X.slices(block_rows(X.n_features)):
        covariance.update(scaler.apply(rows))
    found = covariance.pca(n_components)
    axes = found.axes.T[::-1]
    greatest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1, keepdims=True), axis=1)
    return found.mean, axes * np.sign(greatest)  # of either direction the one that scikit-learn takes


@torch.no_grad()
def _begin_dictionary(network: Network, X: Matrix, scaler: Scaler, seed: int) -> None:
    encoder, decoder = cast("Dense", network.encoder[0]), cast("Dense | TiedDense", network.decoder[0])
    some = X[np.unique(np.linspace(0, X.shape[0] - 1, MOST_SAMPLES).astype(int))]
    median = torch.from_numpy(geometric_median(dense_block(some, scaler, torch.float64).numpy())).to(encoder.weight)
    nn.init.normal_(encoder.weight, generator=torch.Generator(encoder.weight.device).manual_seed(seed))
    encoder.weight.div_(torch.linalg.vector_norm(encoder.weight, dim=1, keepdim=True))
    encoder.bias.copy_(-(encoder.weight @ median))
    decoder.bias.copy_(median)
    if not isinstance(decoder, TiedDense):
        decoder.weight.copy_(encoder.weight.t())


@torch.no_grad()
def prepare_output(network: Network, X: Matrix, scaler: Scaler) -> None:
    """Let the output begin near the mean of X, of convolutions that of each channel, which early steps need not learn.

    Its weights begin narrow, where they are not those of the encoder too. Before a sigmoid the bias is the mean's
    logit, and the weights are as narrow as before other activations: wide ones would begin saturated.
    """
    output, last = next(layer for layer in reversed(network.decoder) if isinstance(layer, Layer)), network.decoder[-1]
    means = torch.from_numpy(scaled_means(X, scaler))
    bias = output.get_parameter("bias")
    mean = means.view(-1, len(bias)).mean(0)
    if isinstance(last, nn.Sigmoid):
        bias.copy_(mean.clamp(0.01, 0.99).logit())
    elif isinstance(last, Layer | ToRows):
        bias.copy_(mean)
    else:
        return
    if isinstance(output, Dense | TransposedConvolution):
        output.weight.mul_(OUTPUT_WIDTH / (4 if isinstance(last, nn.Sigmoid) else 1))
