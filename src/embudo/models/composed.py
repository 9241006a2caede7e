"""What every estimator of embudo shares: parameters that are parts, and the validation of X."""

from __future__ import annotations

import dataclasses
import inspect
import math
import textwrap
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import safetensors.torch
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data
from torch import Tensor, nn

from embudo.data.arrays import Matrix, as_array, check_finite
from embudo.data.batches import Rows, make_batches, make_rows
from embudo.data.scaling import Scaler
from embudo.data.sources import as_stream
from embudo.data.streams import Stream
from embudo.engine.distribution import world
from embudo.engine.fitting import run
from embudo.engine.history import History
from embudo.engine.objective import CorruptionFunction
from embudo.engine.progress import Look
from embudo.engine.runtime import Runtime
from embudo.engine.step import TrainingStep
from embudo.errors import FileFormatError, InvalidData, InvalidParameter
from embudo.nn.layers import multiply_adds
from embudo.nn.network import Network
from embudo.parts.corruptions import Corruption
from embudo.parts.part import Part, check_names, nested_params, plain, replaced
from embudo.parts.training import Training

if TYPE_CHECKING:
    from sklearn.utils import Tags


class Composed(BaseEstimator):
    """An estimator whose parameters may be parts: frozen values with parameters of their own."""

    #: what stands for a parameter that is None
    _default_parts: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    #: what a parameter that is None might be
    _example_parts: ClassVar[Mapping[str, Part]] = MappingProxyType({})
    _takes_rows: ClassVar[bool] = True  #: samples of one number of features each, and not images of any size
    n_features_in_: int
    feature_names_in_: np.ndarray
    sample_shape_: tuple[int, ...] | None
    module_: Any
    scaler_: Scaler
    training_: Training
    corruption: Corruption | CorruptionFunction | None
    random_state: Any
    seed_: int
    history_: History
    _completed = True  #: whether the last training came to its end
    _step: TrainingStep | None = None  #: kept between calls of partial_fit

    def __new__(cls, *args: Any, **params: Any) -> Self:
        """Return an estimator to be filled in; a name that is not a parameter of its class is refused in a sentence."""
        _, *known = inspect.signature(cls.__init__).parameters.values()
        if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in known):  # of a subclass, perhaps
            values = {**cls._default_parts, **cls._example_parts}
            check_names(cls.__name__, params, {one.name: values.get(one.name) for one in known})
        return super().__new__(cls)  # type: ignore[no-any-return]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name; with `deep`, also those of parts and estimators, as ``part__field``."""
        params: dict[str, Any] = super().get_params(deep=False)
        if not deep:
            return params
        within = self._estimators().items()
        return nested_params(params) | {
            f"{name}__{key}": value for name, e in within for key, value in e.get_params().items()
        }

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name, or the field of a part or estimator by ``part__field``.

        Parts are frozen: one whose field is set is replaced. A field of a part that is None is set on
        the part which stands for None.

        Raises
        ------
        InvalidParameter
            If a name is unknown or a value is not allowed.
        """
        whole = {name: value for name, value in params.items() if "__" not in name}
        self._replace(whole)
        estimators = self._estimators()
        within = {key: value for key, value in params.items() if key not in whole}
        for key in list(within):
            name, _, parameter = key.partition("__")
            default = self._default_parts.get(name)
            if isinstance(default, Composed) and getattr(self, name) is None:
                estimators[name] = clone(default)
                setattr(self, name, estimators[name])
            if name in estimators:
                estimators[name].set_params(**{parameter: within.pop(key)})
        self._replace(within)
        return self

    def _replace(self, params: dict[str, Any]) -> None:
        current = self.get_params(deep=False) | self._estimators()
        changed = replaced(type(self).__name__, current, params, dict(self._default_parts))
        for name, value in changed.items():
            setattr(self, name, value)

    def _estimators(self) -> dict[str, Composed]:
        """Return the estimators among the parameters, by name."""
        return {name: value for name, value in self.get_params(deep=False).items() if isinstance(value, Composed)}

    def _part(self, name: str, kind: type[Part]) -> Any:
        """Return the part that the parameter `name` holds, or the one that stands for None."""
        value = getattr(self, name)
        if value is None:
            return self._default_parts.get(name)
        if not isinstance(value, kind):
            example = {**self._default_parts, **self._example_parts}.get(name, kind.__name__)
            owner, came = type(self).__name__, textwrap.shorten(repr(value), 200)  # a torch module prints as lines
            raise InvalidParameter(f"{owner}.{name} must be a part such as {example!r}, or None; got {came}.")
        return value

    def _check_corruption(self) -> None:
        """Refuse what is neither a corruption nor a function of one's own."""
        if isinstance(self.corruption, Part) or not callable(self.corruption):
            self._part("corruption", Corruption)

    def _check_patience(self, training: Training, *, validated: bool) -> None:
        """Refuse to stop early where nothing is held out."""
        if training.patience is not None and not validated and training.validation_fraction == 0:
            raise InvalidParameter(
                "Training.patience needs validation: give fit an X_val, or set Training.validation_fraction."
            )

    def _draw_seed(self) -> int:
        """Return what `random_state` comes to."""
        return world().agreed(lambda: int(check_random_state(self.random_state).randint(2**31 - 1)))

    def _check_repeatable(self, training: Training) -> None:
        """Refuse to keep the state of a training that no second one equals.

        Raises
        ------
        InvalidParameter
        """
        if training.run_dir is not None and self.random_state is None:
            raise InvalidParameter(
                f"Training.run_dir needs a random_state: without one, every fit of {type(self).__name__} is another "
                "training. Set random_state=0, or another integer."
            )

    def _kept_under(self, name: str, training: Training) -> Training:
        """Return `training` with folders of its own, where this estimator has some."""
        return dataclasses.replace(training, **self.training_.folders(name))

    def _recipe(self) -> str:
        """Return the parameters as text, nested ones too, but for those that do not decide what is learnt.

        Functions are named. What `random_state` comes to is known by the first weights and the order of the samples.
        """
        passing = {"device", "compile", "shard", "run_dir", "log_dir", "verbose", "random_state"}
        words = {
            name: repr(plain(value))
            if isinstance(value, Part) or not callable(value)
            else str(getattr(value, "__qualname__", type(value).__name__))
            for name, value in self.get_params().items()
            if name.rpartition("__")[2] not in passing and not isinstance(value, Training | BaseEstimator | list)
        }
        return repr(words)

    def _validated(self, X: Any, *, reset: bool, min_samples: int = 1, allow_nan: bool = False) -> Matrix:
        """Return X as a finite array or CSR matrix of shape (n_samples, n_features); NaN is let in with `allow_nan`.

        Arrays of more than two dimensions, such as images, are flattened; `sample_shape_` keeps the shape of
        a sample. With `reset`, number and names of the features are learnt, else they are checked. A stream that does
        not fit into its window is returned as it is, its values checked only with `reset`.
        """
        X = as_stream(X)
        if isinstance(X, Stream):
            if not X.fits:
                return self._streamed(X, reset=reset, min_samples=min_samples, allow_nan=allow_nan)
            X = X.load()
        X = as_array(X)
        if len(X.shape) < 2:
            raise InvalidData(
                f"Reshape your data to samples by features: X has shape {X.shape}; X.reshape(-1, 1) makes it one "
                "feature, X.reshape(1, -1) one sample."
            )
        shape = X.shape[1:] if isinstance(X, np.ndarray) and X.ndim > 2 else None
        if shape is not None:
            if not reset and self.sample_shape_ not in (None, shape):
                raise InvalidData(
                    f"X holds samples of shape {shape}, but {type(self).__name__} was fitted on {self.sample_shape_}."
                )
            X = X.reshape(len(X), math.prod(shape))
        rows = self._named(X, reset=reset, min_samples=min_samples)
        if rows.dtype.kind == "b":
            rows = rows.astype(np.float32)
        check_finite(rows, getattr(self, "feature_names_in_", None), allow_nan=allow_nan)
        if reset:
            self.sample_shape_ = shape
        return rows

    def _streamed(self, X: Stream, *, reset: bool, min_samples: int, allow_nan: bool) -> Stream:
        """Return a stream whose features, with `reset` also values, are checked as those of an array are."""
        if not reset and X.sample_shape is not None and self.sample_shape_ not in (None, X.sample_shape):
            raise InvalidData(
                f"X holds samples of shape {X.sample_shape}, but {type(self).__name__} was fitted on "
                f"{self.sample_shape_}."
            )
        import pandas as pd

        head = np.zeros((1, X.n_features))
        self._named(head if X.names is None else pd.DataFrame(head, columns=X.names), reset=reset, min_samples=1)
        if reset:
            if X.survey(allow_nan=allow_nan and X.sample_shape is None).n_samples < min_samples:
                raise InvalidData(f"X holds {X.shape[0]} samples: at least {min_samples} are needed.")
            self.sample_shape_ = X.sample_shape
        return X

    def _named(self, X: Any, *, reset: bool, min_samples: int) -> Matrix:
        """Return X as scikit-learn validates it: names, number of features, number of samples."""
        try:
            return validate_data(
                self,
                X,
                reset=reset,
                accept_sparse="csr",
                dtype="numeric",
                ensure_all_finite=False,
                ensure_min_samples=min_samples,
            )
        except ValueError as error:
            raise InvalidData(str(error)) from None

    def _in_shape(self, rows: Matrix) -> Any:
        """Return validated samples in the shape they came in, such as images."""
        if isinstance(rows, Stream):
            return rows.unnamed()
        return rows if self.sample_shape_ is None else rows.reshape(-1, *self.sample_shape_)

    def _runtime(self) -> Runtime:
        weight = next(self.module_.parameters())
        return Runtime(weight.device, weight.dtype, self.training_.precision == "bfloat16")

    def _rows(self, X: Matrix) -> Rows:
        """Return the scaled samples of X, where they are trained on."""
        runtime = self._runtime()
        return make_rows(X, self.scaler_, runtime.dtype, runtime.device)

    def _train(
        self,
        step: TrainingStep,
        learnt: tuple[Rows, Rows],
        training: Training,
        validation: tuple[Rows, Rows] | None,
        *,
        open_ended: bool = False,
        look: Look | None = None,
    ) -> None:
        """Train on rows and their targets, by the one loop."""
        rows, targets = learnt
        batch_size = training.batch_rows(len(rows))
        batches = make_batches(rows, targets, batch_size, self.seed_)
        with step.runtime.threads(3 * multiply_adds(step.objective) * batch_size):
            self._completed = run(
                step,
                batches,
                training,
                self.history_,
                validation=validation,
                open_ended=open_ended,
                recipe=self._recipe(),
                look=look,
            )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "module_")

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        state.pop("_step", None)
        if "module_" in state:
            state["module_"] = bytes(safetensors.torch.save(cpu_weights(self._own_module())))
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        weights = state.pop("module_", None)
        super().__setstate__(state)
        if weights is not None:
            self._load_weights(safetensors.torch.load(weights))

    def _own_module(self) -> nn.Module:
        """Return the part of the network that no estimator within this one holds."""
        module: nn.Module = self.module_
        return module

    def save(self, path: str | Path) -> None:
        """Write the model to one safetensors file, that `embudo.load` reads.

        Parameters
        ----------
        path : str or Path
            Replaced as a whole, or not at all.
        """
        from embudo.models.persistence import save

        save(self, path)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    # what a file keeps of a fitted estimator

    def _inner(self) -> dict[str, Composed]:
        """Return the fitted estimators that this one is made of, by name."""
        return {}

    def _learnt(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return what was learnt, apart from the inner estimators: what JSON can hold, and tensors by name."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it has learnt.")

    def _relearn(self, card: dict[str, Any], tensors: dict[str, Tensor], inner: dict[str, Any], device: str) -> None:
        """Set what `_learnt` returned, checked, between inner estimators that are restored.

        Raises
        ------
        EmbudoError
            If it is not what the parameters ask for.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say what it has learnt.")

    def _build_network(self) -> Network:
        """Return the network that the parameters and the number of features ask for."""
        raise NotImplementedError(f"{type(self).__name__} does not say what its network is.")

    def _count_weights(self) -> int:
        """Return how many weights the network has, before there is memory for any."""
        try:
            with torch.device("meta"):
                return sum(p.numel() for p in self._build_network().parameters())
        except (RuntimeError, TypeError):  # sizes beyond 64 bits
            raise InvalidParameter(
                "The network has more weights than any machine can hold: choose fewer components or hidden units."
            ) from None

    def _empty_network(self, dtype: torch.dtype, device: torch.device | str) -> Network:
        """Return the network with memory for its weights, but none set."""
        with torch.device("meta"):  # no global generator is read
            network = self._build_network().to(dtype)
        # as `to_empty` does, whose `empty_like` imports a computer algebra system for tensors without memory
        network._apply(  # type: ignore[no-untyped-call]
            lambda tensor: torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device)
        )
        return network.eval()

    def _load_weights(self, weights: dict[str, Tensor], device: str = "cpu") -> None:
        """Build the network and give it `weights`; names and shapes are compared before anything is allocated.

        Raises
        ------
        FileFormatError
            If they are not those that the parameters ask for.
        """
        with torch.device("meta"):
            expected = {name: tuple(weight.shape) for name, weight in self._build_network().state_dict().items()}
        found = {name: tuple(weight.shape) for name, weight in weights.items()}
        if expected != found:
            name = min(dict(expected.items() ^ found.items()))
            raise FileFormatError(
                f"The weights do not fit the parts: {name!r} should be {expected.get(name, 'absent')} and is "
                f"{found.get(name, 'absent')}."
            )
        dtypes = {weight.dtype for weight in weights.values()}
        if dtypes not in ({torch.float32}, {torch.float64}):
            raise FileFormatError(f"The weights must be all float32 or all float64; found {sorted(map(str, dtypes))}.")
        if not all(bool(weight.isfinite().all()) for weight in weights.values()):
            raise FileFormatError("A weight is not finite.")
        self.module_ = self._empty_network(dtypes.pop(), device)
        self.module_.load_state_dict(weights)


def cpu_weights(module: nn.Module) -> dict[str, Tensor]:
    """Return the weights of `module` by name, on the CPU."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
