"""`AnomalyDetector`: flags samples that an autoencoder, having learnt what is normal, fails to reproduce."""

from __future__ import annotations

import itertools
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from embudo.apps.calibration import CalibratedOutlierMixin, Calibration, check_contamination, threshold
from embudo.apps.export import detector_graph
from embudo.apps.judgement import Judges, fit_scaled, in_float64, partitions, scaled, subsample, variant
from embudo.apps.scores import SCORES, Score, check_shape, restored
from embudo.data.arrays import Matrix
from embudo.data.sampling import EvenSample
from embudo.data.sources import BatchStream, as_stream
from embudo.data.streams import Stream, subset
from embudo.data.tables import TableEncoder
from embudo.engine.progress import titled
from embudo.errors import FileFormatError, InvalidParameter, check_choice, check_number
from embudo.models.autoencoder import Autoencoder
from embudo.models.base import BaseAutoencoder
from embudo.models.composed import Composed
from embudo.models.export import Exportable, Graph
from embudo.models.tabular import Tabular
from embudo.parts.architectures import MLP
from embudo.parts.corruptions import GaussianNoise
from embudo.parts.optimizers import Adam
from embudo.parts.training import Training

if TYPE_CHECKING:
    import pandas as pd

SUBSAMPLED = 4  #: autoencoders that learn from few samples, where some of these may be anomalies
MOST_SAMPLED = 2_000  #: samples at most that set a threshold which is not a share of all


