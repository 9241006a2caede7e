"""How far a sample lies from what an autoencoder has learnt: one number, made of a part for each feature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

import numpy as np
from sklearn.covariance import ledoit_wolf
from torch import nn

from embudo.data.scaling import Scaler
from embudo.errors import FileFormatError
from embudo.models.base import BaseAutoencoder
from embudo.models.inference import outputs
from embudo.nn.anomaly import CodeDensity, DenoisingError, SquaredError, WhitenedError

MOST_FEATURES = 2000  #: beyond which residuals are whitened feature by feature: their covariance is too large
NOISE_LEVELS = (0.0, 0.4, 0.8)  #: standard deviations of the noise that a sample is given, in those of the features
LEAST = 1e-3  #: least variance, as a share of the mean one: a feature that is all but constant must not drown others
TINY = 1e-12  #: least variance of all


class Score:
    """What is measured of a sample. Scaled samples go in, `z`; NaN stands for no value.

    Attributes
    ----------
    most : int
        Samples at most that it learns from.
    needs_held_out : bool
        Whether it learns from samples that the autoencoder has not.
    equalises : bool
        Whether features count the same however they are scaled.
    """

    most: ClassVar[int] = 0
    needs_held_out: ClassVar[bool] = False
    equalises: ClassVar[bool] = False
    module: ClassVar[type[nn.Module]]  #: what computes it in torch, of a network and `arrays`

    def fit(self, autoencoder: BaseAutoencoder, z: np.ndarray, seed: int) -> Self:
        """Learn what is usual, from scaled samples that the autoencoder has not learnt from where there are any."""
        return self

    def parts(self, autoencoder: BaseAutoencoder, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the share of each feature in the error, at least 0, and what was expected instead of `z`.

        Parameters
        ----------
        autoencoder : BaseAutoencoder
        z : ndarray of shape (n_samples, n_features)

        Returns
        -------
        parts : ndarray of shape (n_samples, n_features)
            0 where there is no value.
        expected : ndarray of shape (n_samples, n_features)
        """
        raise NotImplementedError(f"{type(self).__name__} does not say what it measures.")

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what was learnt, by name."""
        return {}

    def restore(self, arrays: Mapping[str, np.ndarray], autoencoder: BaseAutoencoder) -> Self:
        """Set what `arrays` returned, checked.

        Raises
        ------
        FileFormatError
            If it does not fit the autoencoder.
        """
        return self


class Squared(Score):
    """``sum_j (x_j - x'_j)^2``, between scaled values."""

    module = SquaredError

    def parts(self, autoencoder: BaseAutoencoder, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return squared residuals and reconstructions."""
        expected = passed(autoencoder, "forward", z)
        return np.nan_to_num(np.square(z - expected)), expected


class Whitened(Score):
    """``|| S^(-1/2) (x - x' - m) ||^2``: residuals in units of those that normal samples leave.

    Mean m and covariance S are those of the residuals of samples that the autoencoder has not learnt from, S shrunk
    towards a multiple of the identity by the rule of Ledoit and Wolf [1]_. The square root is the symmetric one, so
    that each part belongs to a feature.

    References
    ----------
    .. [1] Ledoit and Wolf (2004). A well-conditioned estimator for large-dimensional covariance matrices. Journal of
       Multivariate Analysis 88.
    """

    most = 20_000
    needs_held_out = equalises = True
    module = WhitenedError

    def fit(self, autoencoder: BaseAutoencoder, z: np.ndarray, seed: int) -> Self:
        """Learn mean and covariance of the residuals."""
        self.whitening = Whitening.fit(z - passed(autoencoder, "forward", z))
        return self

    def parts(self, autoencoder: BaseAutoencoder, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return squared whitened residuals and reconstructions."""
        expected = passed(autoencoder, "forward", z)
        return np.square(self.whitening.apply(z - expected)), expected + self.whitening.mean

    def arrays(self) -> dict[str, np.ndarray]:
        """Return mean and matrix of the whitening."""
        return {"mean": self.whitening.mean, "matrix": self.whitening.matrix}

    def restore(self, arrays: Mapping[str, np.ndarray], autoencoder: BaseAutoencoder) -> Self:
        """Set mean and matrix of the whitening."""
        self.whitening = Whitening.restored(arrays, autoencoder.n_features_in_)
        return self


class Denoising(Score):
    """``mean_s mean_+- || x - g(f(x +- s e_s)) ||^2 / E_s``: errors at levels s of noise, each over its mean E_s.

    The noise e_s is the same for every sample. It is added and taken away: what the error owes to its direction cancels
    to first order. A network that takes noise away at each level leads back to where samples are dense; how far it
    moves a sample tells how far off that lies [1]_. Divided by what is usual, no level drowns the others.

    References
    ----------
    .. [1] Sattarov, Schreyer and Borth (2025). arXiv 2508.00758.
    """

    most = 2000
    module = DenoisingError

    def fit(self, autoencoder: BaseAutoencoder, z: np.ndarray, seed: int) -> Self:
        """Draw the noise, and measure the mean error at each level."""
        rng = np.random.default_rng(seed)
        self.noise = np.array(NOISE_LEVELS)[:, None] * rng.standard_normal((len(NOISE_LEVELS), z.shape[1]))
        errors = [np.nanmean(np.square(z - denoised)) * z.shape[1] for denoised in self._denoised(autoencoder, z)]
        self.usual = np.maximum(errors, TINY)
        return self

    def parts(self, autoencoder: BaseAutoencoder, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return squared residuals, in units of the usual error, and reconstructions without noise."""
        by_level = self._denoised(autoencoder, z)
        shares = 1 / (self.usual * len(self.usual))
        squares = (np.nan_to_num(np.square(z - denoised).mean(axis=0)) for denoised in by_level)
        return sum(share * square for share, square in zip(shares, squares, strict=True)), by_level[0].mean(axis=0)

    def _denoised(self, autoencoder: BaseAutoencoder, z: np.ndarray) -> list[np.ndarray]:
        """Return for each level what is made of samples with noise added, and taken away: (1 or 2, *z.shape)."""
        signed = [np.stack([noise, -noise]) if noise.any() else noise[None] for noise in self.noise]
        noisy = np.nan_to_num(z) + np.concatenate(signed)[:, None]
        denoised = passed(autoencoder, "forward", noisy.reshape(-1, z.shape[1])).reshape(noisy.shape)
        return np.split(denoised, np.cumsum([len(pair) for pair in signed])[:-1])

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the noise, and the mean error at each level."""
        return {"noise": self.noise, "usual": self.usual}

    def restore(self, arrays: Mapping[str, np.ndarray], autoencoder: BaseAutoencoder) -> Self:
        """Set the noise, and the mean error at each level."""
        self.noise, self.usual = arrays["noise"], arrays["usual"]
        n_levels = max(1, len(self.usual))  # as many as there were when the file was written
        check_shape(self.noise, (n_levels, autoencoder.n_features_in_))
        check_shape(self.usual, (n_levels,))
        return self


class Density(Score):
    """``|| S^(-1/2) (h - m) ||^2``: minus the logarithm of a normal density of the code, but for constants.

    Mean m and covariance S are those of the codes, S shrunk as in `Whitened`. Features have the share in it that they
    have in the squared error.
    """

    most = 20_000
    module = CodeDensity

    def fit(self, autoencoder: BaseAutoencoder, z: np.ndarray, seed: int) -> Self:
        """Learn mean and covariance of the codes."""
        self.whitening = Whitening.fit(passed(autoencoder, "encode", z))
        return self

    def parts(self, autoencoder: BaseAutoencoder, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the shares of the features in the code's distance from its mean, and reconstructions."""
        code = passed(autoencoder, "encode", z)
        expected = passed(autoencoder, "decode", code)
        shares = np.nan_to_num(np.square(z - expected)) + TINY * ~np.isnan(z)
        distance = np.square(self.whitening.apply(code)).sum(axis=1, keepdims=True)
        return distance * (shares / np.maximum(shares.sum(axis=1, keepdims=True), TINY)), expected

    def arrays(self) -> dict[str, np.ndarray]:
        """Return mean and matrix of the whitening."""
        return {"mean": self.whitening.mean, "matrix": self.whitening.matrix}

    def restore(self, arrays: Mapping[str, np.ndarray], autoencoder: BaseAutoencoder) -> Self:
        """Set mean and matrix of the whitening."""
        self.whitening = Whitening.restored(arrays, autoencoder.n_components_)
        return self


SCORES: dict[str, type[Score]] = {"whitened": Whitened, "squared": Squared, "denoising": Denoising, "density": Density}


def restored(criterion: str, arrays: Mapping[str, np.ndarray], autoencoders: Sequence[BaseAutoencoder]) -> list[Score]:
    """Return the scores of a file, whose arrays are named by number and name, checked.

    Raises
    ------
    FileFormatError
        If they do not fit the autoencoders.
    """
    scores = []
    for i, autoencoder in enumerate(autoencoders):
        own = {name.partition(".")[2]: array for name, array in arrays.items() if name.startswith(f"score{i}.")}
        scores.append(SCORES[criterion]().restore(own, autoencoder))
    return scores


class Whitening:
    """An affine map that brings samples to mean 0 and covariance 1.

    Parameters
    ----------
    mean : ndarray of shape (n_features,)
    matrix : ndarray of shape (n_features, n_features), or (n_features,) for a diagonal one
        The inverse of the symmetric square root of their covariance.
    """

    def __init__(self, mean: np.ndarray, matrix: np.ndarray) -> None:
        self.mean, self.matrix = mean, matrix

    @classmethod
    def fit(cls, samples: np.ndarray) -> Self:
        """Return the map for samples of shape (n_samples, n_features), in which NaN stands for no value."""
        known = ~np.isnan(samples)
        counts = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, samples, 0).sum(axis=0) / counts
        # what is not known adds nothing: the other samples of its feature count for more
        centred = np.where(known, samples - mean, 0) * np.sqrt(len(samples) / counts)
        if samples.shape[1] > MOST_FEATURES:
            variance = np.square(centred).mean(axis=0)
            return cls(mean, 1 / np.sqrt(np.maximum(variance, LEAST * variance.mean() + TINY)))
        covariance, _ = ledoit_wolf(centred, assume_centered=True)
        values, vectors = np.linalg.eigh(covariance)
        values = np.maximum(values, LEAST * values.mean() + TINY)
        return cls(mean, (vectors / np.sqrt(values)) @ vectors.T)

    @classmethod
    def restored(cls, arrays: Mapping[str, np.ndarray], n_features: int) -> Self:
        """Return the map of a file, checked.

        Raises
        ------
        FileFormatError
            If it is not one of `n_features` features.
        """
        mean, matrix = arrays["mean"], arrays["matrix"]
        check_shape(mean, (n_features,))
        check_shape(matrix, (n_features, n_features) if n_features <= MOST_FEATURES else (n_features,))
        return cls(mean, matrix)

    def apply(self, samples: np.ndarray) -> np.ndarray:
        """Return whitened samples; 0 where there is no value."""
        centred = np.nan_to_num(samples - self.mean)
        whitened: np.ndarray = centred * self.matrix if self.matrix.ndim == 1 else centred @ self.matrix
        return np.where(np.isnan(samples), 0, whitened)


def passed(autoencoder: BaseAutoencoder, call: str, z: np.ndarray) -> np.ndarray:
    """Return what a method of the network makes of scaled samples; the network sees 0 where there is no value."""
    width = max(autoencoder.n_features_in_, autoencoder.n_components_)
    blocks = outputs(autoencoder.module_, Scaler(None), call, np.nan_to_num(z), width=width)
    return np.concatenate([block for *_, block in blocks]).astype(np.float64, copy=False)


def check_shape(array: np.ndarray, shape: tuple[int, ...]) -> None:
    """Refuse an array of a file that is of another shape or type, or not finite.

    Raises
    ------
    FileFormatError
    """
    if array.shape != shape or array.dtype != np.float64 or not np.isfinite(array).all():
        raise FileFormatError(f"Its score should hold {shape} finite numbers, and holds {array.shape}.")
