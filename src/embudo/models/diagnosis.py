"""What a fitted autoencoder has come to, measured on samples a block at a time, with PCA's figures beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from embudo.data.arrays import Matrix
from embudo.data.batches import block_rows, dense_block, slices
from embudo.metrics.activity import Activity
from embudo.metrics.variance import MOST_FEATURES, PCA, Covariance, Residuals, ratio
from embudo.nn.jacobian import dense_norm, exact_norm, is_dense
from embudo.nn.network import Network
from embudo.parts.corruptions import Corruption, GaussianNoise, MaskingNoise, SaltAndPepper

if TYPE_CHECKING:
    from embudo.models.autoencoder import Autoencoder

NOISES: tuple[Corruption, ...] = tuple(
    kind(level) for kind in (GaussianNoise, MaskingNoise, SaltAndPepper) for level in (0.1, 0.4)
)
FEW = 256  #: samples whose Jacobian is computed where it has no closed form


def diagnose(ae: Autoencoder, X: Matrix, noises: Sequence[Corruption]) -> dict[str, Any]:
    """Return the measures that `Autoencoder.diagnose` describes."""
    network, n_features, n_components = ae.module_, ae.n_features_in_, ae.n_components_
    activity, residuals, covariance = Activity(), Residuals(), Covariance()
    comparable = n_components <= min(X.shape) and n_features <= MOST_FEATURES
    error = 0.0
    for x in _blocks(ae, X):
        code, y = _passed(network, x)
        activity.update(_array(code))
        residuals.update(_array(x), _array(y))
        error += float(_units(ae, np.square(_array(y - x), dtype=np.float64).sum(axis=0)).sum())
        if comparable:
            covariance.update(_array(x))
    pca = covariance.pca(n_components) if comparable else None
    pca_fvu = None if pca is None else ratio(float(pca.residuals.sum()), residuals.variance)
    density = activity.density
    return {
        "reconstruction_error": error / X.shape[0],
        "pca_reconstruction_error": None if pca is None else float(_units(ae, pca.residuals).sum()),
        "fvu": residuals.fvu,
        "pca_fvu": pca_fvu,
        "explained_variance": residuals.explained_variance,
        "pca_explained_variance": None if pca_fvu is None else 1 - pca_fvu,
        "l0": activity.l0,
        "dead_units": activity.dead_units,
        "dead_share": activity.dead_share,
        "mean_activation": float(activity.mean_activation.mean()),
        "density": {"min": float(density.min()), "median": float(np.median(density)), "max": float(density.max())},
        "saturation": activity.saturation if ae.code_activation == "sigmoid" else None,
        "jacobian_norm": _jacobian_norm(ae, X),
        "noise": _under_noise(ae, X, noises, pca),
    }


def _under_noise(ae: Autoencoder, X: Matrix, noises: Sequence[Corruption], pca: PCA | None) -> dict[str, Any]:
    """Return what is left of the clean samples under each noise, and what changes."""
    network = ae.module_
    generator = torch.Generator(_weight(network).device).manual_seed(ae.seed_)
    measures = {repr(noise): [Residuals() for _ in range(4)] for noise in noises}
    for x in _blocks(ae, X):
        code, y = _passed(network, x)
        for noise in noises:
            noisy = noise(x, generator)[0]
            noisy_code, noisy_y = _passed(network, noisy)
            of_x, of_y, of_code, of_pca = measures[repr(noise)]
            of_x.update(_array(x), _array(noisy_y))
            of_y.update(_array(y), _array(noisy_y))
            of_code.update(_array(code), _array(noisy_code))
            if pca is not None:
                of_pca.update(_array(x), pca.reconstruct(_array(noisy)))
    return {
        name: {
            "fvu": of_x.fvu,
            "pca_fvu": None if pca is None else of_pca.fvu,
            "reconstruction_change": of_y.relative_change,
            "code_change": of_code.relative_change,
        }
        for name, (of_x, of_y, of_code, of_pca) in measures.items()
    }


def _blocks(ae: Autoencoder, X: Matrix) -> Iterator[Tensor]:
    """Yield scaled samples in order."""
    weight = _weight(ae.module_)
    size = block_rows(max(ae.n_features_in_, ae.n_components_))
    for _, rows in slices(X, size):
        yield dense_block(rows, ae.scaler_, weight.dtype).to(weight.device)


@torch.no_grad()
def _passed(network: Network, x: Tensor) -> tuple[Tensor, Tensor]:
    code = network.encode(x)
    return code, network.decode(code)


def _jacobian_norm(ae: Autoencoder, X: Matrix) -> float:
    """Return ``mean_n ||J(x_n)||_F``; of evenly spaced samples, where the encoder is not one dense layer."""
    network = ae.module_
    total, count = 0.0, 0
    if is_dense(network.encoder):
        for x in _blocks(ae, X):
            with torch.no_grad():
                pre = network.encoder(x)
                norms = dense_norm(network.encoder, x, pre, network.select(pre)).sqrt()
            total, count = total + float(norms.sum()), count + len(x)
        return total / count
    some = X[np.unique(np.linspace(0, X.shape[0] - 1, FEW).astype(int))]
    size = max(1, 2**24 // (ae.n_features_in_ * ae.n_components_))
    for block in _blocks(ae, some):
        for x in block.split(size):
            with torch.no_grad():
                norms = exact_norm(network.encode, x).sqrt()
            total, count = total + float(norms.sum()), count + len(x)
    return total / count


def _units(ae: Autoencoder, squares: np.ndarray) -> np.ndarray:
    """Return squares of scaled features in the squared units of the data."""
    return squares if ae.scaler_.scale is None else squares * np.square(ae.scaler_.scale)


def _weight(network: Network) -> Tensor:
    return next(network.parameters())


def _array(x: Tensor) -> np.ndarray:
    array: np.ndarray = x.cpu().numpy()
    return array
