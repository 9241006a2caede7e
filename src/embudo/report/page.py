"""The report on a model: one page that asks for nothing outside itself."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import embudo
from embudo.data.files import write_atomically
from embudo.errors import InvalidParameter
from embudo.models.base import BaseAutoencoder
from embudo.models.path import path_html
from embudo.parts.architectures import MLP
from embudo.report.anomaly import AnomalyScoreDisplay
from embudo.report.codes import CodeDisplay, MapDisplay
from embudo.report.curves import PCAComparisonDisplay, RobustnessDisplay, TrainingDisplay, histories_of
from embudo.report.display import Display, check_labels, dense, feature_names, image_shape_of, n_rows, rows_at, spread
from embudo.report.doctor import RULES, Case, Finding, examine, name_of
from embudo.report.reconstruction import ReconstructionDisplay, by_pca
from embudo.report.templates import template
from embudo.report.units import FilterDisplay, HierarchyDisplay, TraversalDisplay

if TYPE_CHECKING:
    from markupsafe import Markup

MOST_DRAWN = 5000  #: samples that pictures and statistics of features are made of, evenly spaced; fewer of large ones
MOST_VALUES = 20_000_000  #: of these samples
MOST_FEATURES = 30  #: that have a line in the table of the data
BLOCK = 1000  #: samples whose errors are computed at a time
TIGHT: dict[str, Any] = {"bbox_inches": "tight", "pad_inches": 0.05}
SHOWN = 10  #: worst cases, and best ones


class Figure(NamedTuple):
    """A picture as the page holds it."""

    uri: str
    caption: str


class Report:
    """What a model is, what it makes of samples, what is wrong with it, and what to try: a page of one file.

    Parameters
    ----------
    autoencoder : Autoencoder or StackedAutoencoder
        Fitted.
    X : like that of its `fit`
        Samples, those learnt from or others; pictures are made of at most 5000, evenly spaced, figures of all.
    y : array of shape (n_samples,), optional
        Labels, by which codes are coloured.
    title : str, optional
        Name of the data.
    image_shape : tuple of int, optional
        (height, width) or (height, width, 3), where rows of features are images.

    Attributes
    ----------
    facts : dict
        ``autoencoder.diagnose(X)``.
    findings : list of Finding
        What the doctor says; each has `rule`, `what` and `advice`.
    errors : ndarray of shape (n_samples,)
        Squared error of each sample between scaled values, as in training, summed over features.

    Raises
    ------
    InvalidParameter
        If it is another kind of model.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from embudo import Autoencoder, Training
    >>> X = load_digits().data
    >>> report = Autoencoder(8, training=Training(2), random_state=0).fit(X).report(X)
    >>> report.findings[0].what
    'PCA does better: with 8 components, fitted on these very samples, it leaves ...'
    >>> report.findings[0].advice
    'Train longer, raise the learning rate, or begin with PCA itself, by init="pca"; or add hidden layers.'
    """

    def __init__(
        self,
        autoencoder: BaseAutoencoder,
        X: Any,
        y: Any = None,
        *,
        title: str | None = None,
        image_shape: tuple[int, ...] | None = None,
    ) -> None:
        if not isinstance(autoencoder, BaseAutoencoder):
            raise InvalidParameter(
                "A report is made of an Autoencoder or a StackedAutoencoder, such as a detector's autoencoders_; got a "
                f"model of class {type(autoencoder).__name__}."
            )
        self.facts = autoencoder.diagnose(X)
        self.autoencoder, self.title = autoencoder, title or type(autoencoder).__name__
        self.image_shape = image_shape_of(autoencoder, image_shape)
        self.n_samples, self.names = n_rows(X), feature_names(X)
        labels = check_labels(y, self.n_samples)
        self.errors = scaled_errors(autoencoder, X)
        most = min(MOST_DRAWN, max(100, MOST_VALUES // autoencoder.n_features_in_))
        chosen = spread(self.n_samples, most)
        self.X, self.y = rows_at(X, chosen), None if labels is None else labels[chosen]
        self.codes = dense(autoencoder.transform(self.X))
        self.original, self.found = (
            dense(part).reshape(len(chosen), -1) for part in (self.X, autoencoder.reconstruct(self.X))
        )
        order = np.argsort(self.errors, kind="stable")
        self.best, self.worst = order[:SHOWN], order[::-1][:SHOWN]
        self.extremes = {"worst": rows_at(X, self.worst), "best": rows_at(X, self.best)}
        self.findings: list[Finding] = examine(self._case())

    def _case(self) -> Case:
        ae = self.autoencoder
        return Case(
            facts=self.facts,
            history=ae.history_,
            n_features=ae.n_features_in_,
            n_components=ae.n_components_,
            errors=self.errors,
            deviations=self.codes.std(axis=0),
            parts={name: getattr(ae, name) for name in ("penalty", "sparsity", "corruption", "loss")},
            linear=is_linear(ae),
            stopped_early=ae.training_.patience is not None,
        )

    # ------------------------------------------------------------------ the page

    @cached_property
    def html(self) -> str:
        """The page."""
        from markupsafe import Markup

        path: Markup = Markup(path_html(self.autoencoder))  # escaped where it is made
        return template("page.html").render(
            title=self.title,
            version=embudo.__version__,
            summary=self.summary(),
            findings=self.findings,
            path=path,
            parts=self.parts(),
            data=self.data_card(),
            features=self.feature_table(),
            training=self.training_table(),
            stages=self.stages(),
            measures=self.measures(),
            noise=self.facts["noise"],
            cases={name: self.case_table(name) for name in ("worst", "best")},
            figures=self.figures(),
            number=number,
            zip=zip,
            rules=[name_of(rule) for rule in RULES],
        )

    def save(self, path: str | Path) -> None:
        """Write the page to a file, as a whole or not at all."""
        write_atomically(path, self.html.encode())

    def _repr_html_(self) -> str:
        page = html.escape(self.html)
        return f'<iframe srcdoc="{page}" title="Report" style="width:100%;height:80vh;border:1px solid #888"></iframe>'

    # ------------------------------------------------------------------ what it says

    def __repr__(self) -> str:
        found = [f"- {finding.what}\n  {finding.advice}" for finding in self.findings]
        return "\n".join([self.summary(), *(found or ["Nothing was found wrong."])])

    def summary(self) -> str:
        """Return the page in a sentence."""
        fvu, pca = self.facts["fvu"], self.facts["pca_fvu"]
        beside = "" if pca is None else f", PCA with as many components {1 - pca:.1%}"
        explained = f"{1 - fvu:.1%} of the variance is explained{beside}" if fvu == fvu else "they do not vary"
        return (
            f"{self.n_samples:,} sample{'s' * (self.n_samples > 1)} of {self.autoencoder.n_features_in_:,} features "
            f"through {self.autoencoder.n_components_:,} code units: {explained}."
        )

    def parts(self) -> dict[str, str]:
        """Return the parameters as text, and what they came to."""
        ae = self.autoencoder
        params = {name: value for name, value in sorted(ae.get_params(deep=False).items()) if name != "layers"}
        text = {name: str(getattr(ae, f"{name}_", value)) for name, value in params.items()}
        levels = {f"level {name}": repr(level) for name, level in getattr(ae, "layers_", ())}
        weights = sum(p.numel() for p in ae.module_.parameters())
        return text | levels | {"weights": f"{weights:,}", "scaling": str(ae.scaler_.kind), "seed": str(ae.seed_)}

    def data_card(self) -> dict[str, str]:
        """Return what the samples are."""
        x = self.original
        constant = int((np.ptp(x, axis=0) == 0).sum())
        card = {
            "samples": f"{self.n_samples:,}",
            "features": f"{x.shape[1]:,}",
            "shape of a sample": str(self.autoencoder.sample_shape_ or (x.shape[1],)),
            "least and greatest value": f"{x.min():.4g}, {x.max():.4g}",
            "features that do not vary": str(constant),
            "share of zeros": f"{(x == 0).mean():.1%}",
        }
        if self.y is not None:
            card["labels"] = f"{len({str(label) for label in self.y}):,}"
        return card

    def feature_table(self) -> list[dict[str, Any]]:
        """Return the features that are reconstructed worst, with their ranges; none of images."""
        if self.image_shape is not None:
            return []
        x, variance = self.original, self.original.var(axis=0)
        left = np.square(x - self.found).mean(axis=0) / np.where(variance > 0, variance, np.nan)
        order = np.argsort(-np.nan_to_num(left, nan=-1.0), kind="stable")[:MOST_FEATURES]
        names = self.names or [f"feature {i}" for i in range(x.shape[1])]
        columns = {"least": x.min(axis=0), "mean": x.mean(axis=0), "greatest": x.max(axis=0), "unexplained": left}
        return [{"name": names[i]} | {name: float(column[i]) for name, column in columns.items()} for i in order]

    def training_table(self) -> dict[str, str]:
        """Return the last row of the history."""
        history = {name: column for name, column in self.autoencoder.history_.items() if len(column)}
        return {name.replace("_", " "): number(column[-1]) for name, column in history.items()}

    def stages(self) -> dict[str, list[Any]]:
        """Return the stages of a stack as a table, by column; nothing of others."""
        return getattr(self.autoencoder, "stages_", {})

    def measures(self) -> list[tuple[str, str, str]]:
        """Return what `diagnose` measured: name, value, and PCA's."""
        rows = []
        for name, value in self.facts.items():
            if name == "noise" or name.startswith("pca_"):
                continue
            pca = self.facts.get(f"pca_{name}")
            text = (
                ", ".join(f"{key} {number(part)}" for key, part in value.items()) if isinstance(value, dict) else None
            )
            rows.append((name.replace("_", " "), text or number(value), "" if pca is None else number(pca)))
        return rows

    def case_table(self, name: str) -> list[tuple[int, str]]:
        """Return numbers and errors of the "worst" or "best" samples."""
        return [(int(i), number(self.errors[i])) for i in getattr(self, name)]

    # ------------------------------------------------------------------ what it shows

    def figures(self) -> dict[str, Figure]:
        """Return the pictures by name; those that make no sense for the model are not there."""
        return dict(self._figures())

    def _figures(self) -> Iterable[tuple[str, Figure]]:
        ae, X, shape = self.autoencoder, self.X, self.image_shape
        histories = histories_of(ae)
        if any(history.get("epoch") for history in histories.values()):
            yield "training", svg(TrainingDisplay(histories).plot(blank()), "Training, epoch by epoch")
        yield "reconstruction", png(self._samples().plot(blank()), "Samples, evenly spaced")
        if self.facts["pca_fvu"] is not None:
            display = PCAComparisonDisplay.from_estimator(ae, X, ax=blank())
            yield "pca", svg(display, "Variance left unexplained by codes of other sizes")
        yield "errors", svg(AnomalyScoreDisplay(self.errors).plot(blank()), "Errors, between scaled values")
        for name, samples in self.extremes.items():
            drawn = ReconstructionDisplay.from_estimator(ae, samples, image_shape=shape, ax=blank())
            yield name, png(drawn, f"The {name} cases, the {name} first")
        codes = CodeDisplay(self.codes, self.y)
        yield "heatmap", png(codes.plot(blank()), "Codes, a line for each sample")
        yield "units", png(codes.plot(blank(), kind="units"), "Range of each unit")
        yield "map", png(MapDisplay(self.codes, self.y).plot(blank()), "Where the samples lie")
        filters = FilterDisplay.from_estimator(ae, image_shape=shape, ax=blank())
        yield "filters", png(filters, "Weights of the first layer, red positive and blue negative")
        traversal = TraversalDisplay.from_estimator(ae, X, image_shape=shape, ax=blank())
        yield "traversal", png(traversal, "What the decoder makes of a unit that goes from low to high")
        if hasattr(ae, "layers_"):
            hierarchy = HierarchyDisplay.from_estimator(ae, X, image_shape=shape, ax=blank())
            yield "hierarchy", png(hierarchy, "What changes as units of each level go from low to high")
        robustness = RobustnessDisplay.from_diagnosis(self.facts, ax=blank())
        yield "robustness", svg(robustness, "What is left of the clean samples under noise")

    def _samples(self) -> ReconstructionDisplay:
        chosen = spread(len(self.original), SHOWN)
        rows = {"original": self.original[chosen], "reconstruction": self.found[chosen]}
        if self.facts["pca_fvu"] is not None and self.autoencoder.n_components_ <= min(self.original.shape):
            rows["PCA"] = by_pca(self.autoencoder, self.X, rows["original"])
        return ReconstructionDisplay(rows, image_shape=self.image_shape, names=self.names)


