"""Curves: training, PCA beside a model, noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from embudo.errors import InvalidData, InvalidParameter, check_choice
from embudo.parts.expression import parse
from embudo.report.display import LINES, MODEL, PCA, Display, dense, logarithmic, n_rows, plain, rows_at, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from embudo.models.base import BaseAutoencoder

#: columns of a history that are no loss
NO_LOSS = {"epoch", "learning_rate", "seconds", "samples_per_second"}
#: what `RobustnessDisplay` draws: name of the axis
MEASURES = {
    "fvu": "variance of the clean samples left unexplained",
    "reconstruction_change": "change of the reconstruction",
    "code_change": "change of the code",
}
SMALLEST = 1e-3  #: share of the least loss that a term must reach to be drawn
MOST_MEASURED = 2000  #: samples that noise is added to


class TrainingDisplay(Display):
    """The losses of a training, epoch by epoch: their sum, each term, and that of samples held out.

    Parameters
    ----------
    histories : dict of str to history
        ``history_`` of each stage, by name, one after the other; one stage may be called "".

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from embudo import L1, Autoencoder, Training
    >>> from embudo.report import TrainingDisplay
    >>> X = load_digits().data
    >>> ae = Autoencoder(8, penalty=L1(0.1), training=Training(5, validation_fraction=0.2), random_state=0).fit(X)
    >>> [line.get_label() for line in TrainingDisplay.from_estimator(ae).ax_.lines]
    ['loss', 'reconstruction', 'l1', 'validation loss']
    """

    def __init__(self, histories: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
        self.histories = histories

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Axes | None = None) -> Self:
        """Draw the training of an estimator; of a stack, that of each level and the fine-tuning.

        Parameters
        ----------
        estimator : any of embudo's
            Fitted.
        ax : matplotlib.axes.Axes, optional
            New ones by default.

        Raises
        ------
        InvalidData
            If it has no history, such as after a fit in closed form.
        """
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(estimator)
        return cls(histories_of(estimator)).plot(ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw on `ax`, or on new axes: on a logarithmic scale where all losses are positive and they fall far.

        Raises
        ------
        InvalidData
            If there is no epoch.
        """
        stages = {name: history for name, history in self.histories.items() if history.get("epoch")}
        if not stages:
            raise InvalidData("There is no history to draw: the model was not trained by epochs.")
        ax = self._begin(ax)
        styles: dict[str, dict[str, Any]] = {}
        floor = SMALLEST * min(float(np.nanmin(np.abs(history["loss"]))) for history in stages.values())
        start, least, most = 0, np.inf, -np.inf
        for name, history in stages.items():
            epochs = start + np.arange(1, len(history["epoch"]) + 1)
            for column in losses_of(history):
                values = np.asarray(history[column], dtype=float)
                label = None if column in styles else column.replace("_", " ")
                if np.nanmax(np.abs(values)) < floor:  # it would press all else together
                    values, label = np.full(len(values), np.nan), label and f"{label}: less than {floor:.1g}"
                else:
                    least, most = min(least, float(np.nanmin(values))), max(most, float(np.nanmax(values)))
                style = styles.setdefault(column, self._style(column, len(styles)))
                marker = "o" if len(epochs) < 12 else None
                ax.plot(epochs, values, label=label, marker=marker, markersize=3, **style)
            if name:
                ax.annotate(plain(name), (start + 0.5, 1), xycoords=("data", "axes fraction"), va="bottom", fontsize=9)
            if start:
                ax.axvline(start + 0.5, color="grey", linewidth=0.8)
            start += len(epochs)
        ax.set(xlabel="epoch", ylabel="loss per sample")
        if 0 < 10 * least < most:
            logarithmic(ax.yaxis)
        ax.grid(alpha=0.3)
        ax.legend(frameon=False)
        return self

    @staticmethod
    def _style(column: str, number: int) -> dict[str, Any]:
        if column == "loss":
            return {"color": "black", "linewidth": 2}
        if column == "validation_loss":
            return {"color": PCA, "linewidth": 2, "linestyle": "--"}
        return {"color": LINES[(0, 2, 3, 4, 5)[number % 5]], "linewidth": 1.2}


def histories_of(estimator: Any) -> dict[str, Any]:
    """Return the history of each stage of an estimator's training, by name; one alone is called ""."""
    if hasattr(estimator, "layers_"):
        levels = {name: level.history_ for name, level in estimator.layers_}
        return levels | {"fine-tuning": estimator.history_}
    if hasattr(estimator, "training_history_"):
        return dict(estimator.training_history_)
    return {"": estimator.history_}


