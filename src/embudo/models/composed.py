"""What every estimator of embudo shares: parameters that are parts, and the validation of X."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from embudo.data.arrays import Matrix, as_array, check_finite
from embudo.errors import InvalidData, InvalidParameter
from embudo.parts.part import Part, nested_params, replaced


class Composed(BaseEstimator):
    """An estimator whose parameters may be parts: frozen values with parameters of their own."""

    #: what stands for a parameter that is None
    _default_parts: ClassVar[Mapping[str, Part]] = MappingProxyType({})
    sample_shape_: tuple[int, ...] | None

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name; with `deep`, also those of the parts, as ``part__field``."""
        params = super().get_params(deep=False)
        return nested_params(params) if deep else params

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name, or the field of a part by ``part__field``.

        Parts are frozen: one whose field is set is replaced. A field of a part that is None is set on
        the part which stands for None.

        Raises
        ------
        InvalidParameter
            If a name is unknown or a value is not allowed.
        """
        changed = replaced(type(self).__name__, self.get_params(deep=False), params, dict(self._default_parts))
        for name, value in changed.items():
            setattr(self, name, value)
        return self

    def _part(self, name: str, kind: type[Part]) -> Any:
        """Return the part that the parameter `name` holds, or the one that stands for None."""
        value = getattr(self, name)
        if value is None:
            return self._default_parts.get(name)
        if not isinstance(value, kind):
            example = self._default_parts.get(name, kind.__name__)
            raise InvalidParameter(
                f"{type(self).__name__}.{name} must be a part such as {example!r}, or None; got {value!r}."
            )
        return value

    def _validated(self, X: Any, *, reset: bool, min_samples: int = 1) -> Matrix:
        """Return X as a finite array or CSR matrix of shape (n_samples, n_features).

        Arrays of more than two dimensions, such as images, are flattened; `sample_shape_` keeps the shape of
        a sample. With `reset`, number and names of the features are learnt, else they are checked.
        """
        X = as_array(X)
        shape = X.shape[1:] if isinstance(X, np.ndarray) and X.ndim > 2 else None
        if shape is not None:
            if not reset and self.sample_shape_ not in (None, shape):
                raise InvalidData(
                    f"X holds samples of shape {shape}, but {type(self).__name__} was fitted on {self.sample_shape_}."
                )
            X = X.reshape(len(X), -1)
        rows = validate_data(
            self,
            X,
            reset=reset,
            accept_sparse="csr",
            dtype="numeric",
            ensure_all_finite=False,
            ensure_min_samples=min_samples,
        )
        if rows.dtype.kind == "b":
            rows = rows.astype(np.float32)
        check_finite(rows, getattr(self, "feature_names_in_", None))
        if reset:
            self.sample_shape_ = shape
        return rows
