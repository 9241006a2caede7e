"""Tables of numbers and categories, of which some may be missing, as arrays that a network can learn from."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Self

import numpy as np

from embudo.data.arrays import check_finite, is_numeric
from embudo.data.scaling import fit_scaler, usable
from embudo.data.streams import Stream
from embudo.errors import FileFormatError, InvalidData, did_you_mean

MOST_CATEGORIES = 100  #: of a column that are told apart, the most frequent ones; all others are one
RARE = 1e-3  #: share of the rows below which a category weighs no more for being rarer
DISTINCT = 20  #: rows from which on a column of text that never repeats is taken for names of the rows


def is_frame(X: Any) -> bool:
    """Tell whether X is a frame of pandas or polars."""
    pandas, polars = sys.modules.get("pandas"), sys.modules.get("polars")
    return (pandas is not None and isinstance(X, pandas.DataFrame)) or (
        polars is not None and isinstance(X, polars.DataFrame)
    )


def as_frame(X: Any) -> Any:
    """Return a frame of pandas or polars as one of pandas.

    Raises
    ------
    InvalidData
        If two columns have one name.
    """
    import pandas as pd

    if not isinstance(X, pd.DataFrame):
        return pd.DataFrame({name: X[name].to_numpy() for name in X.columns})
    twice = X.columns[X.columns.duplicated()]
    if len(twice):
        raise InvalidData(f"X has more than one column named {twice[0]!r}: rename them.")
    return X


def has_categories(frame: Any) -> bool:
    """Tell whether some column of a pandas frame does not hold numbers."""
    return not all(is_numeric(column) for _, column in frame.items())


def columns_of(X: Any) -> Iterable[tuple[Any, Any]]:
    """Yield name, or position, and values of each column of a pandas frame or an array."""
    return X.items() if hasattr(X, "items") else enumerate(X.T)


@dataclasses.dataclass(frozen=True)
class Column:
    """What was learnt of a column.

    Attributes
    ----------
    name : str
    mean, scale : float
        Of numbers.
    missing : bool
        Whether values were missing.
    categories : tuple of str, or None for numbers
    shares : tuple of float
        Of the rows, for each category.
    """

    name: str
    mean: float = 0.0
    scale: float = 1.0
    missing: bool = False
    categories: tuple[str, ...] | None = None
    shares: tuple[float, ...] = ()

    @property
    def width(self) -> int:
        """Columns that it becomes, without that which tells whether a value is missing."""
        return 1 if self.categories is None else len(self.categories) + 1

    @property
    def weight(self) -> float:
        """What each of these counts, for all together to count as much as a number."""
        return 1.0 if self.categories is None else 1 / max(1, len(self.categories) - 1)

    def encode(self, values: Any) -> np.ndarray:
        """Return values as an array of shape (n_rows, width), with NaN where they are missing."""
        if self.categories is None:
            return ((_numbers(self.name, values) - self.mean) / self.scale)[:, None]
        import pandas as pd

        words = _words(self.name, values)
        codes = pd.Index(self.categories).get_indexer(pd.Index(words))  # -1, the last one, where it was not seen
        shares = np.array([*self.shares, 0.0])
        encoded: np.ndarray = (np.eye(self.width)[codes] - shares) * np.sqrt(self.weight / np.maximum(shares, RARE))
        encoded[pd.isna(words)] = np.nan
        return encoded

    def decode(self, encoded: np.ndarray) -> np.ndarray:
        """Return numbers, or the category with the greatest share, of an array of shape (n_rows, width)."""
        if self.categories is None:
            return encoded[:, 0] * self.scale + self.mean
        shares = np.array(self.shares)
        restored = encoded[:, :-1] * np.sqrt(np.maximum(shares, RARE) / self.weight) + shares
        categories: np.ndarray = np.array(self.categories, dtype=object)[restored.argmax(axis=1)]
        return categories


@dataclasses.dataclass(frozen=True)
class TableEncoder:
    """Columns of numbers and categories as columns that all count the same.

    Numbers are brought to mean 0 and variance 1. A category becomes a column for each value, and one for values that
    were not seen, divided by the root of its share, as in correspondence analysis, such that rare ones lie far off;
    all together have the variance of a number. Missing values are NaN; a column for each column that had any tells
    where.
    """

    columns: tuple[Column, ...]

    @classmethod
    def fit(cls, X: Any) -> Self:
        """Learn from a pandas frame, or an array or a stream with NaN, of shape (n_rows, n_columns).

        Raises
        ------
        InvalidData
            If a column holds no value, dates, or another text in each row.
        """
        if isinstance(X, Stream):
            return cls(tuple(_learn_streamed(X)))
        return cls(tuple(_learn(str(name), values) for name, values in columns_of(X)))

    def encode(self, X: Any) -> np.ndarray:
        """Return rows as an array of shape (n_rows, n_encoded), with NaN where values are missing."""
        blocks = []
        for column, (_, values) in zip(self.columns, columns_of(X), strict=True):
            block = column.encode(values)
            blocks.append(block)
            if column.missing:
                blocks.append(np.isnan(block[:, :1]).astype(np.float64))
        return np.concatenate(blocks, axis=1)

    def decode(self, encoded: np.ndarray) -> list[np.ndarray]:
        """Return, for each column, the values that encoded rows stand for."""
        return [column.decode(encoded[:, where]) for column, where in zip(self.columns, self.places, strict=True)]

    @property
    def places(self) -> list[slice]:
        """Where the values of each column are encoded."""
        places, start = [], 0
        for column in self.columns:
            places.append(slice(start, start + column.width))
            start += column.width + column.missing
        return places

    @property
    def n_encoded(self) -> int:
        """Columns of an encoded table."""
        return sum(column.width + column.missing for column in self.columns)

    @property
    def weights(self) -> np.ndarray:
        """What each encoded column counts; 0 for those that tell what is missing."""
        weights = np.zeros(self.n_encoded)
        for column, where in zip(self.columns, self.places, strict=True):
            weights[where] = column.weight
        return weights

    @property
    def has_categories(self) -> bool:
        """Whether some column is not of numbers."""
        return any(column.categories is not None for column in self.columns)

    def to_card(self) -> list[dict[str, Any]]:
        """Return what JSON can hold."""
        return [dataclasses.asdict(column) for column in self.columns]

    @classmethod
    def from_card(cls, card: Any) -> Self:
        """Return what `to_card` wrote, checked.

        Raises
        ------
        FileFormatError
            If it is not that.
        """
        columns = []
        for fields in card:
            categories, shares = fields["categories"], tuple(map(float, fields["shares"]))
            mean, scale = float(fields["mean"]), float(fields["scale"])
            if not (np.isfinite([mean, scale, *shares]).all() and scale > 0):
                raise FileFormatError("A column of its table is not scaled by finite numbers.")
            if categories is not None and not (len(categories) == len(shares) > 0 and all(map(_is_text, categories))):
                raise FileFormatError("A column of its table does not have a share for each category.")
            kinds = None if categories is None else tuple(categories)
            columns.append(Column(str(fields["name"]), mean, scale, bool(fields["missing"]), kinds, shares))
        return cls(tuple(columns))


def same_columns(frame: Any, names: Iterable[str]) -> Any:
    """Return the columns of a frame by their names, in the order of `names`; others are left out.

    Raises
    ------
    InvalidData
        If one is missing.
    """
    for name in names:
        if name not in frame.columns:
            raise InvalidData(f"The table has no column {name!r}{did_you_mean(name, map(str, frame.columns))}.")
    return frame[list(names)]


def _learn(name: str, values: Any) -> Column:
    if getattr(values.dtype, "kind", "O") in "mM":
        raise InvalidData(f"Column {name!r} holds dates or times: make numbers of them, or drop it.")
    if isinstance(values, np.ndarray) or is_numeric(values):
        numbers = _numbers(name, values)
        known = numbers[~np.isnan(numbers)]
        if not len(known):
            raise _empty(name)
        scaler = fit_scaler("standard", known[:, None])
        mean, scale = (float(array[0]) for array in (scaler.offset, scaler.scale) if array is not None)
        return Column(name, mean, scale, missing=len(known) < len(numbers))
    import pandas as pd

    words = pd.Series(_words(name, values))
    shares = words.value_counts(normalize=True, sort=False).sort_values(ascending=False, kind="stable")
    n_known = int(words.notna().sum())
    if n_known >= DISTINCT and len(shares) == n_known:
        raise InvalidData(f"Column {name!r} holds another text in each row, from which nothing can be learnt: drop it.")
    shares = shares.iloc[:MOST_CATEGORIES]
    return Column(
        name,
        missing=n_known < len(words),
        categories=tuple(map(str, shares.index)),
        shares=tuple(map(float, shares)),
    )


def _learn_streamed(X: Stream) -> Iterator[Column]:
    """Yield what was learnt of each column of numbers of a stream, from the pass that surveyed it."""
    moments = X.survey(allow_nan=True)
    size = np.minimum(moments.deviation, moments.high - moments.low)  # the deviation of great numbers is infinite
    scale = usable(size, moments.low, moments.high)
    for i, n_known in enumerate(moments.n_known):
        name = str(i if X.names is None else X.names[i])
        if not n_known:
            raise _empty(name)
        yield Column(name, float(moments.mean[i]), float(scale[i]), missing=bool(n_known < moments.n_samples))


def _empty(name: str) -> InvalidData:
    return InvalidData(f"Column {name!r} holds no value in any row: drop it.")


def _numbers(name: str, values: Any) -> np.ndarray:
    """Return a column as float64, NaN where values are missing.

    Raises
    ------
    InvalidData
        If it does not hold numbers, or holds infinity or what is too great to be squared.
    """
    if not isinstance(values, np.ndarray):
        if not is_numeric(values):
            raise InvalidData(f"Column {name!r} held numbers when the model was fitted, and now holds {values.dtype}.")
        values = values.to_numpy(**({"na_value": np.nan} if hasattr(values.dtype, "na_value") else {}))
    numbers: np.ndarray = values.astype(np.float64)
    check_finite(numbers[:, None], [name], allow_nan=True)
    return numbers


def _words(name: str, values: Any) -> np.ndarray:
    """Return a column as an array of text, None where a value is missing; whole numbers without their ".0".

    Raises
    ------
    InvalidData
        If it holds several values in a row.
    """
    words: np.ndarray = values.astype(object).to_numpy(copy=True)
    missing = values.isna().to_numpy()
    for row, word in enumerate(words):
        if isinstance(word, list | tuple | dict | set | np.ndarray):
            raise InvalidData(
                f"Column {name!r} holds a {type(word).__name__} in row {row}: make columns of its values, or drop it."
            )
    words[~missing] = [
        str(int(word)) if isinstance(word, float) and word.is_integer() else str(word) for word in words[~missing]
    ]
    words[missing] = None
    return words


def _is_text(value: Any) -> bool:
    """Tell whether a value is text that UTF-8 can hold."""
    return isinstance(value, str) and value.encode("utf-8", "replace").decode() == value
