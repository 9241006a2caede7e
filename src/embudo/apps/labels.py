"""Labels of which some may be missing: which there are, what each class weighs, which are held out."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets

from embudo.errors import InvalidData, InvalidParameter, reason

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


def class_weights(wanted: dict[Any, float] | str | None, classes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return what the samples of each class weigh.

    Raises
    ------
    InvalidParameter
        If `wanted` is not a weight for each class, "balanced" or None.
    """
    try:
        weights: np.ndarray = compute_class_weight(wanted, classes=classes, y=labels)
    except (TypeError, ValueError) as error:
        raise InvalidParameter(
            'AutoencoderClassifier.class_weight must be None, "balanced" or a dict of weights by class: '
            f"{reason(error)}."
        ) from None
    return weights


def split_labelled(classes: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the samples with labels, to learn from and held out, the classes in equal shares where it can be.

    Raises
    ------
    InvalidParameter
        If the fraction leaves nothing to learn from, or nothing to hold out.
    """
    known = np.flatnonzero(classes != UNLABELLED)
    if fraction == 0:
        return known, known[:0]
    counts = np.bincount(classes[known])
    n_held_out = round(fraction * len(known))
    possible = counts.min() >= 2 and len(counts) <= min(n_held_out, len(known) - n_held_out)
    if not 0 < n_held_out < len(known):
        raise InvalidParameter(
            f"Training.validation_fraction={fraction:g} of {len(known)} samples with labels leaves {n_held_out} to "
            f"validate on and {len(known) - n_held_out} to learn from: at least 1 each is needed."
        )
    learnt, held_out = train_test_split(
        known, test_size=n_held_out, random_state=seed, stratify=classes[known] if possible else None
    )
    return np.sort(learnt), np.sort(held_out)
