"""Why a detector takes a sample for abnormal: the share of each feature, and what was expected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from embudo.data.arrays import as_dense
from embudo.data.tables import is_frame

if TYPE_CHECKING:
    import pandas as pd

    from embudo.apps.detection import AnomalyDetector
    from embudo.apps.judgement import Judged


def examine(detector: AnomalyDetector, X: Any, top: int | None) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the scores of samples, and what `AnomalyDetector.explain` tells of their features.

    Returns
    -------
    scores : ndarray of shape (n_samples,)
    reasons : dict of str to ndarray of shape (n_samples, n_top)
        "feature", "share", "value" and "expected", in each row the greatest share first.
    """
    rows = detector._accepted(X, reset=False)
    names = np.asarray(getattr(detector, "feature_names_in_", np.arange(detector.n_features_in_)))
    scores, blocks = [], []
    for judged in detector._judges().judge(rows, encoded=False):
        scores.append(-judged.errors)
        shares, expected = by_feature(detector, judged)
        order = np.argsort(-shares, axis=1, kind="stable")[:, :top]
        values = judged.rows.to_numpy(object) if is_frame(judged.rows) else as_dense(judged.rows)
        blocks.append((names[order], *(np.take_along_axis(array, order, 1) for array in (shares, values, expected))))
    columns = map(np.concatenate, zip(*blocks, strict=True))
    return np.concatenate(scores), dict(zip(("feature", "share", "value", "expected"), columns, strict=True))


def explain(detector: AnomalyDetector, X: Any, top: int | None) -> pd.DataFrame:
    """Return what `AnomalyDetector.explain` describes."""
    import pandas as pd

    scores, reasons = examine(detector, X, top)
    index = X.index if hasattr(X, "iloc") else np.arange(len(scores))
    samples = np.repeat(np.asarray(index), reasons["share"].shape[1])
    return pd.DataFrame({"sample": samples, **{name: array.ravel() for name, array in reasons.items()}})


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