def losses_of(history: Mapping[str, Any]) -> list[str]:
    """Return the columns of a history that are losses: their sum first, that of samples held out last."""
    columns = [name for name in history if name not in NO_LOSS and not name.startswith("validation_")]
    return [*columns, *(["validation_loss"] if "validation_loss" in history else [])]


class PCAComparisonDisplay(Display):
    """What is left of the variance by PCA with codes of every size, and by the model with its own.

    Parameters
    ----------
    pca_fvu : ndarray of shape (n_features + 1,)
        Fraction of variance unexplained by PCA with 0, 1, 2, ... components.
    n_components : int
        Size of the model's code.
    fvu : float
        Fraction of variance that the model leaves unexplained.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from embudo import MLP, Autoencoder, Training
    >>> from embudo.report import PCAComparisonDisplay
    >>> X = load_digits().data
    >>> ae = Autoencoder(8, encoder=MLP((128, 64)), training=Training(5), random_state=0).fit(X)
    >>> PCAComparisonDisplay.from_estimator(ae, X).pca_fvu.shape
    (65,)
    """

    def __init__(self, pca_fvu: np.ndarray, n_components: int, fvu: float) -> None:
        self.pca_fvu, self.n_components, self.fvu = pca_fvu, n_components, fvu

    @classmethod
    def from_estimator(cls, autoencoder: BaseAutoencoder, X: Any, *, ax: Axes | None = None) -> Self:
        """Reconstruct samples, fit PCA on them, both between scaled values, and draw.

        Parameters
        ----------
        autoencoder : Autoencoder or StackedAutoencoder
            Fitted.
        X : like that of its `fit`
        ax : matplotlib.axes.Axes, optional
            New ones by default.

        Raises
        ------
        InvalidData
            If there are too many features for PCA, more than 5000.
        """
        return cls(*compare_with_pca(autoencoder, X)).plot(ax)

    @property
    def equal_components(self) -> int | None:
        """Components that PCA needs to leave no more than the model does; None where it has not as many."""
        enough = np.flatnonzero(self.pca_fvu <= self.fvu)
        return int(enough[0]) if len(enough) else None

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw on `ax`, or on new axes."""
        from matplotlib.ticker import MaxNLocator

        ax = self._begin(ax)
        shown = max(2 * self.n_components, (self.equal_components or 0) + 5, 10)
        sizes = np.arange(min(shown + 1, len(self.pca_fvu)))
        ax.plot(sizes, self.pca_fvu[sizes], color=PCA, linestyle="--", label="PCA")
        if self.n_components < len(self.pca_fvu):
            ax.plot(self.n_components, self.pca_fvu[self.n_components], "s", color=PCA)
        more = self.equal_components is not None and self.equal_components > self.n_components
        label = "this model" + (f": PCA needs {self.equal_components} units for that" if more else "")
        ax.plot(self.n_components, self.fvu, "o", color=MODEL, markersize=9, label=label)
        ax.set(xlabel="code units", ylabel="variance left unexplained", xlim=(0, None), ylim=(0, None))
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.grid(alpha=0.3)
        ax.legend(frameon=False)
        return self


def compare_with_pca(autoencoder: BaseAutoencoder, X: Any) -> tuple[np.ndarray, int, float]:
    """Return what `PCAComparisonDisplay` is made of."""
    from embudo.metrics.variance import MOST_FEATURES, Covariance, Residuals

    if autoencoder.n_features_in_ > MOST_FEATURES:
        raise InvalidData(f"PCA of more than {MOST_FEATURES} features is not computed; X has {X.shape[1]}.")
    covariance, residuals = Covariance(), Residuals()
    total = n_rows(X)
    for start in range(0, total, 1000):
        rows = rows_at(X, np.arange(start, min(start + 1000, total)))
        made = autoencoder.reconstruct(rows)
        x = dense(rows)
        scaled, found = (autoencoder.scaler_.apply(part.reshape(len(x), -1)) for part in (x, made))
        covariance.update(scaled)
        residuals.update(scaled, found)
    values = covariance.spectrum()
    left = values.sum() - np.concatenate([[0.0], values.cumsum()])
    return np.maximum(left, 0) / (values.sum() or 1.0), autoencoder.n_components_, residuals.fvu


class RobustnessDisplay(Display):
    """What is left of clean samples, or changes, as noise grows: the model's, and PCA's beside it.

    Parameters
    ----------
    noise : dict of str to dict
        ``diagnose(X)["noise"]``: measures by the text of each noise.
    clean : dict of str to float
        The same measures without noise.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from embudo import Autoencoder, Training
    >>> from embudo.report import RobustnessDisplay
    >>> X = load_digits().data
    >>> ae = Autoencoder(8, training=Training(5), random_state=0).fit(X)
    >>> RobustnessDisplay.from_diagnosis(ae.diagnose(X)).kinds
    ['GaussianNoise', 'MaskingNoise', 'SaltAndPepper']
    """

    def __init__(self, noise: Mapping[str, Mapping[str, Any]], clean: Mapping[str, Any]) -> None:
        self.noise, self.clean = noise, clean

    @classmethod
    def from_estimator(
        cls,
        autoencoder: BaseAutoencoder,
        X: Any,
        *,
        levels: Sequence[float] = (0.1, 0.2, 0.3, 0.4, 0.5),
        measure: str = "fvu",
        ax: Axes | None = None,
    ) -> Self:
        """Measure at most 2000 samples, evenly spaced, under Gaussian, masking and salt-and-pepper noise, and draw.

        Parameters
        ----------
        autoencoder : Autoencoder or StackedAutoencoder
            Fitted.
        X : like that of its `fit`
        levels : sequence of float, default=(0.1, 0.2, 0.3, 0.4, 0.5)
            Of each noise.
        measure : {"fvu", "reconstruction_change", "code_change"}, default="fvu"
        ax : matplotlib.axes.Axes, optional
            New ones by default.
        """
        from embudo.parts.corruptions import GaussianNoise, MaskingNoise, SaltAndPepper

        noises = [kind(level) for kind in (GaussianNoise, MaskingNoise, SaltAndPepper) for level in levels]
        facts = autoencoder.diagnose(rows_at(X, spread(n_rows(X), MOST_MEASURED)), noises=noises)
        return cls.from_diagnosis(facts, measure=measure, ax=ax)

    @classmethod
    def from_diagnosis(cls, facts: Mapping[str, Any], *, measure: str = "fvu", ax: Axes | None = None) -> Self:
        """Draw what ``diagnose`` returned; `measure` and `ax` as above."""
        clean = {"fvu": facts["fvu"], "pca_fvu": facts["pca_fvu"], "reconstruction_change": 0.0, "code_change": 0.0}
        return cls(facts["noise"], clean).plot(ax, measure=measure)

    @property
    def kinds(self) -> list[str]:
        """Names of the noises."""
        return list(dict.fromkeys(name.partition("(")[0] for name in self.noise))

    def plot(self, ax: Axes | None = None, *, measure: str = "fvu") -> Self:
        """Draw on `ax`, or on new axes, one of the measures."""
        check_choice("measure", measure, MEASURES)
        ax = self._begin(ax)
        for number, kind in enumerate(self.kinds):
            style: dict[str, Any] = {"color": LINES[number % 7], "marker": "os^DvPX"[number % 7], "markersize": 5}
            for name, line, label in ((measure, "-", kind), (f"pca_{measure}", ":", f"{kind}, PCA")):
                curve = self._curve(kind, name)
                if len(curve) > 1:
                    ax.plot(*zip(*curve, strict=True), line, label=label, **style)
        ax.set(xlabel="level of the noise", ylabel=MEASURES[measure], xlim=(0, None), ylim=(0, None))
        ax.grid(alpha=0.3)
        ax.legend(frameon=False)
        return self

    def _curve(self, kind: str, name: str) -> list[tuple[float, float]]:
        """Return levels and values of a measure; none where it is not there, such as PCA's."""
        points = [(0.0, self.clean.get(name))]
        points += [(_level(text), found.get(name)) for text, found in self.noise.items() if text.startswith(f"{kind}(")]
        return sorted((level, value) for level, value in points if value is not None)


def _level(noise: str) -> float:
    """Return the first field of a noise given as text, its level."""
    level = next(iter(parse(noise).get_params(deep=False).values()))
    if not isinstance(level, int | float):
        raise InvalidParameter(f"A noise is drawn at its level, such as GaussianNoise(0.1); got {noise}.")
    return float(level)