class AnomalyDetector(CalibratedOutlierMixin, Tabular, Exportable):
    """Finds anomalies: samples that an autoencoder, having learnt what is normal, does not reproduce.

    Parameters
    ----------
    autoencoder : Autoencoder, StackedAutoencoder or None, default=None
        What learns; it is cloned. None is a network without a bottleneck, which has learnt to take noise of many levels
        away: ``Autoencoder(128, encoder=MLP(128, activation="tanh"), decoder=MLP(), code_activation="tanh",
        corruption=GaussianNoise((0.1, 2.0)), scale="standard", training=Training(batch_size=128,
        steps=500, optimizer=Adam(1e-2)))``.
    contamination : "auto" or float, default="auto"
        Share of the training samples that is flagged: 0 if all are normal, at most 0.5. "auto" flags those whose error
        is out of the ordinary: its root more than three times the range between the quartiles above the upper one; and
        at least one of a hundred. For a promise on new samples, see `calibrate`.
    criterion : {"denoising", "whitened", "squared", "density"}, default="denoising"
        What the error of a sample x is, all between scaled values. "squared": ``||x - x'||^2``. "denoising": the same
        as it is and after noise of two levels was added to x [1]_, each in units of the mean error of normal samples.
        "whitened": ``||S^(-1/2) (x - x' - m)||^2``, where m and S are mean and covariance of the residuals of samples
        held out from training. "density": ``||S^(-1/2) (h - m)||^2`` of the code h.
    n_estimators : int, default=1
        Autoencoders whose errors are averaged. Where the criterion needs samples that were held out, each learns all
        but one of as many parts, and is measured on that one; a single one learns four fifths.
    n_subsampled : int or "auto", default="auto"
        Further autoencoders that learn, in few steps, from 16 samples each: so few seldom hold enough anomalies to
        learn them by. All together they count as much as the others. "auto" is 4, or 0 for ``contamination=0``.
    trimming : float, default=0.0
        Share of the training samples, at most 0.5, that is left out after a first fit, where anomalies are among them:
        those with the greatest errors. The fit that counts is on the others.
    random_state : int, RandomState or None, default=None
        Decides parts, noise, and what the autoencoder leaves open.

    Attributes
    ----------
    autoencoders_ : list of Autoencoder or StackedAutoencoder
        Fitted; of tables, on ``table_.encode(X)``. Their codes and histories are to be had from them.
    scores_ : list of Score
        What the criterion has learnt, for each of them.
    table_ : TableEncoder or None
        How columns become numbers, where there are categories or values were missing.
    offset_ : float
        The score below which a sample is flagged.
    calibration_ : Calibration or None
        By which `calibrate` set the threshold.
    history_ : dict of lists
        Training of the first autoencoder, one row an epoch.
    seed_, n_features_in_, feature_names_in_, sample_shape_
        As of `Autoencoder`.

    Raises
    ------
    InvalidParameter, InvalidData
        From `fit`, in one sentence.
    TrainingDiverged
        From `fit`, if a loss stops being finite.

    Notes
    -----
    Frames may hold columns of text, categories and truth values beside numbers. A category counts the more the rarer it
    is, a column of categories as much as one of numbers; values that were not seen in training are the rarest. Missing
    values (NaN, None) are given to the network as the mean, with a flag where there were any in training, and add
    nothing to the error, which is scaled up by what the others count.

    Data larger than memory are learnt and scored as streams: a score does not depend on the other samples. Held at once
    are scores, and the rows that a criterion learns from: 2000 of "denoising", 20,000 of "whitened" and "density", none
    of "squared". Columns of categories do not come as streams: they are learnt by `partial_fit`, chunk by chunk.

    References
    ----------
    .. [1] Sattarov, Schreyer and Borth (2025). arXiv 2508.00758.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from embudo import AnomalyDetector
    >>> X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    >>> benign, malignant = X[y == 1].sample(frac=1, random_state=0), X[y == 0]
    >>> detector = AnomalyDetector(random_state=0).fit(benign[:200])
    >>> detector = detector.calibrate(benign[200:300], false_alarm_rate=0.05)
    >>> bool((detector.predict(malignant) == -1).mean() > 0.6)
    True
    >>> bool((detector.predict(benign[300:]) == -1).mean() < 0.15)
    True
    >>> list(detector.explain(malignant[:1], top=2).columns)
    ['sample', 'feature', 'share', 'value', 'expected']
    """

    _default_parts = MappingProxyType(
        {
            "autoencoder": Autoencoder(
                128,
                encoder=MLP((128,), activation="tanh"),
                decoder=MLP(),
                code_activation="tanh",
                corruption=GaussianNoise((0.1, 2.0)),
                scale="standard",
                training=Training(batch_size=128, steps=500, optimizer=Adam(1e-2)),
            )
        }
    )

    _graphs = ("detector",)
    autoencoders_: list[BaseAutoencoder]
    scores_: list[Score]
    n_subsampled_: int
    table_: TableEncoder | None
    _sample: EvenSample | None

    def __init__(
        self,
        autoencoder: Autoencoder | Any = None,
        *,
        contamination: float | str = "auto",
        criterion: str = "denoising",
        n_estimators: int = 1,
        n_subsampled: int | str = "auto",
        trimming: float = 0.0,
        random_state: Any = None,
    ) -> None:
        self.autoencoder = autoencoder
        self.contamination = contamination
        self.criterion = criterion
        self.n_estimators = n_estimators
        self.n_subsampled = n_subsampled
        self.trimming = trimming
        self.random_state = random_state

    # ------------------------------------------------------------------ learning

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn what is normal.

        Parameters
        ----------
        X : array, frame, tensor or sparse matrix of shape (n_samples, n_features), or images (n_samples, ...)
            At least two samples. Frames may hold categories, tables NaN or None where a value is missing. A memory map,
            a Zarr array or what `embudo.stream` returns is read a part at a time, and never held all at once.
        y : ignored

        Returns
        -------
        AnomalyDetector
        """
        rows = self._begin(X)
        kept = rows
        if self.trimming > 0:
            self._fit_estimators(rows, "trimming ")
            n_kept = round(rows.shape[0] * (1 - self.trimming))
            kept = subset(rows, np.sort(np.argsort(self._judges().errors(rows), kind="stable")[: max(2, n_kept)]))
        if self._completed:
            self._fit_estimators(kept)
        if self.contamination == "auto":  # a sample is enough to tell what is out of the ordinary
            rows = EvenSample(MOST_SAMPLED, self.seed_).add(rows)
        self.offset_ = threshold(-self._judges().errors(rows), self.contamination)
        return self

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Learn from one more chunk of data, with one pass over it.

        The first chunk decides scaling and categories. Threshold, and what the score learns, come from an even sample
        of all chunks so far, of 2000 at most; a calibration is forgotten. Nothing is trimmed or subsampled.

        Parameters
        ----------
        X : like that of `fit`, or an iterator over batches, each of which is a chunk
        y : ignored

        Returns
        -------
        AnomalyDetector
        """
        X = as_stream(X)
        if isinstance(X, BatchStream) and X.once:
            for batch in X.batches():
                self.partial_fit(batch)
            return self
        if hasattr(self, "autoencoders_"):
            if isinstance(X, Stream):
                X.survey(allow_nan=True)
            rows = self._encoded(self._accepted(X, reset=False))
            self.autoencoders_ = self.autoencoders_[: len(self.autoencoders_) - self.n_subsampled_]
        else:
            rows = self._begin(X)
            self.autoencoders_ = [self._another(i) for i in range(self.n_estimators)]
        if not hasattr(self.autoencoders_[0], "partial_fit"):
            raise InvalidParameter("partial_fit needs an Autoencoder: a stack learns level by level.")
        for autoencoder in self.autoencoders_:
            autoencoder.partial_fit(self._whole(rows))
        self.history_, self.n_subsampled_ = self.autoencoders_[0].history_, 0
        if self._sample is None:
            self._sample = EvenSample(MOST_SAMPLED, self.seed_)
        kept = self._sample.add(rows)
        self.scores_ = [self._learn_score(autoencoder, kept) for autoencoder in self.autoencoders_]
        self.calibration_ = None
        self.offset_ = threshold(-self._judges().errors(kept), self.contamination)
        return self

    def _begin(self, X: Any) -> Matrix:
        """Check parameters and samples, learn the columns of a table, and return the samples encoded."""
        self._resolve()
        self.seed_ = self._draw_seed()
        self.calibration_ = None
        self._sample = None
        self._completed = True
        return self._learn_columns(X)

    def _resolve(self) -> None:
        check_contamination("AnomalyDetector.contamination", self.contamination)
        check_choice("AnomalyDetector.criterion", self.criterion, SCORES)
        check_number("AnomalyDetector.n_estimators", self.n_estimators, low=1, integer=True)
        if self.n_subsampled != "auto":
            check_number('AnomalyDetector.n_subsampled (when not "auto")', self.n_subsampled, low=0, integer=True)
        check_number("AnomalyDetector.trimming", self.trimming, low=0, high=0.5)
        if not isinstance(self.autoencoder, BaseAutoencoder | None):
            raise InvalidParameter(
                "AnomalyDetector.autoencoder must be an Autoencoder, a StackedAutoencoder or None; got "
                f"{self.autoencoder!r}."
            )

    def _fit_estimators(self, rows: Matrix, stage: str = "") -> None:
        """Fit the autoencoders, each with a score that learns from what it has not seen, where it needs that."""
        n, needy = rows.shape[0], SCORES[self.criterion].needs_held_out
        n_few = SUBSAMPLED * (self.contamination != 0) if self.n_subsampled == "auto" else int(self.n_subsampled)
        chosen = itertools.chain(
            partitions(n, self.n_estimators, self.seed_, apart=needy),
            (subsample(n, number, self.seed_) for number in range(n_few)),
        )
        self.autoencoders_, self.scores_, self.n_subsampled_ = [], [], 0
        for i, (learnt, measured) in enumerate(chosen):
            of_few = i >= self.n_estimators
            autoencoder = self._another(i, stage, of_few=of_few)
            with titled(f"{stage}autoencoder {i + 1} of {self.n_estimators + n_few}"):
                if of_few:
                    fit_scaled(autoencoder, self.autoencoders_[0].scaler_, rows[learnt], self._whole)
                else:
                    autoencoder.fit(self._whole(rows if len(learnt) == n else subset(rows, learnt)))
            self.autoencoders_.append(autoencoder)
            self.scores_.append(self._learn_score(autoencoder, rows[measured[: SCORES[self.criterion].most]]))
            self.n_subsampled_ += of_few
            self._completed = autoencoder._completed
            if not self._completed:  # stopped by Ctrl-C
                break
        self.history_ = self.autoencoders_[0].history_

    def _another(self, number: int, stage: str = "", *, of_few: bool = False) -> BaseAutoencoder:
        """Return a clone of the autoencoder with a seed and a run folder of its own."""
        autoencoder = self.autoencoder or self._default_parts["autoencoder"]
        self._check_repeatable(autoencoder._part("training", Training))
        seed = self.seed_ if autoencoder.random_state is None else clone(autoencoder)._draw_seed()
        name, seed = f"{stage}autoencoder {number + 1}", (seed + number) % 2**31
        return variant(autoencoder, name, seed, scaled_already=of_few or self.table_ is not None, of_few=of_few)

    def _learn_score(self, autoencoder: BaseAutoencoder, rows: Matrix) -> Score:
        return SCORES[self.criterion]().fit(autoencoder, scaled(autoencoder, rows), autoencoder.seed_)

    # ------------------------------------------------------------------ judging samples

    def score_samples(self, X: Any) -> np.ndarray:
        """Return minus the error of each sample, in bounded memory: greater is more normal.

        Parameters
        ----------
        X : like that of `fit`

        Returns
        -------
        ndarray of shape (n_samples,), float64
            A sample's score does not depend on which others stand beside it.
        """
        check_is_fitted(self)
        return -self._judges().errors(self._accepted(X, reset=False), encoded=False)

    def explain(self, X: Any, top: int | None = 3) -> pd.DataFrame:
        """Return for each sample the features that add most to its error.

        Parameters
        ----------
        X : like that of `fit`
        top : int or None, default=3
            Features of each sample; None is all.

        Returns
        -------
        DataFrame
            A row for each sample and feature, the greatest share first: ``sample`` (its number, or its index in a
            frame), ``feature``, ``share`` of the error (all of a sample add up to 1), ``value``, and ``expected``,
            which is what was reconstructed. Categories are told as they are, with the share of their whole column.
        """
        from embudo.apps.explanation import explain

        check_is_fitted(self)
        if top is not None:
            check_number("top (when not None)", top, low=1, integer=True)
        return explain(self, X, top)

    @property
    def training_(self) -> Training:  # type: ignore[override]
        """How the autoencoders were trained."""
        return self.autoencoders_[0].training_

    def _judges(self) -> Judges:
        return Judges(self.autoencoders_, self.scores_, self.n_subsampled_, self.table_)

    def _takes_gaps(self) -> bool:
        return self._judges().takes_gaps

    # ------------------------------------------------------------------ files, copies and exports

    def _graph(self, part: str) -> Graph:
        return detector_graph(self)

    def _random_samples(self) -> np.ndarray:
        samples = self.autoencoders_[0]._random_samples()
        if self._takes_gaps():
            samples[::4, 0] = np.nan
        return samples

    def _given_samples(self, X: Any) -> np.ndarray:
        rows = self._accepted(X, reset=False)
        rows = next(rows.part(0)) if isinstance(rows, Stream) else rows
        samples: np.ndarray = self._in_shape(in_float64(rows))
        return samples

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "offset_")

    def _inner(self) -> dict[str, Composed]:
        return {f"autoencoder {i}": autoencoder for i, autoencoder in enumerate(self.autoencoders_)}

    def _learnt(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        arrays = {f"score{i}.{k}": v for i, score in enumerate(self.scores_) for k, v in score.arrays().items()}
        card: dict[str, Any] = {"offset": self.offset_, "n_subsampled": self.n_subsampled_}
        card["table"] = None if self.table_ is None else self.table_.to_card()
        if self.calibration_ is not None:
            card["false_alarm_rate"] = self.calibration_.false_alarm_rate
            arrays["calibration"] = self.calibration_.scores
        return card, {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}

    def _relearn(self, card: dict[str, Any], tensors: dict[str, Tensor], inner: dict[str, Any], device: str) -> None:
        self._resolve()
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        self.table_ = None if card["table"] is None else TableEncoder.from_card(card["table"])
        n_encoded = self.n_features_in_ if self.table_ is None else self.table_.n_encoded
        self.autoencoders_ = list(inner.values())
        if not self.autoencoders_ or any(ae.n_features_in_ != n_encoded for ae in self.autoencoders_):
            raise FileFormatError("Its autoencoders have learnt from other features.")
        self.n_subsampled_ = card["n_subsampled"]
        check_number("The number of subsampled", self.n_subsampled_, low=0, high=len(inner) - 1, integer=True)
        self.scores_ = restored(self.criterion, arrays, self.autoencoders_)
        self.calibration_ = None
        if "false_alarm_rate" in card:
            scores = arrays["calibration"]
            check_shape(scores, (len(scores),))
            self.calibration_ = Calibration.of(scores, card["false_alarm_rate"])
        check_number("The threshold", card["offset"])
        self.offset_ = float(card["offset"])
        self._sample = None
