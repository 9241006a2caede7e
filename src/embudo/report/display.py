"""What the Displays share: axes to draw on, samples to draw, colours that all eyes tell apart."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse

from embudo.data.arrays import as_array, as_dense
from embudo.errors import InvalidData, InvalidParameter
from embudo.models.board import image_shape

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: lines, in order; told apart with any colour vision, and by their lightness in print (Okabe and Ito 2008)
LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MODEL, PCA = LINES[0], LINES[1]  #: the model that is shown, and PCA beside it
SIGNED, AMOUNT = "RdBu_r", "cividis"  #: colour maps of numbers around 0, and of others
LONGEST = 28  #: characters of a label
MOST_NAMED = 40  #: features whose names are written at an axis


class Display:
    """What is drawn was computed before; `plot` draws it, as often as wanted.

    Where axes may be given, so may an empty figure, which is brought to the size that suits.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Set by `plot`.
    figure_ : matplotlib.figure.Figure
        That of `ax_`.
    """

    def _begin(self, ax: Any, size: tuple[float, float] = (6.4, 4.8), projection: str | None = None) -> Any:
        """Return the axes to draw on: `ax`, or those of a new figure."""
        from matplotlib.figure import Figure

        if ax is None:
            import matplotlib.pyplot as plt

            ax = plt.figure(layout="compressed")
        if isinstance(ax, Figure):
            ax.set_size_inches(size)
            ax = ax.add_subplot(projection=projection)
        elif projection is not None and ax.name != projection:
            raise InvalidParameter(
                f"{type(self).__name__} needs axes of three dimensions here: make them with "
                f'figure.add_subplot(projection="{projection}"), or leave ax=None.'
            )
        self.ax_, self.figure_ = ax, ax.figure
        return ax


def spread(n: int, most: int) -> np.ndarray:
    """Return the numbers of at most `most` of `n` samples, evenly spaced.

    Examples
    --------
    >>> spread(9, 3).tolist(), spread(2, 3).tolist()
    ([0, 4, 8], [0, 1])
    """
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(int))


def n_rows(X: Any) -> int:
    """Return the number of samples of an array, a frame or a sparse matrix."""
    return int(as_array(X).shape[0])


def rows_at(X: Any, indices: Any) -> Any:
    """Return the samples of X at `indices`, as the kind of thing that X is."""
    X = as_array(X)
    if scipy.sparse.issparse(X):
        X = X.tocsr()
    return X.iloc[indices] if hasattr(X, "iloc") else X[indices]


def dense(X: Any) -> np.ndarray:
    """Return samples as an array of floats, shape (n_samples, ...)."""
    return np.asarray(as_dense(as_array(X)), dtype=np.float64)


def feature_names(X: Any) -> list[str] | None:
    """Return the names of the columns of a frame; None of anything else."""
    columns = getattr(X, "columns", None)
    return None if columns is None else [str(name) for name in columns]


def check_labels(y: Any, n: int) -> np.ndarray | None:
    """Return a label for each of `n` samples, or None where there are none.

    Raises
    ------
    InvalidData
    """
    if y is None:
        return None
    labels = np.asarray(y)
    if labels.shape != (n,):
        raise InvalidData(f"y must have one label for each of the {n} samples; got {labels.shape}.")
    return labels


def image_shape_of(estimator: Any, given: tuple[int, ...] | None = None) -> tuple[int, ...] | None:
    """Return the shape in which rows of features are images; None where they are none.

    Parameters
    ----------
    estimator : Autoencoder or StackedAutoencoder
        Fitted.
    given : tuple of int, optional
        What the user says: (height, width), or (height, width, 1 or 3).

    Raises
    ------
    InvalidParameter
        If `given` does not hold as many pixels as there are features.
    """
    if given is not None:
        return check_image_shape(given, estimator.n_features_in_)
    return image_shape(estimator)


def check_image_shape(shape: Any, n_features: int) -> tuple[int, ...]:
    """Return `shape`, by which rows of `n_features` are images.

    Raises
    ------
    InvalidParameter
    """
    good = isinstance(shape, tuple) and len(shape) in {2, 3} and shape[2:] in {(), (1,), (3,)}
    if not good or math.prod(shape) != n_features:
        raise InvalidParameter(
            f"image_shape must be (height, width) or (height, width, 3) of {n_features} values in all; got {shape!r}."
        )
    return tuple(shape)


def coloured(values: np.ndarray, low: float, high: float, cmap: str) -> np.ndarray:
    """Return numbers as colours, shape (..., 4), from `low` to `high`."""
    from matplotlib import colormaps

    colours: np.ndarray = colormaps[cmap]((values - low) / ((high - low) or 1.0))
    return colours


def painted(images: np.ndarray, low: float, high: float, cmap: str = "gray") -> np.ndarray:
    """Return images, shape (n, height, width[, 1 or 3]), as colours, shape (n, height, width, 4)."""
    if images.shape[3:] != (3,):
        return coloured(images.reshape(images.shape[:3]), low, high, cmap)
    rgb = np.clip((images - low) / ((high - low) or 1.0), 0, 1)
    return np.concatenate([rgb, np.ones((*rgb.shape[:3], 1))], axis=3)


def name_features(ax: Axes, names: list[str] | None, n_features: int) -> None:
    """Write the names of features below their columns, where they are few enough, and else "feature"."""
    if names is not None and n_features <= MOST_NAMED:
        ax.set_xticks(range(n_features), [plain(name) for name in names], rotation=90)
    else:
        ax.set_xlabel("feature")


def room_for(names: list[str] | None) -> float:
    """Return how many inches the names of features take below their columns."""
    return 0.5 if names is None or len(names) > MOST_NAMED else 0.3 + 0.085 * max(map(len, map(plain, names)))


def plain(text: Any) -> str:
    r"""Return text as matplotlib shall write it: no longer than a label can be, and at its word.

    Examples
    --------
    >>> plain("price in $"), plain("a name that is longer than any label should be")
    ('price in \\$', 'a name that is longer tha...')
    """
    words = " ".join(str(text).split())
    words = words if len(words) <= LONGEST else words[: LONGEST - 3] + "..."
    return words.replace("$", r"\$")


def logarithmic(axis: Any) -> None:
    """Make an axis logarithmic, with numbers that one can read."""
    from matplotlib.ticker import LogLocator, NullFormatter

    ax, name = axis.axes, axis.axis_name
    getattr(ax, f"set_{name}scale")("log")
    low, high = getattr(ax, f"get_{name}lim")()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 1e3 else (1,)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())
