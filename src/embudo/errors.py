"""Errors, warnings, and the checks that turn a bad value into one sentence.

Every sentence names the parameter, what came and what is allowed; a misspelt name gets a guess.
"""

from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Iterable
from pathlib import Path
from typing import Any


class EmbudoError(Exception):
    """Base of all errors that embudo raises on purpose."""


class InvalidParameter(EmbudoError, ValueError):
    """A constructor value, option or text form that is not allowed."""


class InvalidData(EmbudoError, ValueError):
    """Data that cannot be learnt from or passed through a model."""


class TextColumns(InvalidData):
    """Columns of a table that do not hold numbers, where numbers are expected.

    Parameters
    ----------
    names : list of str
        Of the columns.
    """

    def __init__(self, names: list[str]) -> None:
        self.names = names
        shown = ", ".join(map(repr, names[:8])) + (" ..." if len(names) > 8 else "")
        super().__init__(
            f"X has columns that are not numeric: {shown}; drop them or encode them as numbers first "
            "(for example with sklearn.preprocessing.OneHotEncoder)."
        )

    def __reduce__(self) -> tuple[type[TextColumns], tuple[list[str]]]:
        return type(self), (self.names,)


class FileFormatError(EmbudoError, ValueError):
    """A file that is unreadable, truncated, of the wrong kind, or not writable."""


class MissingDependency(EmbudoError, ImportError):
    """An optional library that is not installed."""


class TrainingDiverged(EmbudoError, ArithmeticError):
    """A loss stopped being finite; the estimator keeps the last good weights."""


class WorkersFailed(EmbudoError, RuntimeError):
    """Processes of a cluster that did not do what they were given."""


class ExportDiffers(EmbudoError, ArithmeticError):
    """An exported graph that does not compute what the model does; it is not written."""


class ProcessLost(EmbudoError, RuntimeError):
    """Another of the processes that learn together has ended."""


class TrainingInterrupted(UserWarning):
    """Training was stopped by Ctrl-C; the model keeps what it had learnt."""


#: what Python and torch raise where a file holds what nobody wrote
UNREADABLE = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the sentence end that guesses at a near miss, or an empty string.

    Examples
    --------
    >>> did_you_mean("rellu", ["relu", "tanh"])
    " (did you mean 'relu'?)"
    """
    near = difflib.get_close_matches(str(word), list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def printable(text: str) -> str:
    r"""Return `text` with escapes for what would command a terminal: a file may hold it.

    Examples
    --------
    >>> printable("\x1b[31mred")
    '\\x1b[31mred'
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def reason(error: BaseException) -> str:
    r"""Return what another library's error says as the end of a sentence: one short line, without a full stop.

    Examples
    --------
    >>> reason(ValueError("too long:\n  3 > 2."))
    'too long: 3 > 2'
    """
    words = f"{error} is missing" if isinstance(error, KeyError) else " ".join(str(error).split()).rstrip(".")
    words = printable(words)
    return (words if len(words) <= 200 else words[:200].rstrip(". ")) or type(error).__name__


def check_exists(path: Path) -> None:
    """Refuse the name of a file or folder that is not there.

    Raises
    ------
    FileFormatError
    """
    if not path.exists():
        near = did_you_mean(path.name, [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else [])
        raise FileFormatError(f"No such file or folder: '{path}'{near}.")


def check_choice(name: str, value: Any, allowed: Iterable[Any]) -> None:
    """Refuse a value that is not one of `allowed`.

    Raises
    ------
    InvalidParameter
    """
    choices = list(allowed)
    if not any(value is choice or (isinstance(value, str) and value == choice) for choice in choices):
        words = [choice for choice in choices if isinstance(choice, str)]
        guess = did_you_mean(value, words) if isinstance(value, str) else ""
        raise InvalidParameter(f"{name} must be one of {', '.join(map(repr, choices))}; got {value!r}{guess}.")


def check_number(
    name: str,
    value: Any,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    open_low: bool = False,
    open_high: bool = False,
    integer: bool = False,
) -> None:
    """Refuse a value that is not a finite number inside the bounds.

    Raises
    ------
    InvalidParameter
    """
    kind = numbers.Integral if integer else numbers.Real  # NumPy's scalars are both
    good = isinstance(value, kind) and not isinstance(value, bool) and math.isfinite(value)
    if good:
        good = (low < value or (value == low and not open_low)) and (value < high or (value == high and not open_high))
    if not good:
        noun = "an integer" if integer else "a number"
        bounds = []
        if low > -math.inf:
            bounds.append(f"{'greater than' if open_low else 'at least'} {low:g}")
        if high < math.inf:
            bounds.append(f"{'less than' if open_high else 'at most'} {high:g}")
        allowed = " ".join([noun, " and ".join(bounds)]).strip()
        raise InvalidParameter(f"{name} must be {allowed}; got {value!r}.")
