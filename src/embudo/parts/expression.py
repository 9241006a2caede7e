"""Text to parts and back: ``"L2(0.1) + L1(1e-4)"``.

The printed form of a part is the text that builds it again; this module reads it, by Python's own
grammar over a closed table of names. Nothing is ever evaluated.
"""

from __future__ import annotations

import ast
import dataclasses
from typing import Any

from embudo.errors import InvalidParameter, did_you_mean
from embudo.parts.architectures import MLP, ConvNet
from embudo.parts.corruptions import GaussianNoise, MaskingNoise, SaltAndPepper
from embudo.parts.optimizers import SGD, Adam
from embudo.parts.part import Part
from embudo.parts.penalties import L1, L2, Contractive, KLSparsity, Neighbours
from embudo.parts.sparsities import BatchTopK, JumpReLU, TopK
from embudo.parts.training import Training

PARTS: dict[str, type[Part]] = {
    part.__name__: part
    for part in (
        *(MLP, ConvNet, Training, Adam, SGD),
        *(GaussianNoise, MaskingNoise, SaltAndPepper),
        *(TopK, BatchTopK, JumpReLU),
        *(KLSparsity, L1, L2, Contractive, Neighbours),
    )
}

LONGEST_TEXT = 10_000


def parse(text: str) -> Any:
    """Return the value that `text` describes: a part, a sum of parts, or a plain Python literal.

    Raises
    ------
    InvalidParameter
        If the text is not such a description; the sentence says where and guesses at near misses.

    Examples
    --------
    >>> parse("L2(0.1) + L1(1e-4)")
    L2(0.1) + L1(0.0001)
    >>> parse("MLP([512, 256], activation='tanh')")
    MLP((512, 256), activation='tanh')
    """
    if len(text) > LONGEST_TEXT:
        raise InvalidParameter(f"A description of parts has at most {LONGEST_TEXT} characters; got {len(text)}.")
    try:
        return _value(ast.parse(text.strip(), mode="eval").body, text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        if isinstance(error, InvalidParameter):
            raise
        raise InvalidParameter(f"Cannot read {_shown(text)}: expected a description such as 'L2(1e-4)'.") from None


def _value(node: ast.expr, text: str) -> Any:
    match node:
        case ast.Constant(value=None | bool() | int() | float() | str() as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            return tuple(_value(element, text) for element in elements)
        case ast.Dict(keys=keys, values=values) if all(isinstance(key, ast.Constant | ast.UnaryOp) for key in keys):
            return {_value(key, text): _value(value, text) for key, value in zip(keys, values, strict=True) if key}
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            terms = _value(left, text), _value(right, text)
            try:
                return terms[0] + terms[1]
            except TypeError:
                raise InvalidParameter(f"Cannot add {terms[0]!r} and {terms[1]!r} in {_shown(text)}.") from None
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords):
            return _build(name, [_value(arg, text) for arg in args], keywords, text)
        case ast.Name(id=name) if name in PARTS:
            return _build(name, [], [], text)
        case ast.Name(id=name):
            raise InvalidParameter(f"Unknown name {name!r} in {_shown(text)}{did_you_mean(name, PARTS)}.")
    raise InvalidParameter(
        f"Cannot read {ast.unparse(node)!r} in {_shown(text)}: only parts, numbers, strings, tuples and dicts."
    )


def _build(name: str, args: list[Any], keywords: list[ast.keyword], text: str) -> Part:
    if name not in PARTS:
        raise InvalidParameter(
            f"Unknown part {name!r} in {_shown(text)}{did_you_mean(name, PARTS)}; known are {', '.join(PARTS)}."
        )
    kind = PARTS[name]
    fields = dataclasses.fields(kind)
    if len(args) > 1:
        raise InvalidParameter(
            f"{name} takes one argument by position, {fields[0].name!r}, and the others by name; got {len(args)}."
        )
    given = {fields[0].name: args[0]} if args else {}
    for keyword in keywords:
        if keyword.arg is None or keyword.arg not in {field.name for field in fields}:
            guess = did_you_mean(keyword.arg or "", [field.name for field in fields])
            raise InvalidParameter(f"{name} has no parameter {keyword.arg!r}{guess}.")
        if keyword.arg in given:
            raise InvalidParameter(f"{name} is given {keyword.arg!r} twice in {_shown(text)}.")
        given[keyword.arg] = _value(keyword.value, text)
    missing = [f.name for f in fields if f.name not in given and f.default is dataclasses.MISSING]
    if missing:
        raise InvalidParameter(f"{name} needs {missing[0]!r}, as in '{name}({missing[0]}=...)'.")
    return kind(**given)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
