"""`Part`, the base of every frozen value that an estimator is composed of."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Self

from embudo.errors import InvalidParameter, did_you_mean


@dataclasses.dataclass(frozen=True, repr=False)
class Part:
    """A frozen value with named fields, printed as the text that builds it again.

    Subclasses are frozen dataclasses whose first field may be given by position and whose other
    fields are given by keyword. They check themselves when built, in `validate`.
    """

    def __new__(cls, *args: Any, **fields: Any) -> Self:
        """Return a part to be filled in; a name that is not a field of its kind is refused in a sentence."""
        known = {field.name: field.default for field in dataclasses.fields(cls) if field.init}
        check_names(cls.__name__, fields, known)
        return super().__new__(cls)

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


#: what other libraries call a parameter: its name here
SYNONYMS = {
    "hidden_layer_sizes": "hidden",
    "hidden_neuron_list": "hidden",
    "latent_dim": "n_components",
    "learning_rate": "lr",
    "max_iter": "epochs",
}


class UnknownParameter(InvalidParameter, TypeError):
    """An argument whose name no parameter has."""


def check_names(owner: str, given: Iterable[str], known: Mapping[str, Any]) -> None:
    """Refuse names of arguments that are none of `known`, parameters with the values that they may have.

    Raises
    ------
    UnknownParameter
        It tells which part has a parameter of that name, or of one like it.
    """
    for name in given:
        if name not in known:
            here = SYNONYMS.get(name, name)
            way = within(here, known)
            if way:
                mended = f"write {written(way, known)}, or set {'__'.join(way)}"
                raise UnknownParameter(f"{owner} has no parameter {name!r} of its own: {mended}.")
            guess = f" (did you mean {here!r}?)" if here in known else did_you_mean(name, known)
            raise UnknownParameter(f"{owner} has no parameter {name!r}{guess}; it has {', '.join(known)}.")


def within(name: str, values: Mapping[str, Any]) -> list[str]:
    """Return the way to the parameter `name` of a part, or an estimator, among `values`; empty where there is none."""
    inner = {outer: value.get_params(deep=False) for outer, value in values.items() if hasattr(value, "get_params")}
    ways = [[outer, name] for outer, fields in inner.items() if name in fields]
    ways += [[outer, *way] for outer, fields in inner.items() if (way := within(name, fields))]
    return min(ways, key=lambda way: (len(way), "decoder" in way), default=[])  # a decoder mirrors its encoder


def written(way: list[str], values: Mapping[str, Any]) -> str:
    """Return the argument that sets the parameter at the end of a way: ``training=Training(epochs=...)``."""
    outer, *way = way
    if not way:
        return f"{outer}=..."
    value = values[outer]
    return f"{outer}={type(value).__name__}({written(way, value.get_params(deep=False))})"


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
        check_names(owner, [outer], {key: (defaults or {}).get(key) if v is None else v for key, v in current.items()})
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
