"""What estimators share that take tables: of numbers and categories, of which some may be missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse
from sklearn.utils.validation import validate_data

from embudo.data.arrays import Matrix, check_finite
from embudo.data.streams import Mapped, Stream
from embudo.data.tables import TableEncoder, as_frame, has_categories, is_frame
from embudo.errors import InvalidData
from embudo.models.composed import Composed

if TYPE_CHECKING:
    from sklearn.utils import Tags


class Tabular(Composed):
    """An estimator that learns from arrays, images and tables.

    Finite numbers are passed on as they are. Where there are categories, or values are missing, columns are encoded by
    `table_`.
    """

    table_: TableEncoder | None

    def _learn_columns(self, X: Any) -> Matrix:
        """Learn the columns of X, and return it validated and encoded."""
        rows = self._accepted(X, reset=True)
        self.table_ = TableEncoder.fit(rows) if is_frame(rows) or _has_gaps(rows) else None
        return self._encoded(rows)

    def _accepted(self, X: Any, *, reset: bool) -> Any:
        """Return X validated, with NaN where values are missing: a pandas frame with categories, or else a matrix."""
        frame = as_frame(X) if is_frame(X) else None
        table = None if reset else self.table_
        if not (table.has_categories if table else reset and frame is not None and has_categories(frame)):
            allow_nan = reset or self._takes_gaps()
            rows = self._validated(X, reset=reset, min_samples=1 + reset, allow_nan=allow_nan)
            if not isinstance(rows, Stream) and (self.sample_shape_ is not None or scipy.sparse.issparse(rows)):
                check_finite(rows, getattr(self, "feature_names_in_", None))
            return rows
        if frame is None:
            raise InvalidData(f"{type(self).__name__} has learnt from a frame with categories: X must be such a frame.")
        try:
            validate_data(self, frame, reset=reset, skip_check_array=True)
        except (TypeError, ValueError) as error:  # names of the columns
            raise InvalidData(str(error)) from None
        if len(frame) < 1 + reset:
            raise InvalidData(f"Found a table with {len(frame)} sample(s) while a minimum of {1 + reset} is required.")
        self.sample_shape_ = None
        return frame

    def _takes_gaps(self) -> bool:
        """Tell whether values may be missing of what a fitted estimator is given."""
        raise NotImplementedError(f"{type(self).__name__} does not say whether values may be missing.")

    def _encoded(self, rows: Any) -> Matrix:
        if self.table_ is None:
            return rows
        if isinstance(rows, Stream):
            return Mapped(rows, self.table_.encode, self.table_.n_encoded, np.dtype(np.float64))
        return self.table_.encode(rows)

    def _whole(self, rows: Matrix) -> Any:
        """Return encoded samples as an autoencoder learns from them: without gaps, in the shape they came in."""
        if self.table_ is None:
            return self._in_shape(rows)
        if isinstance(rows, Stream):
            return Mapped(rows, np.nan_to_num, rows.n_features, rows.dtype)
        return np.nan_to_num(rows)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def _has_gaps(rows: Any) -> bool:
    """Tell whether a value is missing in a matrix."""
    if isinstance(rows, Stream):
        return rows.survey(allow_nan=True).has_gaps
    return rows.dtype.kind == "f" and not scipy.sparse.issparse(rows) and bool(np.isnan(rows).any())
