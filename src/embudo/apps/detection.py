"""`AnomalyDetector`: flags samples that an autoencoder, having learnt what is normal, fails to reproduce."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import scipy.sparse
import torch
from sklearn.base import OutlierMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from embudo.apps.calibration import Calibration, check_contamination, threshold
from embudo.apps.judgement import Judges, scaled
from embudo.apps.scores import SCORES, Score, check_shape, restored
from embudo.data.arrays import Matrix, check_finite
from embudo.data.sampling import EvenSample
from embudo.data.tables import TableEncoder, as_frame, has_categories, is_frame
from embudo.engine.progress import titled
from embudo.errors import FileFormatError, InvalidData, InvalidParameter, check_choice, check_number
from embudo.models.autoencoder import Autoencoder
from embudo.models.base import BaseAutoencoder
from embudo.models.composed import Composed
from embudo.parts.corruptions import GaussianNoise
from embudo.parts.training import Training

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.utils import Tags

HELD_OUT = 0.2  #: share of the samples that a single autoencoder does not learn, where the score needs some
MOST_HELD_OUT = 20_000  #: samples at most that a score learns from
MOST_SAMPLED = 2_000  #: samples of a stream that are kept to set the threshold by


class AnomalyDetector(OutlierMixin, Composed):
    """PLACEHOLDER"""

    _default_parts = MappingProxyType(
        {
            "autoencoder": Autoencoder(
                256, code_activation="tanh", corruption=GaussianNoise(0.3), scale="standard", training=Training()
            )
        }
    )

    autoencoders_: list[BaseAutoencoder]
    scores_: list[Score]
    table_: TableEncoder | None
    calibration_: Calibration | None
    _sample: EvenSample | None

    def __init__(
        self,
        autoencoder: Autoencoder | Any = None,
        *,
        contamination: float | str = "auto",
        criterion: str = "whitened",
        n_estimators: int = 1,
        trimming: float = 0.0,
        random_state: Any = None,
    ) -> None:
        self.autoencoder = autoencoder
        self.contamination = contamination
        self.criterion = criterion
        self.n_estimators = n_estimators
        self.trimming = trimming
        self.random_state = random_state

    # ------------------------------------------------------------------ learning

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn what is normal.

        Parameters
        ----------
        X : array, frame, tensor or sparse matrix of shape (n_samples, n_features), or images (n_samples, ...)
            At least two samples. Frames may hold categories, tables NaN or None where a value is missing.
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
            kept = rows[np.sort(np.argsort(self._judges().errors(rows), kind="stable")[: max(2, n_kept)])]
        if self._completed:
            self._fit_estimators(kept)
        self.offset_ = threshold(-self._judges().errors(rows), self.contamination)
        return self

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Learn from one more chunk of data, with one pass over it.

        The first chunk decides scaling and categories. Threshold, and what the score learns, come from an even sample
        of all chunks so far, of 2000 at most; a calibration is forgotten. Nothing is trimmed.

        Parameters
        ----------
        X : like that of `fit`
        y : ignored

        Returns
        -------
        AnomalyDetector
        """
        if hasattr(self, "autoencoders_"):
            rows = self._encoded(self._accepted(X, reset=False))
        else:
            rows = self._begin(X)
            self.autoencoders_ = [self._another(i) for i in range(self.n_estimators)]
        if not hasattr(self.autoencoders_[0], "partial_fit"):
            raise InvalidParameter("partial_fit needs an Autoencoder: a stack learns level by level.")
        for autoencoder in self.autoencoders_:
            autoencoder.partial_fit(self._to_learn(rows))
        self.history_ = self.autoencoders_[0].history_
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
        rows = self._accepted(X, reset=True)
        self.table_ = TableEncoder.fit(rows) if is_frame(rows) or _has_nan(rows) else None
        self.seed_ = self._draw_seed()
        self.calibration_ = None
        self._sample = None
        self._completed = True
        return self._encoded(rows)

    def _resolve(self) -> None:
        check_contamination("AnomalyDetector.contamination", self.contamination)
        check_choice("AnomalyDetector.criterion", self.criterion, SCORES)
        check_number("AnomalyDetector.n_estimators", self.n_estimators, low=1, integer=True)
        check_number("AnomalyDetector.trimming", self.trimming, low=0, high=0.5)
        if not isinstance(self.autoencoder, BaseAutoencoder | None):
            raise InvalidParameter(
                "AnomalyDetector.autoencoder must be an Autoencoder, a StackedAutoencoder or None; got "
                f"{self.autoencoder!r}."
            )

    def _fit_estimators(self, rows: Matrix, stage: str = "") -> None:
        """Fit the autoencoders, each with a score that learns from what it has not seen, where it needs that."""
        n, order = rows.shape[0], np.random.default_rng(self.seed_).permutation(rows.shape[0])
        n_parts = self.n_estimators if self.n_estimators > 1 else round(1 / HELD_OUT)
        apart = SCORES[self.criterion].needs_held_out and n >= 2 * n_parts
        self.autoencoders_, self.scores_ = [], []
        for i in range(self.n_estimators):
            held_out = order[i::n_parts] if apart else order
            learnt = np.sort(np.setdiff1d(order, held_out)) if apart else np.arange(n)
            autoencoder = self._another(i, stage)
            with titled(f"{stage}autoencoder {i + 1} of {self.n_estimators}"):
                autoencoder.fit(self._to_learn(rows[learnt] if apart else rows))
            self.autoencoders_.append(autoencoder)
            self.scores_.append(self._learn_score(autoencoder, rows[held_out[:MOST_HELD_OUT]]))
            self._completed = autoencoder._completed
            if not self._completed:  # stopped by Ctrl-C
                break
        self.history_ = self.autoencoders_[0].history_

    def _another(self, number: int, stage: str = "") -> BaseAutoencoder:
        """Return a clone of the autoencoder with a seed and a run folder of its own."""
        autoencoder: BaseAutoencoder = clone(self.autoencoder or self._default_parts["autoencoder"])
        seed = self.seed_ if autoencoder.random_state is None else autoencoder._draw_seed()
        training = autoencoder._part("training", Training)
        if training.run_dir is not None:
            self._check_repeatable(training)
            folder = Path(training.run_dir, f"{stage}autoencoder {number + 1}".replace(" ", "-"))
            training = dataclasses.replace(training, run_dir=folder)
        autoencoder.set_params(random_state=(seed + number) % 2**31, training=training)
        if self.table_ is not None:  # its columns are scaled already
            params = autoencoder.get_params().items()
            again = [k for k, v in params if k.rpartition("__")[2] == "scale" and v in {"auto", "standard"}]
            autoencoder.set_params(**dict.fromkeys(again[:1]))
        return autoencoder

    def _learn_score(self, autoencoder: BaseAutoencoder, rows: Matrix) -> Score:
        return SCORES[self.criterion]().fit(autoencoder, scaled(autoencoder, rows), self.seed_)

    def _to_learn(self, rows: Matrix) -> Any:
        """Return encoded samples as an autoencoder learns from them: whole, in the shape they came in."""
        return self._in_shape(rows) if self.table_ is None else np.nan_to_num(rows)

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
        rows = self._accepted(X, reset=False)
        scores = np.empty(rows.shape[0])
        for judged in self._judges().judge(rows, encoded=False):
            scores[judged.where] = -judged.errors
        return scores

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the scores less `offset_`: less than 0 is an anomaly.

        Parameters
        ----------
        X : like that of `fit`

        Returns
        -------
        ndarray of shape (n_samples,), float64
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """Return 1 for samples that are normal and -1 for anomalies.

        Parameters
        ----------
        X : like that of `fit`

        Returns
        -------
        ndarray of shape (n_samples,), int
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def calibrate(self, X_normal: Any, false_alarm_rate: float = 0.01) -> Self:
        """Set the threshold by normal samples, for a promise on new ones.

        Of new normal samples, drawn as these are, no more than `false_alarm_rate` are flagged, on average over sets of
        calibration samples, whatever the distribution [1]_: `offset_` is the ``floor(rate (n + 1))``-th least of their
        n scores.

        Parameters
        ----------
        X_normal : like X of `fit`
            Normal samples that the detector has not learnt from, at least ``1 / rate - 1``.
        false_alarm_rate : float, default=0.01
            Between 0 and 1.

        Returns
        -------
        AnomalyDetector

        Raises
        ------
        InvalidData
            If there are too few samples for the rate.

        References
        ----------
        .. [1] Laxhammar and Falkman (2010). Conformal prediction for distribution-independent anomaly detection in
           streaming vessel data. StreamKDD.
        """
        self.calibration_ = Calibration.of(self.score_samples(X_normal), false_alarm_rate)
        self.offset_ = self.calibration_.offset
        return self

    def p_values(self, X: Any) -> np.ndarray:
        """Return how probable it is that a normal sample scores no higher: what `calibrate` flags has at most its rate.

        Parameters
        ----------
        X : like that of `fit`

        Returns
        -------
        ndarray of shape (n_samples,), float64
            ``(1 + number of calibration scores <= score) / (n + 1)``.

        Raises
        ------
        NotFittedError
            If the detector is not calibrated.
        """
        check_is_fitted(self)
        if self.calibration_ is None:
            raise NotFittedError("p_values needs a detector that is calibrated: call calibrate(X_normal) first.")
        return self.calibration_.p_values(self.score_samples(X))

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
        from embudo.apps.explanation import examine

        check_is_fitted(self)
        if top is not None:
            check_number("top (when not None)", top, low=1, integer=True)
        return examine(self, X, top)[1]

    @property
    def training_(self) -> Training:  # type: ignore[override]
        """How the autoencoders were trained."""
        return self.autoencoders_[0].training_

    def _judges(self) -> Judges:
        return Judges(self.autoencoders_, self.scores_, self.table_)

    # ------------------------------------------------------------------ samples

    def _accepted(self, X: Any, *, reset: bool) -> Any:
        """Return X checked: a pandas frame where there are categories, else a matrix; NaN where values are missing."""
        frame = as_frame(X) if is_frame(X) else None
        learnt = None if reset else self.table_
        if frame is not None and (has_categories(frame) if reset else learnt is not None and learnt.has_categories):
            try:
                validate_data(self, frame, reset=reset, skip_check_array=True)
            except (TypeError, ValueError) as error:
                raise InvalidData(str(error)) from None
            if len(frame) < 1 + reset:
                raise InvalidData(
                    f"Found a table with {len(frame)} sample(s) while a minimum of {1 + reset} is required."
                )
            self.sample_shape_ = None
            return frame
        if learnt is not None and learnt.has_categories:
            raise InvalidData("The detector was fitted on a frame with categories: X must be a frame with its columns.")
        rows = self._validated(X, reset=reset, min_samples=1 + reset, allow_nan=True)
        if self.sample_shape_ is not None or scipy.sparse.issparse(rows) or not (reset or learnt or self._fills()):
            check_finite(rows, getattr(self, "feature_names_in_", None))
        return rows

    def _fills(self) -> bool:
        """Tell whether the network, given 0 for a value that is missing, is given its mean."""
        return all(autoencoder.scaler_.kind == "standard" for autoencoder in self.autoencoders_)

    def _encoded(self, rows: Any) -> Matrix:
        return rows if self.table_ is None else self.table_.encode(rows)

    # ------------------------------------------------------------------ files and copies

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "offset_")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _inner(self) -> dict[str, Composed]:
        return {f"autoencoder {i}": autoencoder for i, autoencoder in enumerate(self.autoencoders_)}

    def _learnt(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        arrays = {f"score{i}.{k}": v for i, score in enumerate(self.scores_) for k, v in score.arrays().items()}
        card: dict[str, Any] = {"offset": self.offset_, "table": self.table_ and self.table_.to_card()}
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
        self.scores_ = restored(self.criterion, arrays, self.autoencoders_)
        self.calibration_ = None
        if "false_alarm_rate" in card:
            scores = arrays["calibration"]
            check_shape(scores, (len(scores),))
            self.calibration_ = Calibration.of(scores, card["false_alarm_rate"])
        check_number("The threshold", card["offset"])
        self.offset_ = float(card["offset"])
        self._sample = None


def _has_nan(rows: Matrix) -> bool:
    return rows.dtype.kind == "f" and not scipy.sparse.issparse(rows) and bool(np.isnan(rows).any())
