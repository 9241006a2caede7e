"""What the verbs share of their options: types of values, and how data are read."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from embudo.errors import EmbudoError, InvalidParameter, check_exists, did_you_mean
from embudo.parts.architectures import MLP
from embudo.parts.expression import PARTS, parse
from embudo.parts.optimizers import Adam
from embudo.parts.part import SYNONYMS, within, written

if TYPE_CHECKING:
    from embudo.data.streams import Stream

    ParamType = click.ParamType[Any]
else:
    ParamType = click.ParamType  # not generic in older versions of click


class FileName(click.Path):
    """A path; "-", which elsewhere stands for a stream, is refused, as it would name a file of its own."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path that `value` names."""
        if value == "-":
            raise InvalidParameter("'-' names no file, and embudo reads and writes files, not streams: name one.")
        return super().convert(value, param, ctx)


class InputName(FileName):
    """A path to what is there: it is looked for before anything is loaded."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path that `value` names."""
        path = super().convert(value, param, ctx)
        check_exists(path)
        return path


PATH = FileName(path_type=Path)
INPUT = InputName(path_type=Path)


def output_option(help: str, **options: Any) -> Callable[..., Any]:
    """Return the option that says where results go."""
    return click.option("-o", "--output", **{"type": PATH, "required": True, "help": help, **options})


def labels_option(coloured: str) -> Callable[..., Any]:
    """Return the option that says what `coloured` takes its colours from."""
    return click.option(
        "--labels",
        metavar="NAME|FILE",
        help=f"What {coloured} coloured by: a column of a table or an array of an .npz file by its name, or a file. Of "
        "images in folders, the folders.",
    )


def option_with(name: str, options: Iterable[click.Parameter]) -> str:
    """Return which of `options` other libraries call `name`, or whose part has such a field; "" where none does."""
    field = name.lstrip("-").replace("-", "_")
    field, flags = SYNONYMS.get(field, field), {str(option.name): option.opts[0] for option in options}
    if field in flags:
        return flags[field]
    values = {outer: part for outer, part in {"encoder": MLP(), "optimizer": Adam()}.items() if outer in flags}
    way = within(field, values)
    return f'{flags[way[0]]} "{written(way, values).partition("=")[2]}"' if way else ""


class PartText(ParamType):
    """A part as text, ``L2(1e-4) + L1(1e-3)``, or "none"."""

    name = "part"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the part that `value` describes."""
        if not isinstance(value, str):
            return value
        try:
            return None if value.lower() == "none" else parse(value)
        except InvalidParameter as error:
            self.fail(str(error), param, ctx)


class Scalar(ParamType):
    """A number, a word, or "none"."""

    name = "value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return an int or float where `value` reads as one, None for "none", and else the word."""
        if not isinstance(value, str):
            return value
        for kind in (int, float):
            try:
                return kind(value)
            except ValueError:
                continue
        return None if value.lower() == "none" else value


class Sizes(ParamType):
    """Sizes of codes, such as 1000,500,250,30."""

    name = "sizes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Return the sizes as integers."""
        words = value.split(",") if isinstance(value, str) else value if isinstance(value, list | tuple) else [value]
        sizes = [str(word).strip() for word in words]
        if not all(re.fullmatch(r"0*[1-9]\d*", size) for size in sizes):
            self.fail(f"expected sizes of codes such as 1000,500,250,30; got {value!r}.", param, ctx)
        return tuple(map(int, sizes))


class Assignment(ParamType):
    """A parameter and its value, such as level2__corruption=MaskingNoise(0.5)."""

    name = "assignment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Any]:
        """Return name and value: a number, a truth value, None, a part, or else a word."""
        if isinstance(value, tuple):
            return value
        name, equals, text = str(value).partition("=")
        if not equals or not name.strip().isidentifier():
            self.fail(f"expected NAME=VALUE such as level2__tied=true; got {value!r}.", param, ctx)
        text = text.strip()
        if text.lower() in {"true", "false"}:
            return name.strip(), text.lower() == "true"
        number_or_word = Scalar().convert(text, param, ctx)
        if number_or_word != text or (text.isidentifier() and text not in PARTS):
            return name.strip(), number_or_word
        return name.strip(), PartText().convert(text, param, ctx)


class ClassWeight(ParamType):
    """Weights by class, such as spam=5,ham=1, or "balanced"."""

    name = "weights"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return a dict of weights by the names of classes, "balanced", or None for "none"."""
        if value in ("balanced", "none"):
            return None if value == "none" else value
        try:
            return {
                name.strip(): float(weight) for name, _, weight in (word.rpartition("=") for word in value.split(","))
            }
        except (AttributeError, ValueError):
            self.fail(f'expected "balanced" or weights by class such as spam=5,ham=1; got {value!r}.', param, ctx)


class Word(ParamType):
    """One of a few words, with a guess at a misspelt one."""

    name = "word"

    def __init__(self, choices: Iterable[str]) -> None:
        self.choices = list(choices)

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """Return the choices, for the help page."""
        return f"[{'|'.join(self.choices)}]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return `value`, None for "none", or fail with a guess."""
        if value not in self.choices:
            guess = did_you_mean(value, self.choices)
            self.fail(f"expected one of {', '.join(self.choices)}; got {value!r}{guess}.", param, ctx)
        return None if value == "none" else value


