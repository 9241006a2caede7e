"""Why a detector takes a sample for abnormal: the share of each feature, and what was expected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse

from embudo.data.tables import is_frame

if TYPE_CHECKING:
    import pandas as pd

    from embudo.apps.detection import AnomalyDetector
    from embudo.apps.judgement import Judged


def examine(detector: AnomalyDetector, X: Any, top: int | None) -> tuple[np.ndarray, pd.DataFrame]:
    """Return the scores of samples, and what `AnomalyDetector.explain` describes."""
    import pandas as pd

    rows = detector._accepted(X, reset=False)
    index = np.asarray(X.index if hasattr(X, "iloc") else np.arange(rows.shape[0]))
    names = np.asarray(getattr(detector, "feature_names_in_", np.arange(detector.n_features_in_)))
    n_top = min(top or len(names), len(names))
    scores, tables = np.empty(rows.shape[0]), []
    for judged in detector._judges().judge(rows, encoded=False):
        scores[judged.where] = -judged.errors
        shares, expected = by_feature(detector, judged)
        order = np.argsort(-shares, axis=1, kind="stable")[:, :n_top]
        values = rows.iloc[judged.where].to_numpy(object) if is_frame(rows) else as_dense(rows[judged.where])
        columns = {
            "sample": np.repeat(index[judged.where], n_top),
            "feature": names[order].ravel(),
            **{
                name: np.take_along_axis(array, order, 1).ravel()
                for name, array in (("share", shares), ("value", values), ("expected", expected))
            },
        }
        tables.append(pd.DataFrame(columns))
    return scores, pd.concat(tables, ignore_index=True)


def as_dense(rows: Any) -> np.ndarray:
    """Return an array of an array or a sparse matrix."""
    array: np.ndarray = rows.toarray() if scipy.sparse.issparse(rows) else rows
    return array


def by_feature(detector: AnomalyDetector, judged: Judged) -> tuple[np.ndarray, np.ndarray]:
    """Return shares of the error and expected values, each of shape (n_samples, n_features), of encoded ones."""
    parts, expected = judged.parts, judged.expected
    if detector.table_ is not None:
        parts = np.stack([parts[:, where].sum(axis=1) for where in detector.table_.places], axis=1)
        columns = detector.table_.decode(expected)
        mixed = detector.table_.has_categories
        expected = np.stack([column.astype(object) if mixed else column for column in columns], axis=1)
    total = parts.sum(axis=1, keepdims=True)
    return np.divide(parts, total, out=np.zeros_like(parts), where=total > 0), expected
