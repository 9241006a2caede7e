"""Codes: where samples lie, and what the units do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from embudo.errors import InvalidData, check_choice
from embudo.report.display import AMOUNT, MODEL, SIGNED, Display, check_labels, dense, plain, spread
from embudo.report.scatter import grouped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from embudo.models.base import BaseAutoencoder

KINDS = ("heatmap", "histogram", "units")
MOST_ROWS = 500  #: samples at most of a heat map
MOST_IN_LEGEND = 12  #: labels
MOST_SHARP = 2000  #: points that are kept as shapes in SVG and PDF; more become pixels


class CodeDisplay(Display):
    """What the units of a code do: as a heat map, a histogram of all activations, or the range of each unit.

    Parameters
    ----------
    codes : ndarray of shape (n_samples, n_components)
    labels : ndarray of shape (n_samples,), optional
        By which the samples of a heat map are sorted.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from embudo import Autoencoder, Training
    >>> from embudo.report import CodeDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> display = CodeDisplay.from_estimator(Autoencoder(8, training=Training(5), random_state=0).fit(X), X, y)
    >>> display = display.plot(kind="units")
    """

    def __init__(self, codes: np.ndarray, labels: np.ndarray | None = None) -> None:
        self.codes, self.labels = codes, labels

    @classmethod
    def from_estimator(
        cls, autoencoder: BaseAutoencoder, X: Any, y: Any = None, *, kind: str = "heatmap", ax: Axes | None = None
    ) -> Self:
        """Encode samples, and draw.

        Parameters
        ----------
        autoencoder : estimator with `transform`
            Fitted.
        X : like that of its `fit`
        y : array of shape (n_samples,), optional
            Labels, by which the samples of a heat map are sorted.
        kind : {"heatmap", "histogram", "units"}, default="heatmap"
            As of `plot`.
        ax : matplotlib.axes.Axes, optional
            New ones by default.
        """
        return cls.from_predictions(autoencoder.transform(X), y, kind=kind, ax=ax)

    @classmethod
    def from_predictions(cls, codes: Any, y: Any = None, *, kind: str = "heatmap", ax: Axes | None = None) -> Self:
        """Draw codes, an array or sparse matrix of shape (n_samples, n_components); `y`, `kind`, `ax` as above."""
        codes = _checked_codes(codes)
        return cls(codes, check_labels(y, len(codes))).plot(ax, kind=kind)

    def plot(self, ax: Axes | None = None, *, kind: str = "heatmap") -> Self:
        """Draw on `ax`, or on new axes.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
        kind : {"heatmap", "histogram", "units"}, default="heatmap"
            A line for each of at most 500 samples and a column for each unit; a histogram of all activations that are
            not 0; or the range of each unit, those with the greatest medians first.
        """
        check_choice("kind", kind, KINDS)
        draw = {"heatmap": self._draw_heatmap, "histogram": self._draw_histogram, "units": self._draw_units}
        draw[kind](self._begin(ax))
        return self

    def _draw_heatmap(self, ax: Axes) -> None:
        order = np.arange(len(self.codes))
        if self.labels is not None:
            order = np.argsort(self.labels.astype(str), kind="stable")
        drawn = order[spread(len(order), MOST_ROWS)]
        codes = self.codes[drawn]
        low, high = np.quantile(codes, [0.005, 0.995])
        signed = low < 0
        most = max(abs(low), abs(high)) or 1.0
        limits: dict[str, Any] = {"vmin": -most, "vmax": most} if signed else {"vmin": 0, "vmax": most}
        n, n_units = codes.shape
        cells = codes.repeat(-(-1000 // n), axis=0).repeat(-(-1000 // n_units), axis=1)  # cells that are not blurred
        extent = (-0.5, n_units - 0.5, n - 0.5, -0.5)
        image = ax.imshow(cells, cmap=SIGNED if signed else AMOUNT, aspect="auto", extent=extent, **limits)
        ax.figure.colorbar(image, ax=ax, label="activation", extend="both" if signed else "max")
        ax.set(xlabel="unit", ylabel="sample" if self.labels is None else "samples by label")
        if self.labels is not None:
            self._name_groups(ax, self.labels[drawn].astype(str))

    @staticmethod
    def _name_groups(ax: Axes, labels: np.ndarray) -> None:
        """Write each label beside its samples, which lie together, where there are not too many to read."""
        names, starts, counts = np.unique(labels, return_index=True, return_counts=True)
        if len(names) > 2 * MOST_IN_LEGEND:
            ax.set_yticks([])
            return
        ax.set_yticks(starts + counts / 2 - 0.5, [plain(name) for name in names])
        ax.tick_params(axis="y", length=0)
        for start in starts[1:]:
            ax.axhline(start - 0.5, color="black", linewidth=0.6)

    def _draw_histogram(self, ax: Axes) -> None:
        values = self.codes.ravel()
        spoken = values[values != 0]
        silent = 1 - len(spoken) / len(values)
        title = f"{silent:.0%} of the activations are 0" if silent else None
        ax.hist(spoken, bins=60, color=MODEL, density=bool(len(spoken)))
        ax.set(xlabel="activation, where it is not 0" if silent else "activation", ylabel="density", title=title)

    def _draw_units(self, ax: Axes) -> None:
        least, low, middle, high, most = np.quantile(self.codes, [0.05, 0.25, 0.5, 0.75, 0.95], axis=0)
        order = np.lexsort((-most, -middle))  # units that mostly are silent have the same median
        x = np.arange(len(order))
        bars = [(least, most, 0.3, "5 to 95 % of the samples"), (low, high, 0.75, "25 to 75 %")]
        for bottom, top, alpha, label in bars:
            ax.bar(x, (top - bottom)[order], 0.9, bottom[order], color=MODEL, alpha=alpha, label=label, linewidth=0)
        ax.hlines(middle[order], x - 0.45, x + 0.45, color="black", linewidth=1, label="median")
        ax.use_sticky_edges = False
        ax.margins(x=0.01, y=0.05)
        if len(order) <= 30:
            ax.set_xticks(x, [str(unit) for unit in order])
        ax.set(xlabel="unit" if len(order) <= 30 else "units, greatest median first", ylabel="activation")
        ax.legend(frameon=False)


class MapDisplay(Display):
    """Where the codes of samples lie, in two or three dimensions, coloured by label.

    Longer codes are drawn on their two principal axes. Numbers as labels, where there are more of them than colours,
    are put into ranges.

    Parameters
    ----------
    codes : ndarray of shape (n_samples, n_components)
    labels : ndarray of shape (n_samples,), optional
        Text or numbers; None or NaN where a sample has none.

    Attributes
    ----------
    places : ndarray of shape (n_samples, 1, 2 or 3)
        Where the samples are drawn.
    explained : ndarray of shape (2,) or None
        Share of the codes' variance along each axis, where they were projected.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from embudo import Autoencoder, Training
    >>> from embudo.report import MapDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> MapDisplay.from_estimator(Autoencoder(2, training=Training(5), random_state=0).fit(X), X, y).places.shape
    (1797, 2)
    """

    def __init__(self, codes: np.ndarray, labels: np.ndarray | None = None) -> None:
        self.codes, self.labels = codes, labels
        self.places, self.explained = codes, None
        if codes.shape[1] > 3:
            from embudo.metrics.variance import Covariance

            covariance = Covariance()
            covariance.update(codes)
            pca, spectrum = covariance.pca(2), covariance.spectrum()
            self.places = (codes - pca.mean) @ pca.axes[:, ::-1]
            self.explained = spectrum[:2] / (spectrum.sum() or 1.0)

    @classmethod
    def from_estimator(cls, autoencoder: BaseAutoencoder, X: Any, y: Any = None, *, ax: Axes | None = None) -> Self:
        """Encode samples, and draw.

        Parameters
        ----------
        autoencoder : estimator with `transform`
            Fitted; such as `embudo.map_autoencoder` makes.
        X : like that of its `fit`
        y : array of shape (n_samples,), optional
            Labels.
        ax : matplotlib.axes.Axes, optional
            New ones by default; of three dimensions for codes of three units.
        """
        return cls.from_predictions(autoencoder.transform(X), y, ax=ax)

    @classmethod
    def from_predictions(cls, codes: Any, y: Any = None, *, ax: Axes | None = None) -> Self:
        """Draw codes, an array or sparse matrix of shape (n_samples, n_components), `y` and `ax` as above."""
        codes = _checked_codes(codes)
        return cls(codes, check_labels(y, len(codes))).plot(ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw on `ax`, or on new axes."""
        dimensions = self.places.shape[1]
        ax = self._begin(ax, (6.8, 5.2), projection="3d" if dimensions == 3 else None)
        places = self.places if dimensions > 1 else np.column_stack([self.places, np.zeros(len(self.places))])
        labels = None if self.labels is None else self.labels.astype(object)
        groups, names, colours = grouped(labels, len(places))
        order = np.random.default_rng(0).permutation(len(places))  # no label lies on top of all others
        size, alpha = float(np.clip(12000 / len(places), 3, 36)), float(np.clip(3000 / len(places), 0.35, 0.9))
        palette = np.array(colours)
        style: dict[str, Any] = {"s": size, "c": palette[groups[order]], "alpha": alpha, "linewidths": 0}
        ax.scatter(*places[order].T, rasterized=len(places) > MOST_SHARP, **style)
        if self.labels is not None and len(names) <= MOST_IN_LEGEND:
            self._name_labels(ax, groups, names, colours)
        ax.set(**{f"{axis}label": label for axis, label in zip("xyz", self._axis_names(), strict=False)})
        if dimensions == 1:
            ax.set_yticks([])
        if dimensions == 2 and self.explained is None:
            ax.set_aspect("equal", adjustable="datalim")
        return self

    @staticmethod
    def _name_labels(ax: Any, groups: np.ndarray, names: list[str], colours: list[str]) -> None:
        from matplotlib.lines import Line2D

        marks = [
            Line2D([], [], marker="o", linestyle="", color=colour, label=f"{plain(name)} ({count:,})")
            for name, colour, count in zip(names, colours, np.bincount(groups, minlength=len(names)), strict=True)
        ]
        beside = (1.12 if ax.name == "3d" else 1.02, 0.5)
        ax.legend(handles=marks, frameon=False, loc="center left", bbox_to_anchor=beside)

    def _axis_names(self) -> list[str]:
        if self.explained is None:
            return [f"code unit {i}" for i in range(self.places.shape[1])]
        of = f"of {self.codes.shape[1]} code units"
        return [f"principal axis {i} {of} ({share:.0%})" for i, share in enumerate(self.explained, 1)]


def _checked_codes(codes: Any) -> np.ndarray:
    array = dense(codes)
    if array.ndim != 2 or not array.size:
        raise InvalidData(f"Codes must have shape (n_samples, n_components); got {array.shape}.")
    return array
