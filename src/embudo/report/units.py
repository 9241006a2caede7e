"""Units: what they look at, what they paint, and how they build on each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from embudo.errors import InvalidData, InvalidParameter
from embudo.report.display import (
    SIGNED,
    Display,
    coloured,
    dense,
    feature_names,
    image_shape_of,
    n_rows,
    name_features,
    painted,
    plain,
    room_for,
    rows_at,
    spread,
)
from embudo.report.pictures import draw_filters, draw_images, strongest

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from embudo.models.base import BaseAutoencoder
    from embudo.models.stacked import StackedAutoencoder

MOST_SAMPLES = 2000  #: whose codes tell how far a unit goes


class FilterDisplay(Display):
    """The weights of the units of the first layer: red is positive, blue is negative, each unit by its own greatest.

    Parameters
    ----------
    weights : ndarray of shape (n_units, n_features), or (n_units, height, width[, channels]) of images and kernels
    names : list of str, optional
        Names of the features.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from embudo import Autoencoder, Training
    >>> from embudo.report import FilterDisplay
    >>> ae = Autoencoder(16, training=Training(5), random_state=0).fit(load_digits().images)
    >>> FilterDisplay.from_estimator(ae).weights.shape
    (16, 8, 8)
    """

    def __init__(self, weights: np.ndarray, *, names: list[str] | None = None) -> None:
        self.weights, self.names = weights, names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        n_filters: int = 48,
        image_shape: tuple[int, ...] | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Draw the first layer of a fitted model.

        Parameters
        ----------
        estimator : Autoencoder or StackedAutoencoder
            Fitted.
        n_filters : int, default=48
            How many are drawn at most, those with the greatest weights.
        image_shape : tuple of int, optional
            (height, width) or (height, width, 3), where rows of features are images.
        ax : matplotlib.axes.Axes, optional
            New ones by default.
        """
        weight = next(p for p in estimator.module_.encoder.parameters() if p.ndim > 1)
        weights = weight.detach().cpu().double().numpy()
        if weights.ndim == 4:  # kernels, (n_units, channels, height, width)
            weights = np.moveaxis(weights, 1, 3)
        elif (shape := image_shape_of(estimator, image_shape)) is not None:
            weights = weights.reshape(len(weights), *shape)
        names = getattr(estimator, "feature_names_in_", None)
        return cls(weights, names=None if names is None else list(map(str, names))).plot(ax, n_filters=n_filters)

    def plot(self, ax: Axes | None = None, *, n_filters: int = 48) -> Self:
        """Draw on `ax`, or on new axes, the filters with the greatest weights."""
        of_maps = self.weights.ndim == 4 and self.weights.shape[3] != 3  # kernels, which are drawn as their mean
        units, filters = strongest(self.weights.mean(axis=3) if of_maps else self.weights, n_filters)
        if filters.ndim == 2:
            ax = self._begin(ax, (8, room_for(self.names) + 0.2 * len(filters)))
            ax.imshow(filters, cmap=SIGNED, vmin=-1, vmax=1, aspect="auto")
            ax.set(ylabel="unit")
            ax.set_yticks(range(len(filters)), [str(unit) for unit in units])
            name_features(ax, self.names, filters.shape[1])
            return self
        n_columns = min(len(filters), 8)
        ax = self._begin(ax, (0.7 * n_columns, 0.7 * -(-len(filters) // n_columns)))
        draw_filters(ax, filters, n_columns)
        return self


class TraversalDisplay(Display):
    """What the decoder makes of a code as one unit goes from low to high, and the others stay.

    Parameters
    ----------
    decoded : ndarray of shape (n_units, n_steps, n_features)
    units : ndarray of shape (n_units,)
        Their numbers.
    ranges : ndarray of shape (n_units, 2)
        From where to where each goes.
    image_shape : tuple of int, optional
        In which features are images.
    names : list of str, optional
        Names of the features.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from embudo import Autoencoder, Training
    >>> from embudo.report import TraversalDisplay
    >>> images = load_digits().images
    >>> ae = Autoencoder(6, training=Training(5), random_state=0).fit(images)
    >>> TraversalDisplay.from_estimator(ae, images, n_steps=5).decoded.shape
    (6, 5, 64)
    """

    def __init__(
        self,
        decoded: np.ndarray,
        units: np.ndarray,
        ranges: np.ndarray,
        *,
        image_shape: tuple[int, ...] | None = None,
        names: list[str] | None = None,
    ) -> None:
        self.decoded, self.units, self.ranges = decoded, units, ranges
        self.image_shape, self.names = image_shape, names

    @classmethod
    def from_estimator(
        cls,
        autoencoder: BaseAutoencoder,
        X: Any,
        *,
        units: Any = None,
        sample: int | None = None,
        n_steps: int = 9,
        image_shape: tuple[int, ...] | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Move units between the values that 2 % and 98 % of the samples stay below, and draw.

        Parameters
        ----------
        autoencoder : Autoencoder or StackedAutoencoder
            Fitted.
        X : like that of its `fit`
        units : sequence of int, optional
            Which ones; by default the ten at most that vary most.
        sample : int, optional
            The sample of X whose code the other units keep; by default they are at their medians.
        n_steps : int, default=9
            Values of each unit.
        image_shape : tuple of int, optional
            (height, width) or (height, width, 3), where rows of features are images.
        ax : matplotlib.axes.Axes, optional
            New ones by default.

        Raises
        ------
        InvalidParameter
            If the code has no such unit, or X no such sample.
        """
        codes = dense(autoencoder.transform(rows_at(X, spread(n_rows(X), MOST_SAMPLES))))
        n_components = codes.shape[1]
        if units is None:
            units = np.argsort(-codes.std(axis=0), kind="stable")[:10]
        units = np.asarray(units)
        if units.ndim != 1 or units.dtype.kind not in "iu" or not ((units >= 0) & (units < n_components)).all():
            raise InvalidParameter(f"units must be numbers from 0 to {n_components - 1}; got {units.tolist()!r}.")
        if sample is not None and not 0 <= sample < n_rows(X):
            raise InvalidParameter(f"sample must be the number of one of the {n_rows(X)} samples; got {sample!r}.")
        start = np.median(codes, axis=0) if sample is None else dense(autoencoder.transform(rows_at(X, [sample])))[0]
        ranges = np.quantile(codes[:, units], [0.02, 0.98], axis=0).T
        path = np.tile(start, (len(units), n_steps, 1))
        for row, (unit, (low, high)) in enumerate(zip(units, ranges, strict=True)):
            path[row, :, unit] = np.linspace(low, high, n_steps)
        decoded = autoencoder.inverse_transform(path.reshape(-1, n_components))
        shape = image_shape_of(autoencoder, image_shape)
        display = cls(
            decoded.reshape(len(units), n_steps, -1), units, ranges, image_shape=shape, names=feature_names(X)
        )
        return display.plot(ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw on `ax`, or on new axes: images, or of other samples how each feature changes, as strips of colour."""
        n_units, n_steps, n_features = self.decoded.shape
        labels = [f"unit {u}: {low:.2g} to {high:.2g}" for u, (low, high) in zip(self.units, self.ranges, strict=True)]
        if self.image_shape is not None:
            low, high = np.quantile(self.decoded, [0.001, 0.999])
            height, width = self.image_shape[:2]
            blocks = [painted(steps.reshape(-1, *self.image_shape), low, high) for steps in self.decoded]
            size = (2.2 + 0.7 * n_steps, 0.4 + 0.7 * n_units * height / width)
        else:
            change = self.decoded - self.decoded[:, n_steps // 2 : n_steps // 2 + 1]
            most = np.abs(change).max(axis=(0, 1)) + 1e-30  # each feature by its own greatest change
            blocks = [coloured(steps / most, -1, 1, SIGNED)[None] for steps in change]
            labels = [label.replace(":", "\nfrom").replace(" to", " (top)\nto") for label in labels]
            size = (9, room_for(self.names) + 0.13 * n_units * n_steps)
        ax = self._begin(ax, size)
        draw_images(ax, dict(zip(labels, blocks, strict=True)))
        if self.image_shape is None:
            ax.set_aspect("auto")
            name_features(ax, self.names, n_features)
        return self


class HierarchyDisplay(Display):
    """What units of each level of a stack paint: how the samples change as a unit goes from low to high.

    Red is more, blue is less, each unit by its own greatest change. Beside the levels stand their sizes, and the
    error of the samples through all levels so far.

    Parameters
    ----------
    changes : dict of str to ndarray of shape (n_units, n_features)
        By the names of the levels, from the samples up.
    captions : dict of str to str
        What stands beside each level.
    image_shape : tuple of int, optional
        In which features are images.
    names : list of str, optional
        Names of the features.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from embudo import Autoencoder, StackedAutoencoder, Training
    >>> from embudo.report import HierarchyDisplay
    >>> images = load_digits().images
    >>> levels = [("edges", Autoencoder(32, training=Training(5))), ("digits", Autoencoder(8, training=Training(5)))]
    >>> stack = StackedAutoencoder(levels, training=Training(5), random_state=0).fit(images)
    >>> {name: changes.shape for name, changes in HierarchyDisplay.from_estimator(stack, images).changes.items()}
    {'edges': (12, 64), 'digits': (8, 64)}
    """

    def __init__(
        self,
        changes: dict[str, np.ndarray],
        captions: dict[str, str],
        *,
        image_shape: tuple[int, ...] | None = None,
        names: list[str] | None = None,
    ) -> None:
        self.changes, self.captions, self.image_shape, self.names = changes, captions, image_shape, names

    @classmethod
    def from_estimator(
        cls,
        stack: StackedAutoencoder,
        X: Any,
        *,
        n_units: int = 12,
        image_shape: tuple[int, ...] | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Move the units of each level that vary most, and draw what changes.

        Parameters
        ----------
        stack : StackedAutoencoder
            Fitted.
        X : like that of its `fit`
        n_units : int, default=12
            Of each level, at most.
        image_shape : tuple of int, optional
            (height, width) or (height, width, 3), where rows of features are images.
        ax : matplotlib.axes.Axes, optional
            New ones by default.

        Raises
        ------
        InvalidData
            If it is no stack.
        """
        if not hasattr(stack, "layers_"):
            raise InvalidData(f"A hierarchy has levels: give a fitted StackedAutoencoder, not {stack!r}.")
        changes, captions = {}, {}
        errors = stack.stages_.get("validation_error", stack.stages_.get("training_error", ()))
        stages = dict(zip(stack.stages_["stage"], errors, strict=True))
        chosen = rows_at(X, spread(n_rows(X), MOST_SAMPLES))
        for name, codes in stack.codes(chosen).items():
            codes = dense(codes)
            units = np.argsort(-codes.std(axis=0), kind="stable")[:n_units]
            ends = np.tile(np.median(codes, axis=0), (2, len(units), 1))
            ends[:, range(len(units)), units] = np.quantile(codes[:, units], [0.02, 0.98], axis=0)
            low, high = (stack.inverse_transform(end, level=name).reshape(len(units), -1) for end in ends)
            changes[name] = high - low
            captions[name] = f"{plain(name)}\n{codes.shape[1]} units"
            if name in stages:
                captions[name] += f"\nerror {stages[name]:.3g}"
        shape = image_shape_of(stack, image_shape)
        return cls(changes, captions, image_shape=shape, names=feature_names(X)).plot(ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw on `ax`, or on new axes: images, or strips of colour, a line a unit."""
        scaled = {
            name: change / np.maximum(np.abs(change).max(axis=1, keepdims=True), 1e-30)
            for name, change in self.changes.items()
        }
        widest = max(map(len, scaled.values()))
        filled = {  # levels of few units leave the rest of their row empty
            name: np.concatenate([change, np.full((widest - len(change), change.shape[1]), np.nan)])
            for name, change in scaled.items()
        }
        if self.image_shape is None:
            blocks = {self.captions[name]: coloured(change, -1, 1, SIGNED)[None] for name, change in filled.items()}
            ax = self._begin(ax, (9, room_for(self.names) + 0.16 * widest * len(blocks)))
        else:
            grey = {name: change.reshape(-1, *self.image_shape) for name, change in filled.items()}
            grey = {name: change.mean(axis=3) if change.ndim == 4 else change for name, change in grey.items()}
            blocks = {self.captions[name]: coloured(change, -1, 1, SIGNED) for name, change in grey.items()}
            height, width = self.image_shape[:2]
            ax = self._begin(ax, (1.6 + 0.7 * widest, 0.3 + 0.75 * len(blocks) * height / width))
        draw_images(ax, blocks)
        if self.image_shape is None:
            ax.set_aspect("auto")
            name_features(ax, self.names, next(iter(self.changes.values())).shape[1])
        return self
