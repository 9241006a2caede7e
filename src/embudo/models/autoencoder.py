"""`Autoencoder`: the one estimator that every variant is a composition of."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Self

import torch
from torch import Tensor

from embudo.data.arrays import Matrix
from embudo.data.scaling import Scaler, fit_scaler
from embudo.data.sources import BatchStream, as_stream
from embudo.data.streams import Stream
from embudo.engine.history import History
from embudo.engine.objective import CorruptionFunction
from embudo.engine.runtime import check_memory, resolve_runtime
from embudo.errors import InvalidParameter, check_choice, check_number
from embudo.models.base import BaseAutoencoder
from embudo.models.composed import cpu_weights
from embudo.models.initialisation import INITS, check_init, initialise_network
from embudo.nn.activations import ACTIVATIONS
from embudo.nn.network import Network
from embudo.parts.architectures import MLP, Architecture
from embudo.parts.corruptions import Corruption, MaskingNoise
from embudo.parts.losses import resolve_loss
from embudo.parts.penalties import L1, Penalty
from embudo.parts.sparsities import Sparsity, TopK
from embudo.parts.training import Training


class Autoencoder(BaseAutoencoder):
    """Learns a code h = f(x) from which g(h) comes close to x.

    The encoder f and the decoder g are neural networks, trained together by backpropagation to minimise the
    distance between x and g(f(x)), and whatever else costs [1]_. With few code units the code is a compressed
    form of x; linear and trained with squared error, it spans the subspace of PCA [2]_, non-linear it does better [3]_.

    Parameters
    ----------
    n_components : int or None, default=None
        Size of the code. None is half the features.
    encoder : MLP, ConvNet or None, default=None
        Hidden layers between input and code. None is none.
    decoder : MLP, ConvNet or None, default=None
        Hidden layers between code and output. None mirrors the encoder.
    code_activation : str, default="identity"
        Activation of the code: "identity", "relu", "leaky_relu", "gelu", "tanh", "sigmoid" or "softplus".
    output_activation : str, default="identity"
        Activation of the output, one of the same.
    tied : bool, default=False
        Whether the decoder's weights are the encoder's, transposed: one storage.
    corruption : corruption, several joined by +, callable or None, default=None
        What the encoder sees while training, for example ``MaskingNoise(0.25)``; the target stays clean. A callable is
        given a scaled batch and a ``torch.Generator``, and returns a corrupted batch.
    sparsity : TopK, BatchTopK, JumpReLU or None, default=None
        Which units of the code may speak.
    penalty : penalty, sum of penalties or None, default=None
        What else costs, for example ``Contractive(0.1) + L1(1e-3)``.
    loss : {"squared_error", "cross_entropy", "huber"} or callable, default="squared_error"
        Distance of output and input, per sample, summed over features, between scaled values.
        "cross_entropy" needs ``output_activation="sigmoid"``. A callable is given two tensors of shape
        (n, n_features), output and target, and returns the loss of each sample.
    scale : {"auto", "standard", "minmax", None}, default="auto"
        How features are scaled before the encoder, and back after the decoder. "standard" to mean 0 and
        variance 1, "minmax" to the range 0 to 1. "auto" leaves data alone that lie in [0, 1] and reach 0.01,
        divides 8-bit data by 255, and otherwise is "minmax" where the output cannot leave [0, 1], and "standard" where
        it can.
    sparse_output : bool, default=False
        Whether `transform` returns a SciPy CSR matrix, for codes that are mostly 0.
    init : {"auto", "pca", "dictionary"}, default="auto"
        First weights: drawn at random to suit each activation, the output's a tenth as wide, around the mean of X;
        or PCA's solution, for a network of one linear layer each way; or "dictionary", for wide codes of one layer
        each way: random directions of norm 1 from the geometric median of X, the same in encoder and decoder [4]_.
    training : Training or None, default=None
        How long, in what steps and where to train. None is ``Training()``.
    random_state : int, RandomState or None, default=None
        Decides the first weights and the order of samples. With an int, the same data give the same bits.

    Attributes
    ----------
    n_components_ : int
        Size of the code.
    encoder_, decoder_, training_ : parts
        What None was resolved to.
    module_ : torch.nn.Module
        The network, between scaled features and codes; ``module_.encoder`` and ``module_.decoder`` are its halves.
    scaler_ : Scaler
        What was chosen for `scale`, with offset and scale of each feature.
    history_ : dict of lists
        A table with one row an epoch: loss, each of its terms, validation loss, learning rate, seconds,
        samples per second. ``pandas.DataFrame(history_)`` reads it.
    seed_ : int
        What `random_state` came to.
    n_features_in_ : int
        Features seen during fit.
    feature_names_in_ : ndarray of str
        Their names, where X was a frame.
    sample_shape_ : tuple of int or None
        Shape of a sample, where X had more than two dimensions, such as images.

    Raises
    ------
    InvalidParameter, InvalidData
        From `fit`, in one sentence.
    TrainingDiverged
        From `fit`, if the loss stops being finite. The last good weights are kept.

    References
    ----------
    .. [1] Rumelhart, Hinton and Williams (1986). Learning internal representations by error propagation.
    .. [2] Baldi and Hornik (1989). Neural networks and principal component analysis: learning from examples
       without local minima. Neural Networks 2.
    .. [3] Hinton and Salakhutdinov (2006). Reducing the dimensionality of data with neural networks. Science 313.
    .. [4] Gao et al. (2024). Scaling and evaluating sparse autoencoders. arXiv:2406.04093.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from embudo import MLP, Autoencoder, Training
    >>> X = load_digits().data
    >>> ae = Autoencoder(8, encoder=MLP(64), training=Training(epochs=5), random_state=0).fit(X)
    >>> ae.transform(X).shape
    (1797, 8)
    >>> ae.inverse_transform(ae.transform(X)).shape
    (1797, 64)
    """

    _default_parts = MappingProxyType({"encoder": MLP(), "training": Training()})
    _example_parts = MappingProxyType(
        {
            "encoder": MLP((128, 64)),
            "decoder": MLP((64, 128)),
            "corruption": MaskingNoise(0.3),
            "sparsity": TopK(10),
            "penalty": L1(1e-3),
            "training": Training(50),
        }
    )

    def __init__(
        self,
        n_components: int | None = None,
        *,
        encoder: Architecture | None = None,
        decoder: Architecture | None = None,
        code_activation: str = "identity",
        output_activation: str = "identity",
        tied: bool = False,
        corruption: Corruption | CorruptionFunction | None = None,
        sparsity: Sparsity | None = None,
        penalty: Penalty | None = None,
        loss: str | Callable[[Tensor, Tensor], Tensor] = "squared_error",
        scale: str | None = "auto",
        sparse_output: bool = False,
        init: str = "auto",
        training: Training | None = None,
        random_state: Any = None,
    ) -> None:
        self.n_components = n_components
        self.encoder = encoder
        self.decoder = decoder
        self.code_activation = code_activation
        self.output_activation = output_activation
        self.tied = tied
        self.corruption = corruption
        self.sparsity = sparsity
        self.penalty = penalty
        self.loss = loss
        self.scale = scale
        self.sparse_output = sparse_output
        self.init = init
        self.training = training
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, *, X_clean: Any = None, X_val: Any = None) -> Self:
        """Learn encoder and decoder from X.

        Parameters
        ----------
        X : array, frame, tensor or sparse matrix of shape (n_samples, n_features), or images (n_samples, ...)
            At least two samples, finite numbers. A memory map, a Zarr array or what `embudo.stream` returns is read a
            part at a time in each epoch, and never held all at once.
        y : ignored
        X_clean : like X, optional
            What shall come out for each sample of X, for measured pairs, noisy and clean. X itself by default. It is
            scaled as X, and must then lie in [0, 1] where the output does. Of a stream it is one that is cut alike.
        X_val : like X, or a pair (X, X_clean), optional
            Samples that are measured after each epoch and not learnt from.

        Returns
        -------
        Autoencoder
        """
        pair, held_out = self._pairs(X, X_clean, X_val)
        self._prepare(*pair)
        pair, held_out = self._held_out(pair, held_out)
        initialise_network(self.module_, self.init, pair[0], self.scaler_, self.seed_)
        self._learn(self._make_step(), pair, self.training_, held_out)
        return self

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Learn from one more chunk of data: one pass over X, the optimizer's state kept from call to call.

        The first call decides scaling and first weights. Early stopping, schedule, ``Training.epochs``,
        ``Training.run_dir`` and ``Training.log_dir`` do not apply.

        Parameters
        ----------
        X : like that of `fit`, or an iterator over batches, each of which is a chunk
        y : ignored

        Returns
        -------
        Autoencoder
        """
        X = as_stream(X)
        if isinstance(X, BatchStream) and X.once:
            for batch in X.batches():
                self.partial_fit(batch)
            return self
        rows = self._validated(X, reset=False) if hasattr(self, "module_") else self._start(X)
        if isinstance(rows, Stream):
            rows.survey()
        if self._step is None:
            self._step = self._make_step()
        once = dataclasses.replace(self.training_, epochs=1, patience=None, run_dir=None, log_dir=None)
        self._learn(self._step, (rows, rows), once, None, open_ended=True)
        return self

    def _start(self, X: Any) -> Matrix:
        """Set up the network with its first weights, and return X validated."""
        rows = self._validated(X, reset=True, min_samples=2)
        self._prepare(rows, rows)
        initialise_network(self.module_, self.init, rows, self.scaler_, self.seed_)
        return rows

    def _prepare(self, rows: Matrix, target: Matrix) -> None:
        """Resolve the parameters, draw the seed, and build the network."""
        self._resolve(rows.shape[1])
        self.seed_ = self._draw_seed()
        self.scaler_ = fit_scaler(
            self.scale,
            rows,
            unit_interval=self.output_activation == "sigmoid",
            target=None if target is rows else target,
        )
        runtime = resolve_runtime(self.training_)
        check_memory(self._count_weights(), runtime, shard=self.training_.shard)
        self.module_ = self._empty_network(runtime.dtype, runtime.device)
        self.history_: History = {}
        self._step = None

    def _resolve(self, n_features: int) -> None:
        """Check the parameters and set those that `fit` resolves."""
        self.encoder_: Architecture = self._part("encoder", Architecture)
        self.decoder_: Architecture = self._part("decoder", Architecture) or self.encoder_.mirrored()
        self.training_: Training = self._part("training", Training)
        self._part("sparsity", Sparsity)
        self._check_costs(self.code_activation)
        if self.n_components is not None:
            check_number("Autoencoder.n_components (when not None)", self.n_components, low=1, integer=True)
        self.n_components_ = max(1, n_features // 2) if self.n_components is None else int(self.n_components)
        check_choice("Autoencoder.code_activation", self.code_activation, ACTIVATIONS)
        check_choice("Autoencoder.output_activation", self.output_activation, ACTIVATIONS)
        check_choice("Autoencoder.tied", self.tied, (True, False))
        check_choice("Autoencoder.sparse_output", self.sparse_output, (True, False))
        check_choice("Autoencoder.init", self.init, INITS)
        resolve_loss(self.loss, self.output_activation)
        if self.tied and self.decoder_ != self.encoder_.mirrored():
            raise InvalidParameter(
                f"tied=True needs a decoder that mirrors the encoder; got encoder={self.encoder_!r} and "
                f"decoder={self.decoder_!r}: leave decoder=None."
            )
        if self.init != "auto":
            check_init(self.init, self.encoder_, self.decoder_, (self.code_activation, self.output_activation))

    def _build_network(self) -> Network:
        shape, m = self.sample_shape_ or (self.n_features_in_,), self.n_components_
        encoder = self.encoder_.build_encoder(shape, m, self.code_activation)
        decoder = self.decoder_.build_decoder(m, shape, self.output_activation, encoder if self.tied else None)
        return Network(encoder, decoder, self.sparsity.build(m) if self.sparsity else None)

    def _learnt(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        scaling = {"offset": self.scaler_.offset, "scale": self.scaler_.scale}
        tensors = {f"scaler.{name}": torch.from_numpy(array) for name, array in scaling.items() if array is not None}
        return {"scaling": self.scaler_.kind}, cpu_weights(self.module_) | tensors

    def _relearn(self, card: dict[str, Any], tensors: dict[str, Tensor], inner: dict[str, Any], device: str) -> None:
        arrays = [tensors.pop(name).numpy() for name in ("scaler.offset", "scaler.scale") if name in tensors]
        self.scaler_ = Scaler.restored(card["scaling"], arrays, self.n_features_in_)
        self._resolve(self.n_features_in_)
        self._load_weights(tensors, device)
