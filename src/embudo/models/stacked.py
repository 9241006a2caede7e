"""`StackedAutoencoder`: one autoencoder on the code of another, learnt level by level, then as one network."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from embudo.data.arrays import Matrix
from embudo.engine.history import restored
from embudo.engine.objective import CorruptionFunction
from embudo.engine.progress import say, titled
from embudo.engine.runtime import Runtime, resolve_runtime
from embudo.errors import FileFormatError, InvalidParameter, check_choice
from embudo.models.autoencoder import Autoencoder
from embudo.models.base import BaseAutoencoder, Pair, at
from embudo.models.composed import Composed
from embudo.models.levels import FINE_TUNING, check_layers, code_pair, is_named, unroll
from embudo.parts.corruptions import Corruption, MaskingNoise
from embudo.parts.optimizers import Adam
from embudo.parts.penalties import L1, Penalty
from embudo.parts.sparsities import Sparsity
from embudo.parts.training import Training

FINE_TUNE = ("reconstruction", None)
MEASURED = 1000  #: samples at most whose error is measured after a stage, where none are held out


class StackedAutoencoder(BaseAutoencoder):
    """Autoencoders on top of each other: each learns the codes of the one below, then all are fine-tuned as one.

    Layer by layer, each autoencoder is trained by itself on the codes of the one below it, with its own corruption,
    sparsity, penalties and training. Then encoders and decoders are unrolled into one deep network,
    ``f = f_L ... f_2 f_1`` and ``g = g_1 g_2 ... g_L``, which backpropagation fine-tunes on the reconstruction of
    the samples [1]_ [2]_. The levels form a hierarchy: each is a more abstract description of the one below.

    Parameters
    ----------
    layers : list of (str, Autoencoder)
        The autoencoders from the samples up, each with a name. Their parameters are nested under it, as in
        ``edges__n_components``.
    fine_tune : {"reconstruction", None}, default="reconstruction"
        What the whole network is trained on after its levels: the loss of the first level, or nothing, which leaves
        the greedy solution.
    corruption : corruption, several joined by +, callable or None, default=None
        What the first encoder sees during fine-tuning.
    penalty : penalty, sum of penalties or None, default=None
        What the topmost code costs during fine-tuning.
    training : Training or None, default=None
        How the whole network is fine-tuned. None is ``Training(optimizer=Adam(1e-3))``. Its `validation_fraction` is
        held out from all levels, and with a `run_dir` each of them keeps its state in a folder there: fitted again, a
        stack that was stopped goes on at the level where it was.
    random_state : int, RandomState or None, default=None
        Decides what the levels leave open.

    Attributes
    ----------
    layers_ : list of (str, Autoencoder)
        The fitted levels. They share their weights with `module_`, so fine-tuning changes them too.
    stages_ : dict of lists
        A table with one row a stage, each level and the fine-tuning: its name, size of the code, epochs, seconds, and
        the reconstruction error of the samples through all levels so far, held out ("validation_error") or, where
        none are, learnt from ("training_error").
    module_ : torch.nn.Module
        The unrolled network, between scaled features and the topmost code.
    history_ : dict of lists
        The fine-tuning, one row an epoch; each level has a history of its own.
    training_, scaler_, n_components_, seed_, n_features_in_, feature_names_in_, sample_shape_
        As of `Autoencoder`.

    Raises
    ------
    InvalidParameter, InvalidData
        From `fit`, in one sentence.
    TrainingDiverged
        From `fit`, if a loss stops being finite.

    References
    ----------
    .. [1] Hinton and Salakhutdinov (2006). Reducing the dimensionality of data with neural networks. Science 313.
    .. [2] Bengio, Lamblin, Popovici and Larochelle (2007). Greedy layer-wise training of deep networks. NIPS 19.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from embudo import Autoencoder, StackedAutoencoder, Training
    >>> X = load_digits().data / 16
    >>> quick = Training(epochs=5)
    >>> stack = StackedAutoencoder(
    ...     [
    ...         ("strokes", Autoencoder(32, code_activation="sigmoid", training=quick)),
    ...         ("digits", Autoencoder(8, training=quick)),
    ...     ],
    ...     training=quick,
    ...     random_state=0,
    ... ).fit(X)
    >>> {name: codes.shape for name, codes in stack.codes(X).items()}
    {'strokes': (1797, 32), 'digits': (1797, 8)}
    >>> stack.stages_["stage"]
    ['strokes', 'digits', 'fine-tuning']
    """

    _default_parts = MappingProxyType({"training": Training(optimizer=Adam(1e-3))})
    _example_parts = MappingProxyType({"corruption": MaskingNoise(0.3), "penalty": L1(1e-3)})

    def __init__(
        self,
        layers: list[tuple[str, Autoencoder]],
        *,
        fine_tune: str | None = "reconstruction",
        corruption: Corruption | CorruptionFunction | None = None,
        penalty: Penalty | None = None,
        training: Training | None = None,
        random_state: Any = None,
    ) -> None:
        self.layers = layers
        self.fine_tune = fine_tune
        self.corruption = corruption
        self.penalty = penalty
        self.training = training
        self.random_state = random_state

    # ------------------------------------------------------------------ parameters

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name; with `deep`, also each level and its parameters, as ``name__parameter``."""
        params = super().get_params(deep)
        return params | self._estimators() if deep else params

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name, a level by its name, or a parameter of a level by ``name__parameter``.

        Raises
        ------
        InvalidParameter
            If a name is unknown or a value is not allowed.
        """
        if "layers" in params:
            self.layers = params.pop("layers")
        levels = self._estimators()
        whole = {name: params.pop(name) for name in list(params) if name in levels}
        if whole:
            self.layers = list((levels | whole).items())
        return super().set_params(**params)

    def _estimators(self) -> dict[str, Composed]:
        """Return the levels by name; none where `layers` holds what `fit` will refuse."""
        good = isinstance(self.layers, list | tuple) and all(map(is_named, self.layers))
        return dict(self.layers) if good else {}

    # what the network as a whole has from its ends

    @property
    def code_activation(self) -> str:  # type: ignore[override]
        """Activation of the topmost code."""
        return self._levels[-1].code_activation

    @property
    def sparse_output(self) -> bool:  # type: ignore[override]
        """Whether the topmost codes are returned as CSR matrices."""
        return self._levels[-1].sparse_output

    @property
    def sparsity(self) -> Sparsity | None:  # type: ignore[override]
        """Which units of the topmost code may speak."""
        return self._levels[-1].sparsity

    @property
    def output_activation(self) -> str:  # type: ignore[override]
        """Activation of the output."""
        return self._levels[0].output_activation

    @property
    def loss(self) -> Any:
        """Distance of output and input."""
        return self._levels[0].loss

    @property
    def _levels(self) -> list[Autoencoder]:
        return [level for _, level in self.layers_]

    # ------------------------------------------------------------------ learning

    def fit(self, X: Any, y: Any = None, *, X_clean: Any = None, X_val: Any = None) -> Self:
        """Learn level by level, then fine-tune.

        Parameters
        ----------
        X : array, frame, tensor or sparse matrix of shape (n_samples, n_features), or images (n_samples, ...)
            At least two samples, finite numbers.
        y : ignored
        X_clean : like X, optional
            What shall come out for each sample of X. The first level and the fine-tuning learn it; the levels between
            learn the codes of X.
        X_val : like X, or a pair (X, X_clean), optional
            Samples whose error is measured after each epoch and stage, and not learnt from.

        Returns
        -------
        StackedAutoencoder
            Where Ctrl-C stopped it: the levels learnt so far, the one at work included.
        """
        pair, held_out = self._pairs(X, X_clean, X_val)
        self._begin(pair[0].shape[1], validated=held_out is not None)
        pair, held_out = self._held_out(pair, held_out)
        self._completed = self._pretrain(pair, held_out)
        if self._completed and self.fine_tune is not None:
            started = time.perf_counter()
            with titled(FINE_TUNING):
                self._learn(self._make_step(), pair, self._kept_under(FINE_TUNING, self.training_), held_out)
            self._finish_stage(FINE_TUNING, self, started, pair, held_out)
        return self

    def _pretrain(self, pair: Pair, held_out: Pair | None) -> bool:
        """Fit each level on the codes of the one below; return whether none was stopped."""
        below, below_val = self._images(pair), held_out and self._images(held_out)
        for number, ((name, layer), seed) in enumerate(zip(self.layers, self._seeds(), strict=True), 1):
            started = time.perf_counter()
            with self._adding(name, layer, seed) as level, titled(f"{name} ({number}/{len(self.layers)})"):
                X, target = below
                level.fit(X, X_clean=None if target is X else target, X_val=below_val)
            self._finish_stage(name, level, started, pair, held_out)
            if not level._completed:
                return False
            if number < len(self.layers):
                below, below_val = code_pair(level, below), below_val and code_pair(level, below_val)
        return True

    def _start(self, X: Any) -> Matrix:
        """Set up the levels with their first weights, and return X validated."""
        rows = self._validated(X, reset=True, min_samples=2)
        self._begin(rows.shape[1], validated=True)
        below = self._in_shape(rows)
        for (name, layer), seed in zip(self.layers, self._seeds(), strict=True):
            with self._adding(name, layer, seed) as level:
                level._start(below)
            below = level.transform(below)
        return rows

    def _begin(self, n_features: int, *, validated: bool) -> None:
        """Check the parameters, draw the seed, and forget what was learnt before."""
        self._resolve(n_features, validated=validated)
        self.seed_ = self._draw_seed()
        self.layers_: list[tuple[str, Autoencoder]] = []
        self.stages_: dict[str, list[Any]] = {}
        self.history_ = {}

    def _seeds(self) -> list[int]:
        return [int(seed) for seed in np.random.default_rng(self.seed_).integers(2**31 - 1, size=len(self.layers))]

    @contextlib.contextmanager
    def _adding(self, name: str, layer: Autoencoder, seed: int) -> Iterator[Autoencoder]:
        """Lend a copy of `layer` what it leaves open while it is fitted; then put it on top."""
        level = clone(layer)
        own = {"training": level.training, "random_state": level.random_state}
        level.training = self._kept_under(name, level._part("training", Training))
        level.random_state = seed if level.random_state is None else level.random_state
        yield level
        level.set_params(**own)
        self.layers_.append((name, level))
        self._unroll(resolve_runtime(self.training_))

    def _resolve(self, n_features: int, *, validated: bool) -> None:
        """Check all parameters, also those of the levels, before anything is learnt."""
        check_layers(self.layers, taken=self.get_params(deep=False))
        check_choice("StackedAutoencoder.fine_tune", self.fine_tune, FINE_TUNE)
        self.training_: Training = self._part("training", Training)
        validated = validated or self.training_.validation_fraction > 0
        shape = self.sample_shape_
        for name, layer in self.layers:
            level = clone(layer)
            level.n_features_in_, level.sample_shape_ = n_features, shape
            try:
                level._resolve(n_features)
                level._check_patience(level.training_, validated=validated)
                level._count_weights()  # refuses an architecture that the samples, or the codes below, do not suit
            except InvalidParameter as error:
                raise InvalidParameter(f"Level {name!r}: {error}") from None
            n_features, shape = level.n_components_, None
        self._check_costs(level.code_activation)

    def _images(self, pair: Pair) -> tuple[Any, Any]:
        """Return samples and targets as the first level shall see them: images as images."""
        rows = self._in_shape(pair[0])
        return rows, rows if pair[1] is pair[0] else self._in_shape(pair[1])

    def _unroll(self, runtime: Runtime | None = None) -> None:
        """Make one network of the levels; no weight is copied."""
        levels = self._levels
        runtime = runtime or levels[0]._runtime()
        self.module_ = unroll(levels).to(runtime.device, runtime.dtype).eval()
        self.scaler_, self.n_components_ = levels[0].scaler_, levels[-1].n_components_

    def _finish_stage(
        self, name: str, learnt: BaseAutoencoder, started: float, pair: Pair, held_out: Pair | None
    ) -> None:
        """Measure what the levels so far have come to, say and record it."""
        seconds = time.perf_counter() - started
        measured = held_out or at(np.arange(min(MEASURED, pair[0].shape[0])), pair)
        error, where = float(self._errors(measured).mean()), "training" if held_out is None else "validation"
        epochs = len(learnt.history_["epoch"])
        row = {"stage": name, "n_components": self.n_components_, "epochs": epochs, "seconds": seconds}
        row[f"{where}_error"] = error
        for column, value in row.items():
            self.stages_.setdefault(column, []).append(value)
        text = f"{name}: {where} error {error:.5g} of {self.n_features_in_} features through {self.n_components_}"
        say(f"{text}, after {epochs} epochs in {seconds:.1f} s", self.training_.verbose)

    # ------------------------------------------------------------------ using what was learnt

    def codes(self, X: Any) -> dict[str, Any]:
        """Return the codes of every level, from the samples up.

        Parameters
        ----------
        X : like that of `fit`

        Returns
        -------
        dict of str to ndarray or CSR matrix of shape (n_samples, n_components of the level)
            By the names of the levels.
        """
        check_is_fitted(self)
        codes: Any = self._validated(X, reset=False)
        return {name: (codes := level.transform(codes)) for name, level in self.layers_}

    def transform(self, X: Any, level: str | None = None, *, out: str | Path | None = None) -> Any:
        """Return the codes of a level.

        Parameters
        ----------
        X, out
            As of `Autoencoder.transform`.
        level : str or None, default=None
            Name of the level; None is the topmost.

        Returns
        -------
        ndarray, or CSR matrix with `sparse_output`, of shape (n_samples, n_components), as from `Autoencoder.transform`
        """
        if level is None:
            return super().transform(X, out=out)
        levels = self._up_to(level)
        n, sparse = levels[-1].n_components_, levels[-1].sparse_output
        return self._encoded(X, unroll(levels), n, sparse, out, lambda: [f"{level}_{i}" for i in range(n)])

    def inverse_transform(self, codes: Any, level: str | None = None, *, out: str | Path | None = None) -> Any:
        """Return the reconstructions of the codes of a level.

        Parameters
        ----------
        codes, level, out
            As of `Autoencoder.inverse_transform`, and of `transform`.

        Returns
        -------
        ndarray of shape (n_samples, n_features), or (n_samples, *sample_shape_), as of `Autoencoder.inverse_transform`
        """
        if level is None:
            return super().inverse_transform(codes, out=out)
        levels = self._up_to(level)
        return self._decoded(codes, unroll(levels), levels[-1].n_components_, out)

    def _up_to(self, level: str) -> list[Autoencoder]:
        """Return the autoencoders of the levels up to the one of this name."""
        check_is_fitted(self)
        names = [name for name, _ in self.layers_]
        check_choice("level", level, names)
        return self._levels[: names.index(level) + 1]

    def _inner(self) -> dict[str, Composed]:
        return dict(self.layers_)

    def _learnt(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        return {"stages": self.stages_}, {}  # the levels hold the weights

    def _relearn(self, card: dict[str, Any], tensors: dict[str, Tensor], inner: dict[str, Any], device: str) -> None:
        self.layers_, self.stages_ = list(inner.items()), restored(card["stages"], "list of stages")
        check_layers(self.layers_, taken=self.get_params(deep=False))
        sizes = [self.n_features_in_, *(level.n_components_ for level in self._levels)]
        if tensors or sizes[:-1] != [level.n_features_in_ for level in self._levels]:
            raise FileFormatError("Its levels do not fit each other.")
        self.training_ = self._part("training", Training)
        self._unroll()

    def _own_module(self) -> nn.Module:
        return nn.Module()  # the levels hold the weights

    def _load_weights(self, weights: dict[str, Tensor], device: str = "cpu") -> None:
        self._unroll()