class Size(ParamType):
    """Height x width of an image, such as 32x48."""

    name = "HxW"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Return (height, width)."""
        match = re.fullmatch(r"(\d{1,5})[x×,](\d{1,5})", str(value))
        if match is None or "0" in match.groups():
            self.fail(f"expected height x width such as 32x32; got {value!r}.", param, ctx)
        return int(match[1]), int(match[2])


image_shape_option = click.option(
    "--image-shape", type=Size(), help="Height x width in which the features of a row are pixels."
)


def field_options(
    defaults: Any, types: dict[str, ParamType | bool]
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds an option for each field of a dataclass, described by its docstring.

    Parameters
    ----------
    defaults : Part
        What the options are without a value; its class is documented in numpydoc form.
    types : dict
        Types of the fields that are not scalars; False for a field that is not wanted.
    """
    text = inspect.cleandoc(type(defaults).__doc__ or "")
    fields = [field for field in dataclasses.fields(defaults) if types.get(field.name) is not False]

    def decorate(verb: Callable[..., Any]) -> Callable[..., Any]:
        for field in reversed(fields):
            default = getattr(defaults, field.name)
            is_flag = isinstance(default, bool)
            # "name : type", and below it, indented, what it means
            described = re.search(rf"^{field.name} : .*\n((?:    .*\n)+)", text, re.MULTILINE)
            verb = click.option(
                f"--{field.name.replace('_', '-')}",
                type=None if is_flag else types.get(field.name, Scalar()),
                is_flag=is_flag,
                default=default,
                show_default=default is not None and not is_flag,
                help=" ".join(described[1].split()) if described else None,
            )(verb)
        return verb

    return decorate


@dataclasses.dataclass(frozen=True)
class DataSource:
    """How the data files of a command are read."""

    key: str | None
    drop: tuple[str, ...]
    image_size: tuple[int, int] | None
    image_color: str | None

    def read(self, path: Path, sample_shape: tuple[int, ...] | None = None) -> Any:
        """Read `path`; images are brought to `sample_shape`, that of a model, unless the options say otherwise."""
        from embudo.data.readers import read

        size, color = self._of_images(sample_shape)
        return read(path, key=self.key, drop=self.drop, image_size=size, image_color=color)

    def open(self, path: Path, sample_shape: tuple[int, ...] | None = None) -> Any:
        """Return what `read` does, or a stream of data that are larger than a window of one.

        Zarr arrays and folders of Parquet files are read too.
        """
        found = self.stream(path, sample_shape)
        return self.read(path, sample_shape) if found is None else found.load() if found.fits else found

    def stream(self, path: Path, sample_shape: tuple[int, ...] | None = None) -> Stream | None:
        """Return a stream of data that are larger than a window of one, or that `read` does not know; else None."""
        from embudo.data import streams
        from embudo.data.sources import is_data_folder, stream

        small_text = path.suffix.lower() in {".csv", ".tsv"} and path.is_file() and path.stat().st_size < streams.WINDOW
        if small_text or self.key is not None:
            return None
        readable, (size, color) = not is_data_folder(path), self._of_images(sample_shape)
        try:
            found = stream(path, window=streams.WINDOW, drop=self.drop, image_size=size, image_color=color)
        except EmbudoError:
            if not readable:
                raise
            return None  # `read` knows more kinds, and says better what is wrong with a file
        return None if found.fits and readable else found

    def tables(self, paths: Sequence[Path]) -> Any:
        """Return a stream of several Parquet files, or folders of them."""
        from embudo.data import streams
        from embudo.data.parquet import tables

        for option, value in {
            "--key": self.key,
            "--image-size": self.image_size,
            "--image-color": self.image_color,
        }.items():
            if value is not None:
                raise InvalidParameter(f"{option} does not go with Parquet files: omit it.")
        return tables(paths, streams.WINDOW, self.drop)

    def _of_images(self, sample_shape: tuple[int, ...] | None) -> tuple[tuple[int, int] | None, str]:
        """Return size and colour that images are brought to."""
        size, color = self.image_size, self.image_color
        if sample_shape is not None and len(sample_shape) == 3:
            size = size or (sample_shape[0], sample_shape[1])
            color = color or ("grey" if sample_shape[2] == 1 else "rgb")
        return size, color or "auto"


def data_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how data are read; the verb is given them as one `DataSource`, ``source``."""

    @click.option("--key", metavar="NAME", help="Array of an .npz file, where it holds several.")
    @click.option("--drop", metavar="COLUMN", multiple=True, help="Leave out this column of a table; repeatable.")
    @click.option("--image-size", type=Size(), help="Bring images to this height x width.")
    @click.option("--image-color", type=Word(["auto", "grey", "rgb"]), help="Read images in this colour.")
    @functools.wraps(verb)
    def wrapper(
        key: str | None,
        drop: tuple[str, ...],
        image_size: tuple[int, int] | None,
        image_color: str | None,
        **options: Any,
    ) -> Any:
        return verb(source=DataSource(key, drop, image_size, image_color), **options)

    return wrapper
