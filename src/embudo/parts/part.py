"""`Part`, the base of every frozen value that an estimator is composed of."""

from __future__ import annotations

import dataclasses
from typing import Any, Self

from embudo.errors import InvalidParameter, did_you_mean


@dataclasses.dataclass(frozen=True, repr=False)
class Part:
    """A frozen value with named fields, printed as the text that builds it again.

    Subclasses are frozen dataclasses whose first field may be given by position and whose other
    fields are given by keyword. They check themselves when built, in `validate`.
    """

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, plain(getattr(self, field.name)))
        self.validate()

    def validate(self) -> None:
        """Raise `InvalidParameter` if a field holds what is not allowed."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the fields by name; with `deep`, also the fields of parts within, as ``outer__inner``."""
        params = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return nested_params(params) if deep else params

    def with_params(self, **params: Any) -> Self:
        """Return a part in which the named fields, nested ones as ``outer__inner``, are replaced.

        Raises
        ------
        InvalidParameter
            If a name is unknown or a value is not allowed.
        """
        return dataclasses.replace(self, **replaced(type(self).__name__, self.get_params(deep=False), params))

    def __sklearn_clone__(self) -> Self:
        return self

    @property
    def terms(self) -> dict[str, Any]:
        """The parts that this one is made of, by kind; a part that is no combination is made of itself."""
        return {type(self).__name__.lower(): self}

    def __repr__(self) -> str:
        first, *others = dataclasses.fields(self)
        words = [repr(getattr(self, first.name))] if getattr(self, first.name) != first.default else []
        words += [
            f"{field.name}={getattr(self, field.name)!r}"
            for field in others
            if getattr(self, field.name) != field.default
        ]
        return f"{type(self).__name__}({', '.join(words)})"


def plain(value: Any) -> Any:
    """Return NumPy's scalars, which print as calls, as Python's, and lists and arrays as tuples; in dicts too."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {plain(key): plain(inner) for key, inner in value.items()}
    return tuple(map(plain, value)) if isinstance(value, list | tuple) else value


@dataclasses.dataclass(frozen=True, repr=False)
class Combination(Part):
    """Parts of different kinds, joined by ``+``; their parameters are keyed by kind, as in ``l1__weight``."""

    addends: tuple[Any, ...]

    def validate(self) -> None:
        """Raise `InvalidParameter` if two addends are of one kind."""
        kinds = [type(addend).__name__ for addend in self.addends]
        for kind in kinds:
            if kinds.count(kind) > 1:
                raise InvalidParameter(f"{self!r} holds {kind} twice: give it once.")

    @property
    def terms(self) -> dict[str, Any]:
        """The addends by kind."""
        return {kind: term for addend in self.addends for kind, term in addend.terms.items()}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the addends by kind; with `deep`, also their fields, as ``kind__field``."""
        return nested_params(self.terms) if deep else dict(self.terms)

    def with_params(self, **params: Any) -> Self:
        """Return a combination in which the named addends or their fields, ``kind__field``, are replaced."""
        terms = self.terms | replaced(repr(self), self.terms, params)
        return type(self)(tuple(terms.values()))

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.addends))


def nested_params(params: dict[str, Any]) -> dict[str, Any]:
    """Return `params` with the fields of every part among its values added as ``outer__inner``."""
    inner = {
        f"{name}__{key}": value
        for name, part in params.items()
        if isinstance(part, Part)
        for key, value in part.get_params().items()
    }
    return params | inner


def replaced(
    owner: str, current: dict[str, Any], params: dict[str, Any], defaults: dict[str, Part] | None = None
) -> dict[str, Any]:
    """Resolve ``outer__inner`` names: return new values of `current`, with parts replaced, never changed.

    Parameters
    ----------
    owner : str
        Whose parameters these are, for the error sentence.
    current : dict
        The values now, by name.
    params : dict
        New values by name or nested name.
    defaults : dict, optional
        What stands for a value that is None when a field within it is set.

    Raises
    ------
    InvalidParameter
        If a name is unknown, or a nested name points into something that has no parameters.
    """
    whole: dict[str, Any] = {}
    within: dict[str, dict[str, Any]] = {}
    for name, value in params.items():
        outer, _, inner = name.partition("__")
        if outer not in current:
            guess = did_you_mean(outer, current)
            raise InvalidParameter(f"{owner} has no parameter {outer!r}{guess}; it has {', '.join(current)}.")
        if inner:
            within.setdefault(outer, {})[inner] = value
        else:
            whole[outer] = value
    for outer, fields in within.items():
        part = whole.get(outer, current[outer])
        if part is None and defaults:
            part = defaults.get(outer)
        if not isinstance(part, Part):
            raise InvalidParameter(
                f"{outer}__{next(iter(fields))} cannot be set while {owner}.{outer} is {part!r}: set {outer} first."
            )
        whole[outer] = part.with_params(**fields)
    return whole
