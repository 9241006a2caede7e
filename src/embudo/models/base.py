"""What every autoencoder has in common: how samples are prepared and learnt from, and what a learnt one does."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from embudo.data.arrays import Matrix, as_array, as_dense, check_finite
from embudo.data.batches import PlacedRows, Rows, StreamRows, slices, split
from embudo.data.sources import as_stream
from embudo.data.sparse import stack_rows
from embudo.data.streams import Stream, check_cut_alike, divided
from embudo.engine.fitting import make_step
from embudo.engine.objective import Reconstruction
from embudo.engine.step import TrainingStep
from embudo.errors import InvalidData, InvalidParameter
from embudo.models.board import look_at, show_samples
from embudo.models.export import Exportable, Graph, standalone
from embudo.models.inference import Outcome, gathered, outputs, result_dtype
from embudo.models.neighbours import placed
from embudo.models.path import path_html
from embudo.nn.network import Network
from embudo.nn.standalone import Decoder, Encoder, Reconstructor
from embudo.parts.corruptions import Corruption
from embudo.parts.losses import resolve_loss
from embudo.parts.penalties import Penalty
from embudo.parts.sparsities import Sparsity
from embudo.parts.training import Training

if TYPE_CHECKING:
    from sklearn.utils import Tags

    from embudo import Report

#: samples, and what shall come out for each; one matrix where they are one
Pair = tuple[Matrix, Matrix]


class BaseAutoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Exportable):
    """A pair of maps, h = f(x) and x' = g(h), between samples and codes."""

    _graphs = ("reconstruction", "encoder", "decoder")
    module_: Network
    n_components_: int
    code_activation: str
    output_activation: str
    sparse_output: bool
    sparsity: Sparsity | None
    penalty: Penalty | None
    loss: Any

    @property
    def _n_features_out(self) -> int:  # what scikit-learn names the outputs by
        return self.n_components_

    # ------------------------------------------------------------------ preparing and learning

    def _pairs(self, X: Any, X_clean: Any, X_val: Any) -> tuple[Pair, Pair | None]:
        """Return validated samples with their targets, to learn from and held out."""
        pair = self._pair(X, X_clean, reset=True)
        if X_val is None:
            return pair, None
        if isinstance(X_val, numbers.Real):
            raise InvalidParameter(
                f"X_val must be samples like X; got {X_val!r}: a share of X is held out by "
                "training=Training(validation_fraction=0.1)."
            )
        is_pair = isinstance(X_val, tuple) and len(X_val) == 2
        return pair, self._pair(*(X_val if is_pair else (X_val, None)), reset=False)

    def _pair(self, X: Any, X_clean: Any, *, reset: bool) -> Pair:
        rows = self._validated(X, reset=reset, min_samples=2 if reset else 1)
        if isinstance(rows, Stream):
            rows.survey()
        if X_clean is None or (isinstance(rows, Stream) and X_clean is X):
            return rows, rows
        target = self._validated(X_clean, reset=False)
        if isinstance(rows, Stream) or isinstance(target, Stream):
            check_cut_alike(rows, target)
            return rows, target
        if target.shape[0] != rows.shape[0]:
            raise InvalidData(f"X_clean must have a row for each of the {rows.shape[0]} of X; got {target.shape[0]}.")
        return rows, target

    def _held_out(self, pair: Pair, held_out: Pair | None) -> tuple[Pair, Pair | None]:
        """Hold a share of the samples out, where the training asks for it and none are held out yet."""
        self._check_repeatable(self.training_)
        fraction = self.training_.validation_fraction
        if held_out is None and fraction > 0:
            if isinstance(pair[0], Stream):
                parts = divided(pair[0], fraction, self.seed_)
                of_target = parts if pair[1] is pair[0] else divided(pair[1], fraction, self.seed_)
                return (parts[0], of_target[0]), (parts[1], of_target[1])
            learnt, chosen = split(pair[0].shape[0], fraction, self.seed_)
            return at(learnt, pair), at(chosen, pair)
        self._check_patience(self.training_, validated=held_out is not None)
        return pair, held_out

    def _start(self, X: Any) -> Matrix:
        """Set up the network with its first weights, and return X validated."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it starts.")

    def _check_costs(self, code_activation: str) -> None:
        """Check what is seen and what costs, beside the distance itself, while training."""
        self._check_corruption()
        penalty = self._part("penalty", Penalty)
        if penalty is not None:
            penalty.check(code_activation)

    def _make_step(self) -> TrainingStep:
        objective = Reconstruction(
            self.module_,
            resolve_loss(self.loss, self.output_activation),
            corruption=self.corruption,
            penalty=self.penalty,
            revive=self.sparsity.revival if self.sparsity else None,
            seed=self.seed_,
        )
        return make_step(objective, self.training_, self._runtime())

    def _learn(
        self, step: TrainingStep, pair: Pair, training: Training, held_out: Pair | None, open_ended: bool = False
    ) -> None:
        """Train on samples and their targets."""
        rows = self._placed(self._target_rows(pair), known=open_ended and bool(self.history_))
        validation = None if held_out is None else self._target_rows(held_out)
        self._train(step, rows, training, validation, open_ended=open_ended, look=look_at(self, rows))
        if training.log_dir is not None and step.objective.world.leads:
            show_samples(self, pair[0], training.log_dir)

    def _target_rows(self, pair: Pair) -> tuple[Rows, Rows]:
        X, target = pair
        rows = self._rows(X)
        return rows, rows if target is X else self._rows(target)

    def _placed(self, learnt: tuple[Rows, Rows], *, known: bool) -> tuple[Rows, Rows]:
        """Return samples and targets, these with the places that `Neighbours` asks for, where it does.

        Parameters
        ----------
        learnt : (Rows, Rows)
        known : bool
            Whether the samples are laid out from where their codes are, not anew.
        """
        part = self.penalty.terms.get("neighbours") if self.penalty is not None else None
        if part is None:
            return learnt
        rows, targets = learnt
        if isinstance(rows, StreamRows):
            raise InvalidParameter("Neighbours lays all samples out at once, but X is streamed: pass an array.")
        start = self.module_.encode if known else None
        places = placed(rows, part, self.n_components_, self.seed_, start, self.training_.verbose)
        return rows, PlacedRows(targets, places.to(next(self.module_.parameters())))

    # ------------------------------------------------------------------ using what was learnt

    def transform(self, X: Any, *, out: str | Path | None = None) -> Any:
        """Return the codes h = f(x).

        Parameters
        ----------
        X : like that of `fit`, or an iterator over batches
        out : str or Path, optional
            A .npy or .parquet file to write them to as they come, whole or not at all, in bounded memory.

        Returns
        -------
        ndarray, or CSR matrix with `sparse_output`, of shape (n_samples, n_components)
            float32 where it holds numbers like X's exactly, else float64. With `out`, a memory map of the .npy file, or
            a stream of the .parquet file.
        """
        check_is_fitted(self)
        return self._encoded(X, self.module_, self.n_components_, self.sparse_output, out, self.get_feature_names_out)

    def _encoded(
        self,
        X: Any,
        network: Network,
        n_components: int,
        sparse: bool,
        out: str | Path | None,
        names: Callable[[], Sequence[str]],
    ) -> Any:
        if out is not None and sparse:
            raise InvalidParameter("out is for dense codes: set sparse_output=False, or encode a part at a time.")
        rows = self._validated(X, reset=False)
        blocks = self._outputs("encode", rows, network)
        if sparse:
            return stack_rows((block for *_, block in blocks), n_components)
        return gathered(blocks, (rows.shape[0], n_components), result_dtype(rows), out, names)

    def inverse_transform(self, codes: Any, *, out: str | Path | None = None) -> Any:
        """Return the reconstructions x' = g(h) of codes.

        Parameters
        ----------
        codes : array, sparse matrix or stream of shape (n_samples, n_components), or an iterator over batches
        out : str or Path, optional
            A .npy or .parquet file to write them to as they come, whole or not at all, in bounded memory.

        Returns
        -------
        ndarray of shape (n_samples, n_features), or (n_samples, *sample_shape_)
            In the units of the data, float32 where `codes` are, else float64. With `out`, as of `transform`.
        """
        check_is_fitted(self)
        return self._decoded(codes, self.module_, self.n_components_, out)

    def _decoded(self, codes: Any, network: Network, n_components: int, out: str | Path | None = None) -> Any:
        codes = as_stream(codes)
        if not isinstance(codes, Stream):
            codes = as_array(codes)
            codes = codes.tocsr() if scipy.sparse.issparse(codes) else np.asarray(codes)
        if len(codes.shape) != 2 or codes.shape[1] != n_components:
            raise InvalidData(
                f"Codes must have shape (n_samples, {n_components}), as from transform; got {codes.shape}."
            )
        if not isinstance(codes, Stream):
            check_finite(codes, subject="The codes hold")
        blocks, shape = self._outputs("decode", codes, network), (codes.shape[0], self.n_features_in_)
        return gathered(blocks, shape, result_dtype(codes), out, self._feature_names, self.sample_shape_)

    def _feature_names(self) -> Sequence[str]:
        names: Sequence[str] | None = getattr(self, "feature_names_in_", None)
        return [f"x{i}" for i in range(self.n_features_in_)] if names is None else names

    def reconstruct(self, X: Any, *, out: str | Path | None = None) -> Any:
        """Return the reconstructions x' = g(f(x)), in batches, in bounded memory.

        Parameters
        ----------
        X : like that of `fit`, or an iterator over batches
        out : str or Path, optional
            A .npy or .parquet file to write them to as they come, whole or not at all, in bounded memory.

        Returns
        -------
        ndarray of the shape of X
            In the units of the data, float32 where it holds numbers like X's exactly, else float64. With `out`, as of
            `transform`.
        """
        check_is_fitted(self)
        rows = self._validated(X, reset=False)
        sample_shape = _sample_shape(X if isinstance(X, Stream) else rows if isinstance(rows, Stream) else X)
        blocks = self._outputs("forward", rows)
        return gathered(blocks, rows.shape, result_dtype(rows), out, self._feature_names, sample_shape)

    def reconstruction_error(self, X: Any) -> np.ndarray:
        """Return the squared error of each sample's reconstruction, summed over features.

        Parameters
        ----------
        X : like that of `fit`, or an iterator over batches

        Returns
        -------
        ndarray of shape (n_samples,), float64
            In the squared units of the data.
        """
        check_is_fitted(self)
        rows = self._validated(X, reset=False)
        return self._errors((rows, rows))

    def _errors(self, pair: Pair) -> np.ndarray:
        """Return the squared error of each reconstruction, from what shall come out."""
        rows, target = pair
        errors, wanted = [], None
        for _, x, y in self._outputs("forward", rows):
            if target is not rows:
                wanted = wanted or slices(target, len(x), "X_clean holds")
                _, x = next(wanted)
            errors.append(np.square(np.subtract(y, as_dense(x), dtype=np.float64)).sum(axis=1))
        return np.concatenate(errors)

    def score_samples(self, X: Any) -> np.ndarray:
        """Return minus the reconstruction error of each sample, shape (n_samples,): greater is better."""
        return -self.reconstruction_error(X)

    def score(self, X: Any, y: Any = None) -> float:
        """Return minus the mean reconstruction error: greater is better."""
        return float(self.score_samples(X).mean())

    def diagnose(self, X: Any, *, noises: Sequence[Corruption] | None = None) -> dict[str, Any]:
        """Measure what the model makes of X, a block at a time, with PCA's figures for a code of the same size.

        Parameters
        ----------
        X : like that of `fit`
        noises : sequence of corruptions, optional
            What X is measured under. None is Gaussian noise, masking noise and salt and pepper, little of each and
            much.

        Returns
        -------
        dict
            ``reconstruction_error``, in the squared units of the data; all that follows is between scaled values, and
            NaN where these do not vary.
            ``fvu`` and ``explained_variance``: of the variance of X, what is left and what is explained.
            ``pca_reconstruction_error``, ``pca_fvu``, ``pca_explained_variance``: those of PCA fitted on X; None
            where it has no such code, and beyond 5000 features.
            ``l0``, ``dead_units``, ``dead_share``, ``mean_activation``, ``density``: units that speak a sample, units
            that never do, their share of all, mean of the code, and least, median and greatest share of the samples on
            which a unit speaks.
            ``saturation``: share of activations under 0.05 or over 0.95, None for codes that can leave (0, 1).
            ``jacobian_norm``: mean Frobenius norm of the encoder's Jacobian; of deep encoders on up to 256 samples.
            ``noise``: for each of `noises`, by its text, the ``fvu`` that is left of the clean X, PCA's
            ``pca_fvu``, and by how much reconstruction and code change, as a share of how far they lie from their
            means.
        """
        from embudo.models.diagnosis import NOISES, diagnose

        check_is_fitted(self)
        return diagnose(self, self._validated(X, reset=False), NOISES if noises is None else noises)

    def report(self, X: Any, y: Any = None, **options: Any) -> Report:
        """Return a page on what the model is, what it makes of X, what is wrong with it, and what to try.

        Parameters
        ----------
        X : like that of `fit`
        y : array of shape (n_samples,), optional
            Labels, by which codes are coloured.
        **options
            `title`, `image_shape`, as of `embudo.Report`.

        Returns
        -------
        embudo.Report
            ``save("report.html")`` writes it; a notebook shows it; ``findings`` is what the doctor says.
        """
        from embudo import Report  # by its public name: this layer knows none above it

        check_is_fitted(self)
        return Report(self, X, y, **options)

    def _outputs(self, call: str, X: Matrix, network: Network | None = None) -> Iterator[Outcome]:
        """Yield what `outputs` does of this network, or of another one between the same features and codes."""
        width, bfloat16 = max(self.n_components_, self.n_features_in_), self.training_.precision == "bfloat16"
        return outputs(network or self.module_, self.scaler_, call, X, width=width, bfloat16=bfloat16)

    # what notebooks show: scikit-learn's diagram, and the path of the data below it

    def _repr_mimebundle_(self, **options: Any) -> dict[str, str]:
        bundle: dict[str, str] = super()._repr_mimebundle_(**options)
        if "text/html" in bundle:
            bundle["text/html"] += path_html(self)
        return bundle

    @property
    def _repr_html_(self) -> Callable[[], str]:
        diagram: Callable[[], str] = super()._repr_html_  # raises where scikit-learn is set to show text
        return lambda: diagram() + path_html(self)

    def _graph(self, part: str) -> Graph:
        shape = self.sample_shape_ or (self.n_features_in_,)
        pair, scale = standalone(self.module_, self.scaler_, shape), self.scaler_.scale
        unit = None if scale is None else np.broadcast_to(scale, self.n_features_in_).reshape(shape)

        def encode(X: np.ndarray) -> np.ndarray:
            codes: np.ndarray = self._encoded(X, self.module_, self.n_components_, False, None, tuple)
            return codes

        match part:
            case "encoder":
                return Graph(Encoder(*pair), lambda X: {"code": encode(X)})
            case "decoder":
                back, code = self.inverse_transform, {"code": ("n",)}
                return Graph(Decoder(*pair), lambda h: {"reconstruction": back(h)}, code, lambda X: (encode(X),), unit)
        return Graph(Reconstructor(*pair), lambda X: {"reconstruction": self.reconstruct(X)}, unit=unit)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _sample_shape(X: Any) -> tuple[int, ...] | None:
    """Return the shape of a sample that is not a row."""
    if isinstance(X, Stream):
        return X.sample_shape
    return np.shape(X)[1:] if np.ndim(X) > 2 else None


def at(indices: np.ndarray, pair: Pair) -> Pair:
    """Return samples and targets at `indices`."""
    X, target = pair
    rows = X[indices]
    return rows, rows if target is X else target[indices]
