"""Samples beside what a model makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from embudo.data.arrays import as_array
from embudo.errors import InvalidData, InvalidParameter
from embudo.report.display import (
    AMOUNT,
    SIGNED,
    Display,
    check_image_shape,
    coloured,
    dense,
    feature_names,
    image_shape_of,
    n_rows,
    name_features,
    painted,
    room_for,
    rows_at,
    spread,
)
from embudo.report.pictures import draw_images

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from embudo.models.base import BaseAutoencoder


class ReconstructionDisplay(Display):
    """Samples, what was seen of them, their reconstructions, and the difference.

    Images are drawn as images, other samples as strips of colour, a line each and a column for each feature: features
    from their least to their greatest value among the originals. The difference, reconstruction less original, is red
    where there is too much and blue where there is too little, up to the value that stands beside its name.

    Parameters
    ----------
    rows : dict of str to ndarray of shape (n_samples, n_features)
        "original", "reconstruction", and what else shall be drawn, in this order.
    image_shape : tuple of int, optional
        (height, width) or (height, width, 3) of samples that are images.
    names : list of str, optional
        Names of the features.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from embudo import Autoencoder, GaussianNoise, Training
    >>> from embudo.report import ReconstructionDisplay
    >>> images = load_digits().images
    >>> ae = Autoencoder(8, training=Training(5), random_state=0).fit(images)
    >>> display = ReconstructionDisplay.from_estimator(ae, images, corruption=GaussianNoise(0.3), pca=True)
    >>> list(display.rows)
    ['original', 'corrupted', 'reconstruction', 'PCA']
    """

    def __init__(
        self,
        rows: dict[str, np.ndarray],
        *,
        image_shape: tuple[int, ...] | None = None,
        names: list[str] | None = None,
    ) -> None:
        self.rows, self.image_shape, self.names = rows, image_shape, names

    @classmethod
    def from_estimator(
        cls,
        autoencoder: BaseAutoencoder,
        X: Any,
        *,
        corruption: Any = None,
        pca: bool = False,
        n_samples: int = 10,
        image_shape: tuple[int, ...] | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Reconstruct samples, and draw.

        Parameters
        ----------
        autoencoder : Autoencoder or StackedAutoencoder
            Fitted.
        X : like that of its `fit`
        corruption : corruption, optional
            Such as ``GaussianNoise(0.3)``, or ``autoencoder.corruption``: what the samples are given to the model with.
        pca : bool, default=False
            Whether PCA with a code of the same size, fitted on X, is drawn too.
        n_samples : int, default=10
            How many are drawn, evenly spaced.
        image_shape : tuple of int, optional
            (height, width) or (height, width, 3), where rows of features are images.
        ax : matplotlib.axes.Axes, optional
            New ones by default.
        """
        chosen = rows_at(X, spread(n_rows(X), n_samples))
        rows = {"original": _flat(chosen)}
        seen = chosen
        if corruption is not None:
            seen = corrupted(autoencoder, chosen, corruption)
            rows["corrupted"] = _flat(seen)
        rows["reconstruction"] = _flat(autoencoder.reconstruct(seen))
        if pca:
            rows["PCA"] = by_pca(autoencoder, X, rows.get("corrupted", rows["original"]))
        display = cls(rows, image_shape=image_shape_of(autoencoder, image_shape), names=feature_names(X))
        return display.plot(ax)

    @classmethod
    def from_predictions(
        cls,
        X: Any,
        X_hat: Any,
        *,
        X_in: Any = None,
        n_samples: int = 10,
        image_shape: tuple[int, ...] | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Draw samples and reconstructions of them.

        Parameters
        ----------
        X, X_hat : array, frame or sparse matrix of shape (n_samples, n_features), or images (n_samples, ...)
            Samples and reconstructions.
        X_in : like X, optional
            What the model was given.
        n_samples, image_shape, ax
            As of `from_estimator`.

        Raises
        ------
        InvalidData
            If their shapes differ.
        """
        given = {"original": X, "corrupted": X_in, "reconstruction": X_hat}
        arrays = {name: dense(value) for name, value in given.items() if value is not None}
        shape = arrays["original"].shape
        for name, array in arrays.items():
            if array.shape != shape:
                raise InvalidData(f"Original and {name} must be of one shape; got {shape} and {array.shape}.")
        chosen = spread(shape[0], n_samples)
        rows = {name: _flat(array[chosen]) for name, array in arrays.items()}
        if image_shape is None and len(shape) > 2:
            image_shape = shape[1:]
        if image_shape is not None:
            image_shape = check_image_shape(image_shape, rows["original"].shape[1])
        return cls(rows, image_shape=image_shape, names=feature_names(X)).plot(ax)

    @property
    def difference(self) -> np.ndarray:
        """Reconstruction less original, shape (n_samples, n_features)."""
        change: np.ndarray = self.rows["reconstruction"] - self.rows["original"]
        return change

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw on `ax`, or on new axes."""
        draw = self._draw_strips if self.image_shape is None else self._draw_images
        draw(ax, {name: self.rows[name] for name in ("original", *self.rows)})
        return self

    def _draw_images(self, ax: Axes | None, rows: dict[str, np.ndarray]) -> None:
        shape, original = self.image_shape or (), rows["original"]
        low, high = float(original.min()), float(original.max())
        images = {name: painted(values.reshape(-1, *shape), low, high) for name, values in rows.items()}
        change = self.difference.reshape(-1, *shape)
        change = change.mean(axis=3) if change.ndim == 4 else change
        images |= _signed(change, "difference")
        n, height, width = change.shape
        ax = self._begin(ax, (1.5 + 0.75 * n, 0.4 + 0.75 * len(images) * height / width))
        draw_images(ax, images)

    def _draw_strips(self, ax: Axes | None, rows: dict[str, np.ndarray]) -> None:
        low, high = rows["original"].min(axis=0), rows["original"].max(axis=0)
        span = np.where(high > low, high - low, 1.0)
        blocks = {name: coloured((values - low) / span, 0, 1, AMOUNT)[None] for name, values in rows.items()}
        blocks |= _signed((self.difference / span)[None], "difference", "of the range")
        n, n_features = self.difference.shape
        ax = self._begin(ax, (8, room_for(self.names) + 0.16 * n * len(blocks)))
        draw_images(ax, blocks)
        ax.set_aspect("auto")
        name_features(ax, self.names, n_features)


def _signed(values: np.ndarray, name: str, unit: str = "") -> dict[str, np.ndarray]:
    """Return numbers around 0 as colours, by a name that says how far they reach."""
    most = float(np.abs(values).max()) or 1.0
    return {f"{name}\n±{most:.2g} {unit}".rstrip(): coloured(values, -most, most, SIGNED)}


def _flat(samples: Any) -> np.ndarray:
    rows = dense(samples)
    return rows.reshape(len(rows), -1)


def corrupted(autoencoder: BaseAutoencoder, X: Any, corruption: Any) -> Any:
    """Return samples as a corruption leaves them, in the units of the data, named as those of X."""
    import torch

    from embudo.parts.corruptions import Corruption

    if not callable(corruption):
        raise InvalidParameter(f"corruption must be a part such as GaussianNoise(0.3), or None; got {corruption!r}.")
    rows = _flat(X)
    scaled = torch.from_numpy(autoencoder.scaler_.apply(rows))
    generator = torch.Generator().manual_seed(autoencoder.seed_)
    drawn = corruption(scaled, generator)
    noisy: np.ndarray = autoencoder.scaler_.invert((drawn[0] if isinstance(corruption, Corruption) else drawn).numpy())
    names = feature_names(X)
    if names is None:
        return noisy.reshape(as_array(X).shape)
    import pandas as pd

    return pd.DataFrame(noisy, columns=names)


def by_pca(autoencoder: BaseAutoencoder, X: Any, rows: np.ndarray, most: int = 5000) -> np.ndarray:
    """Return reconstructions of rows by PCA of the scaled samples of X, with a code of the model's size.

    Parameters
    ----------
    autoencoder : Autoencoder or StackedAutoencoder
    X : like that of its `fit`
    rows : ndarray of shape (n, n_features)
    most : int, default=5000
        Samples of X at most that PCA is fitted on, evenly spaced.

    Raises
    ------
    InvalidParameter
        If there are fewer samples or features than code units, or too many features.
    """
    from embudo.metrics.variance import MOST_FEATURES, Covariance

    scaler, n_components = autoencoder.scaler_, autoencoder.n_components_
    fitted_on = scaler.apply(_flat(rows_at(X, spread(n_rows(X), most))))
    if n_components > min(fitted_on.shape) or fitted_on.shape[1] > MOST_FEATURES:
        raise InvalidParameter(
            f"PCA has no {n_components} components of {fitted_on.shape[0]} samples of {fitted_on.shape[1]} features, "
            f"or there are more features than {MOST_FEATURES}: set pca=False."
        )
    covariance = Covariance()
    covariance.update(fitted_on)
    found: np.ndarray = scaler.invert(covariance.pca(n_components).reconstruct(scaler.apply(rows)))
    return found
