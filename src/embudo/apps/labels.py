"""Labels of which some may be missing."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from embudo.errors import InvalidData

UNLABELLED = -1


def known_labels(y: Any, n_samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which samples have a label, and the labels of those.

    Raises
    ------
    InvalidData
        If none has one, there are not as many as samples, or they are no classes.
    """
    if y is None:
        raise InvalidData("AutoencoderClassifier requires y to be passed, but the target y is None.")
    try:
        labels = column_or_1d(y, warn=True)
        if len(labels) != n_samples:
            raise InvalidData(f"y must have one label for each of the {n_samples} samples of X; got {len(labels)}.")
        if labels.dtype.kind == "f" and not np.isfinite(labels).all():
            what = "NaN" if np.isnan(labels).any() else "infinity"
            raise InvalidData(f"Input y contains {what}: -1 stands for a sample without a label.")
        if labels.dtype.kind == "O":
            known = np.array([x is not None and x == x and x != UNLABELLED for x in labels], dtype=bool)
        else:
            known = labels != UNLABELLED
            if len(np.unique(labels)) == 2:  # -1 beside one other value is a class
                known[:] = True
        labels = np.array(labels[known].tolist()) if labels.dtype.kind == "O" else labels[known]
        if not len(labels):
            raise InvalidData("y holds no label: -1 stands for a sample without one.")
        check_classification_targets(labels)
    except ValueError as error:
        raise InvalidData(str(error)) from None
    return known, labels
