"""`AutoencoderClassifier`: an autoencoder learnt from all samples, fine-tuned on those with labels."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import torch
from scipy.special import softmax
from sklearn.base import ClassifierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import column_or_1d
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from embudo.apps.export import classifier_graph
from embudo.apps.labels import UNLABELLED, class_weights, known_labels, split_labelled
from embudo.data.arrays import Matrix
from embudo.data.batches import Rows, TensorRows, make_rows
from embudo.data.scaling import Scaler
from embudo.data.streams import Stream, subset
from embudo.engine.fitting import make_step
from embudo.engine.objective import Classification, CorruptionFunction
from embudo.engine.progress import titled
from embudo.engine.runtime import Runtime, resolve_runtime
from embudo.errors import FileFormatError, InvalidData, InvalidParameter, check_choice
from embudo.models.autoencoder import Autoencoder
from embudo.models.base import BaseAutoencoder
from embudo.models.composed import Composed, cpu_weights
from embudo.models.export import Exportable, Graph
from embudo.models.inference import gathered, outputs, result_dtype
from embudo.models.levels import codes_of
from embudo.nn.layers import Dense, initialise
from embudo.nn.network import Classifier
from embudo.parts.corruptions import Corruption, MaskingNoise
from embudo.parts.optimizers import Adam
from embudo.parts.training import Training

HEAD_TRAINING = Training()  #: of the softmax layer before it is fine-tuned with the encoder
SURROUNDINGS = ("device", "precision", "verbose")  #: what it takes over from the classifier's training
WRITABLE = "iubfU"  #: kinds of labels that a file can hold: numbers, truth values and strings
#: samples, and the number of each one's class
Labelled = tuple[Matrix, np.ndarray]


class AutoencoderClassifier(ClassifierMixin, Exportable):
    """Classifies by the code of an autoencoder that has learnt from all samples, with labels or without.

    An autoencoder or a stack is trained on all samples. A softmax layer is put on its code and learns from the samples
    that have labels; then backpropagation fine-tunes encoder and softmax together on them [1]_ [2]_. That the softmax
    comes first keeps its random weights from spoiling the code [3]_. Where few samples have labels, what the
    autoencoder found in the others guides the rest.

    Parameters
    ----------
    autoencoder : Autoencoder, StackedAutoencoder, FrozenEstimator or None, default=None
        What is pretrained. None is ``Autoencoder(256, code_activation="leaky_relu", corruption=MaskingNoise(0.25))``.
        A fitted one in ``sklearn.frozen.FrozenEstimator`` is taken as it is, and copied.
    fine_tune : bool, default=True
        Whether the encoder learns from the labels too. If not, only the softmax layer does, on codes computed once.
    pretrain : bool, default=True
        Whether the autoencoder is trained first. If not, its encoder starts from random weights, for comparison.
    corruption : corruption, several joined by +, callable or None, default=None
        What the encoder sees while it is fine-tuned.
    class_weight : dict, "balanced" or None, default=None
        What the samples of each class weigh: by class, in inverse proportion to how many they are, or the same.
    training : Training or None, default=None
        How the classifier is trained; the autoencoder has its own. None is ``Training(optimizer=Adam(1e-3))``. With
        `patience`, the weights of the epoch with the highest accuracy on held-out samples are kept. With a `run_dir`
        the autoencoder keeps its state there too: fitted again, what was stopped goes on at its stage.
    random_state : int, RandomState or None, default=None
        Decides the split, the softmax's first weights, the order of samples, and what the autoencoder leaves open.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    autoencoder_ : Autoencoder or StackedAutoencoder
        The pretrained one. Its encoder is that of the classifier, and has been fine-tuned with it; its decoder is as
        the pretraining left it.
    module_ : torch.nn.Module
        The network, from scaled features to logits.
    history_ : dict of lists
        Training of the classifier, one row an epoch, with ``validation_accuracy`` where samples are held out.
    training_, scaler_, seed_, n_features_in_, feature_names_in_, sample_shape_
        As of `Autoencoder`.

    Raises
    ------
    InvalidParameter, InvalidData
        From `fit`, in one sentence.
    TrainingDiverged
        From `fit`, if a loss stops being finite.

    Notes
    -----
    The label -1 means that a sample has none, as in ``sklearn.semi_supervised``; so do None and NaN among labels that
    are objects. Where -1 and one other value are all there is, both are classes.

    For regression on codes, put an autoencoder before any regressor: ``make_pipeline(Autoencoder(16), Ridge())``.

    References
    ----------
    .. [1] Hinton and Salakhutdinov (2006). Reducing the dimensionality of data with neural networks. Science 313.
    .. [2] Vincent, Larochelle, Lajoie, Bengio and Manzagol (2010). Stacked denoising autoencoders. JMLR 11.
    .. [3] Kumar, Raghunathan, Jones, Ma and Liang (2022). Fine-tuning can distort pretrained features and underperform
       out-of-distribution. ICLR.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from embudo import AutoencoderClassifier, Training, denoising_autoencoder
    >>> X, y = load_digits(return_X_y=True)
    >>> few = np.where(np.arange(len(y)) < 200, y, -1)  # the first 200 have labels
    >>> ae = denoising_autoencoder(200, training=Training(10))
    >>> clf = AutoencoderClassifier(ae, random_state=0).fit(X, few)
    >>> clf.predict_proba(X[:5]).shape
    (5, 10)
    >>> clf.score(X[200:], y[200:]) > 0.8
    True
    """

    _default_parts = MappingProxyType(
        {
            "autoencoder": Autoencoder(256, code_activation="leaky_relu", corruption=MaskingNoise(0.25)),
            "training": Training(optimizer=Adam(1e-3)),
        }
    )
    _example_parts = MappingProxyType({"corruption": MaskingNoise(0.3)})
    _graphs = ("classifier",)

    def __init__(
        self,
        autoencoder: Autoencoder | Any = None,
        *,
        fine_tune: bool = True,
        pretrain: bool = True,
        corruption: Corruption | CorruptionFunction | None = None,
        class_weight: dict[Any, float] | str | None = None,
        training: Training | None = None,
        random_state: Any = None,
    ) -> None:
        self.autoencoder = autoencoder
        self.fine_tune = fine_tune
        self.pretrain = pretrain
        self.corruption = corruption
        self.class_weight = class_weight
        self.training = training
        self.random_state = random_state

    # ------------------------------------------------------------------ learning

    def fit(self, X: Any, y: Any, *, X_val: Any = None) -> Self:
        """Train the autoencoder on all samples, then the classifier on those with labels.

        Parameters
        ----------
        X : array, frame, tensor or sparse matrix of shape (n_samples, n_features), or images (n_samples, ...)
            At least two samples, finite numbers. Memory maps and streams are read as by `Autoencoder.fit`.
        y : array of shape (n_samples,)
            Labels; -1 where a sample has none.
        X_val : pair (X, y), optional
            Labelled samples that are measured after each epoch and not learnt from.

        Returns
        -------
        AutoencoderClassifier
        """
        rows = self._validated(X, reset=True, min_samples=2)
        known, labels = known_labels(y, rows.shape[0])
        self._resolve(validated=X_val is not None)
        self.seed_ = self._draw_seed()
        self.classes_, found = np.unique(labels, return_inverse=True)
        classes = np.full(rows.shape[0], UNLABELLED)
        classes[known] = found
        weights = class_weights(self.class_weight, self.classes_, labels)
        learnt, held_out = split_labelled(classes, self.training_.validation_fraction, self.seed_)
        validation: Labelled | None = (subset(rows, held_out), classes[held_out]) if len(held_out) else None
        if X_val is not None:
            validation = self._validation_pair(X_val)
        unseen = np.delete(np.arange(rows.shape[0]), held_out)
        self.autoencoder_ = self._first(rows if len(unseen) == rows.shape[0] else subset(rows, unseen), validation)
        self._attach_head(resolve_runtime(self.training_))
        initialise(self.module_.head, torch.Generator(self._runtime().device).manual_seed(self.seed_))
        self.history_ = {}
        if self.autoencoder_._completed:
            self._fit_classifier((subset(rows, learnt), classes[learnt]), validation, weights)
        self.module_.eval()
        return self

    def _resolve(self, *, validated: bool) -> None:
        """Check the parameters before anything is learnt."""
        self.training_: Training = self._part("training", Training)
        self._check_corruption()
        check_choice("AutoencoderClassifier.fine_tune", self.fine_tune, (True, False))
        check_choice("AutoencoderClassifier.pretrain", self.pretrain, (True, False))
        if not isinstance(self.autoencoder, BaseAutoencoder | FrozenEstimator | None):
            raise InvalidParameter(
                "AutoencoderClassifier.autoencoder must be an Autoencoder, a StackedAutoencoder, a fitted one in a "
                f"FrozenEstimator, or None; got {self.autoencoder!r}."
            )
        if not self.fine_tune and self.corruption is not None:
            raise InvalidParameter("AutoencoderClassifier.corruption needs fine_tune=True: codes are not corrupted.")
        self._check_patience(self.training_, validated=validated)
        self._check_repeatable(self.training_)

    def _validation_pair(self, X_val: Any) -> Labelled:
        if not isinstance(X_val, tuple) or len(X_val) != 2:
            raise InvalidData("X_val must be a pair (X, y) of samples and their labels.")
        rows = self._validated(X_val[0], reset=False)
        if isinstance(rows, Stream):
            rows.survey()
        labels = column_or_1d(X_val[1])
        unknown = np.setdiff1d(labels, self.classes_)
        if len(labels) != rows.shape[0]:
            raise InvalidData(f"X_val holds {rows.shape[0]} samples and {len(labels)} labels: expected as many.")
        if len(unknown):
            raise InvalidData(f"X_val holds the label {unknown.tolist()[0]!r}, which no sample of X has.")
        return rows, np.searchsorted(self.classes_, labels)

    def _first(self, rows: Matrix, validation: Labelled | None) -> BaseAutoencoder:
        """Return the autoencoder that the classifier starts from: given, pretrained or with random weights."""
        if isinstance(self.autoencoder, FrozenEstimator):
            fitted: BaseAutoencoder = copy.deepcopy(self.autoencoder.estimator)
            check_is_fitted(fitted)
            if fitted.n_features_in_ != self.n_features_in_:
                raise InvalidData(
                    f"The frozen autoencoder has learnt from {fitted.n_features_in_} features; X has "
                    f"{self.n_features_in_}."
                )
            return fitted
        autoencoder: BaseAutoencoder = clone(self.autoencoder or self._default_parts["autoencoder"])
        own = {"training": autoencoder.training, "random_state": autoencoder.random_state}
        X, X_val = self._in_shape(rows), None if validation is None else self._in_shape(validation[0])
        autoencoder.random_state = self.seed_ if autoencoder.random_state is None else autoencoder.random_state
        if self.pretrain:
            autoencoder.training = self._kept_under("autoencoder", autoencoder._part("training", Training))
            with titled("autoencoder"):
                autoencoder.fit(X, X_val=X_val)
        else:
            autoencoder._start(X)
        return autoencoder.set_params(**own)

    def _attach_head(self, runtime: Runtime, weights: dict[str, Tensor] | None = None) -> None:
        """Make the network of the autoencoder's encoder and a softmax layer, with `weights` where they are given."""
        network = self.autoencoder_.module_.to(runtime.device, runtime.dtype)
        head = Dense(self.autoencoder_.n_components_, len(self.classes_), "identity").to(runtime.device, runtime.dtype)
        if weights is not None:
            head.load_state_dict(weights)
        self.module_ = Classifier(network.encoder, network.sparsity, head).eval()
        self.scaler_ = self.autoencoder_.scaler_

    def _fit_classifier(self, learnt: Labelled, validation: Labelled | None, weights: np.ndarray) -> None:
        """Train the softmax layer on the codes, and then, where wanted, the encoder with it."""
        head = Classifier(nn.Sequential(), None, self.module_.head)
        if not self.fine_tune:
            self._learn("classifier", head, self.training_, self._codes, learnt, validation, weights)
            return
        if self.pretrain or isinstance(self.autoencoder, FrozenEstimator):
            training = HEAD_TRAINING.with_params(**{name: getattr(self.training_, name) for name in SURROUNDINGS})
            self._learn("softmax", head, training, self._codes, learnt, None, weights)
            self.history_ = {}
            if not self._completed:
                return
        self._learn("classifier", self.module_, self.training_, self._rows, learnt, validation, weights)

    def _learn(
        self,
        stage: str,
        network: Classifier,
        training: Training,
        rows_of: Callable[[Matrix], Rows],
        learnt: Labelled,
        validation: Labelled | None,
        weights: np.ndarray,
    ) -> None:
        """Train a network on what `rows_of` makes of the samples, and their classes."""
        runtime = self._runtime()

        def with_targets(pair: Labelled) -> tuple[Rows, Rows]:
            X, classes = pair
            return rows_of(X), TensorRows(torch.from_numpy(classes).to(runtime.device))

        objective = Classification(
            network,
            torch.as_tensor(weights, dtype=runtime.dtype, device=runtime.device),
            corruption=self.corruption if network is self.module_ else None,
            seed=self.seed_,
        )
        step = make_step(objective, training, runtime)
        with titled(stage):
            self._train(
                step, with_targets(learnt), self._kept_under(stage, training), validation and with_targets(validation)
            )

    def _codes(self, X: Matrix) -> Rows:
        """Return the codes of samples, as rows to learn from."""
        runtime = self._runtime()
        return make_rows(codes_of(self.autoencoder_, X), Scaler(None), runtime.dtype, runtime.device)

    # ------------------------------------------------------------------ using what was learnt

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the logits of the classes.

        Parameters
        ----------
        X : like that of `fit`

        Returns
        -------
        ndarray of shape (n_samples, n_classes), or (n_samples,) for two classes
            For two classes the logit of the second less that of the first.
        """
        logits = self._logits(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class.

        Parameters
        ----------
        X : like that of `fit`

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            In the order of `classes_`; rows add up to 1.
        """
        probabilities: np.ndarray = softmax(self._logits(X), axis=1)
        return probabilities

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of each sample.

        Parameters
        ----------
        X : like that of `fit`

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        best = self._logits(X).argmax(axis=1)
        classes: np.ndarray = self.classes_[best]
        return classes

    def _logits(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        rows = self._validated(X, reset=False)
        bfloat16 = self.training_.precision == "bfloat16"
        width = max(self.n_features_in_, self.autoencoder_.n_components_)
        blocks = outputs(self.module_, self.scaler_, "logits", rows, width=width, bfloat16=bfloat16)
        logits: np.ndarray = gathered(blocks, (rows.shape[0], len(self.classes_)), result_dtype(rows))
        return logits

    def _graph(self, part: str) -> Graph:
        return classifier_graph(self)

    # ------------------------------------------------------------------ files and copies

    def _inner(self) -> dict[str, Composed]:
        return {"autoencoder": self.autoencoder_}

    def _learnt(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        if self.classes_.dtype.kind not in WRITABLE:
            raise InvalidData(f"Labels of type {self.classes_.dtype} cannot be written: use numbers or strings.")
        weights = {f"head.{name}": weight for name, weight in cpu_weights(self.module_.head).items()}
        frozen = isinstance(self.autoencoder, FrozenEstimator)
        return {"classes": self.classes_.tolist(), "classes_type": self.classes_.dtype.str, "frozen": frozen}, weights

    def _relearn(self, card: dict[str, Any], tensors: dict[str, Tensor], inner: dict[str, Any], device: str) -> None:
        kind = np.dtype(card["classes_type"])
        if kind.kind not in WRITABLE:
            raise FileFormatError(f"Its classes cannot be of type {kind}.")
        self.autoencoder_ = inner["autoencoder"]
        self.classes_ = np.array(card["classes"], str if kind.kind == "U" else kind)  # as long as the longest
        if self.classes_.ndim != 1 or not (self.classes_[:-1] < self.classes_[1:]).all():
            raise FileFormatError("Its classes are not different labels in order.")
        self.training_ = self._part("training", Training)
        if self.autoencoder_.n_features_in_ != self.n_features_in_:
            raise FileFormatError("Its autoencoder has learnt from other features.")
        dtype = next(self.autoencoder_.module_.parameters()).dtype
        weights = {name.removeprefix("head."): weight for name, weight in tensors.items()}
        if not all(bool(weight.isfinite().all()) for weight in weights.values()):
            raise FileFormatError("A weight of its softmax is not finite.")
        self._attach_head(Runtime(torch.device(device), dtype), weights)
        if card["frozen"]:
            self.autoencoder = FrozenEstimator(self.autoencoder_)

    def _own_module(self) -> nn.Module:
        head: nn.Module = self.module_.head
        return head

    def _load_weights(self, weights: dict[str, Tensor], device: str = "cpu") -> None:
        self._attach_head(Runtime(torch.device(device), next(self.autoencoder_.module_.parameters()).dtype), weights)
