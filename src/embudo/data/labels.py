"""Labels of samples: from a column of a table, a file of their own, or the folders that images lie in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from embudo.data.images import list_images
from embudo.data.readers import read
from embudo.errors import FileFormatError

UNLABELLED = {"unlabelled", "unlabeled"}  #: names, in any case, of folders of images without labels


def read_labels(path: Path) -> np.ndarray:
    """Read one label a sample.

    Parameters
    ----------
    path : Path
        An array file of one dimension, or a table of one column, in which an empty cell or line is no label.

    Returns
    -------
    ndarray of shape (n_samples,)
        As from `as_labels`.

    Raises
    ------
    FileFormatError
        If the file cannot be read, or does not hold labels.
    """
    values = read(path, blank_rows=True)
    shape = values.shape
    if len(shape) == 0 or int(np.prod(shape[1:])) != 1:
        raise FileFormatError(f"'{path}' has shape {shape}: expected one label a sample.")
    return as_labels(values.iloc[:, 0] if hasattr(values, "iloc") else values.reshape(-1), f"'{path}'")


def as_labels(values: Any, source: str) -> np.ndarray:
    """Return labels as an array: of objects with None for those that are missing, else of their own type.

    Whole numbers that are floats only because others beside them are missing become integers.

    Parameters
    ----------
    values : pandas.Series or ndarray of shape (n_samples,)
    source : str
        Where they come from, for the error sentence.

    Raises
    ------
    FileFormatError
        If they are neither numbers nor text.
    """
    import pandas as pd

    column: Any = pd.Series(values)
    if column.dtype.kind != "c":
        column = column.convert_dtypes()
    labels: np.ndarray = column.to_numpy(object, na_value=None)
    known = np.array([label for label in labels if label is not None])
    if known.dtype.kind not in "biufU":
        raise FileFormatError(f"The labels in {source} are of type {known.dtype}: expected numbers or text.")
    return known if len(known) == len(labels) else labels


def folder_labels(folder: Path) -> np.ndarray:
    """Return the name of the folder within `folder` that each image lies in, in the order of `list_images`.

    Images in none, or in one called "unlabelled" or "unlabeled", have None.
    """
    places = [path.relative_to(folder).parts for path in list_images(folder)]
    names = [place[0] if len(place) > 1 and place[0].lower() not in UNLABELLED else None for place in places]
    return np.array(names, dtype=object)