def is_linear(autoencoder: Any) -> bool:
    """Tell whether encoder and decoder are one linear layer each, so that PCA is the best they can come to."""
    layers = [getattr(autoencoder, f"{half}_", None) for half in ("encoder", "decoder")]
    activations = {autoencoder.code_activation, autoencoder.output_activation}
    return layers == [MLP(), MLP()] and activations == {"identity"} and autoencoder.sparsity is None


def scaled_errors(autoencoder: BaseAutoencoder, X: Any) -> np.ndarray:
    """Return the squared error of each sample between scaled values: no feature counts more by its unit."""
    errors = np.empty(n_rows(X))
    for start in range(0, len(errors), BLOCK):
        where = np.arange(start, min(start + BLOCK, len(errors)))
        rows = rows_at(X, where)
        x, found = (dense(part).reshape(len(where), -1) for part in (rows, autoencoder.reconstruct(rows)))
        scaler = autoencoder.scaler_
        errors[where] = np.square(scaler.apply(x) - scaler.apply(found)).sum(axis=1)
    return errors


def blank() -> Any:
    """Return an empty figure to draw on, that no window shows."""
    from matplotlib.figure import Figure as Canvas

    return Canvas(layout="compressed")


def png(display: Display, caption: str) -> Figure:
    """Return what a Display has drawn, as pixels of 256 colours: a byte each at most."""
    from PIL import Image

    buffer, small = io.BytesIO(), io.BytesIO()
    display.figure_.savefig(buffer, format="png", dpi=110, **TIGHT)
    Image.open(buffer).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(small, "png", optimize=True)
    return Figure(_uri("image/png", small), caption)


def svg(display: Display, caption: str) -> Figure:
    """Return what a Display has drawn, as curves; the same drawing as the same bytes."""
    import matplotlib as mpl

    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "embudo"}):
        display.figure_.savefig(buffer, format="svg", metadata={"Date": None}, **TIGHT)
    return Figure(_uri("image/svg+xml", buffer), caption)


def _uri(media: str, content: io.BytesIO) -> str:
    return f"data:{media};base64,{base64.b64encode(content.getvalue()).decode()}"


def number(value: Any) -> str:
    """Return a number as people read it."""
    if value is None:
        return "none"
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if isinstance(value, int) or abs(value) >= 1000 else f"{value:.4g}"
