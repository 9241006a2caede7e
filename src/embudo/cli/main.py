"""The command ``embudo``: the verbs, and the one sentence that an error becomes.

Neither this module nor those of the verbs import torch, scikit-learn, pandas or NumPy before a verb runs.
"""

from __future__ import annotations

import contextlib
import io
import shlex
import signal
import sys
import warnings
from collections.abc import Iterator
from importlib import import_module
from typing import Any, NoReturn

import click

import embudo
from embudo.cli.options import option_with
from embudo.cli.processes import among_others, first_to_fail
from embudo.errors import EmbudoError, InvalidParameter, TextColumns, did_you_mean, printable, reason

VERBS = (
    "demo",
    "compress",
    "decompress",
    "train-codec",
    "denoise",
    "train",
    "encode",
    "decode",
    "reconstruct",
    "info",
    "diagnose",
    "report",
    "map",
    "explore",
    "classify",
    "detect",
    "export",
)


class Verbs(click.Group):
    """The verbs, each in a module of its own, imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the verbs, in the order of a first use."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Return the verb `name`."""
        if name not in VERBS:
            return None
        module = name.replace("-", "_")
        command: click.Command = getattr(import_module(f"embudo.cli.{module}"), module)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the verb that `args` begin with, or fail with a guess."""
        if args[0] not in VERBS and not args[0].startswith("-"):
            ctx.fail(f"No such verb '{args[0]}'{did_you_mean(args[0], VERBS)}.")
        return super().resolve_command(ctx, args)


@click.command(cls=Verbs, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(embudo.__version__, message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, envvar="EMBUDO_DEBUG", help="Show where an error came from.")
@click.pass_context
def commands(ctx: click.Context, debug: bool) -> None:
    """Autoencoders: compress and denoise images, train models, encode and decode with them.

    Begin with "embudo demo". "embudo VERB --help" tells all about a verb.
    """
    ctx.obj["debug"] = debug
    warnings.showwarning = _say_warning
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main(args: list[str] | None = None) -> NoReturn:
    """Run the command line and exit.

    The status is 0 when done, 1 for a failed job, 2 for wrong use, 130 for Ctrl-C, 143 for SIGTERM.
    """
    options: dict[str, Any] = {"debug": False, "arguments": sys.argv[1:] if args is None else args}
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # the name of a file may be no text
    try:
        with warnings.catch_warnings(), ended_by_sigterm(), among_others():  # the first puts showwarning back
            status = commands.main(args, prog_name="embudo", standalone_mode=False, obj=options)
    except Exception as error:
        if options["debug"] and not isinstance(error, click.Abort | click.ClickException):
            raise
        status, sentence = explain(error)
        speaks, status = first_to_fail(error, status)
        if speaks:
            click.echo(sentence, err=True)
    sys.exit(status)


@contextlib.contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the work as an error does: files that are half written go, other processes end too."""

    def leave(number: int, frame: Any) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def explain(error: Exception) -> tuple[int, str]:
    """Return the exit status and the one line that tell of `error`; an error without one is raised again."""
    match error:
        case click.Abort():
            return 130, "Interrupted."
        case click.NoSuchOption() if error.ctx and (mended := option_with(error.option_name, error.ctx.command.params)):
            return error.exit_code, f"Error: No such option '{error.option_name}': write {mended}."
        case click.ClickException():
            command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else None
            hint = f" ('{command} --help' tells more.)" if command else ""
            return error.exit_code, f"Error: {' '.join(error.format_message().split())}{hint}"
        case InvalidParameter():
            return 2, f"Error: {_one_line(error)}"
        case MemoryError():
            return 1, f"Error: Out of memory: {reason(error)}."
        case OSError() if error.strerror:
            where = f"'{error.filename}': " if error.filename else ""
            return 1, f"Error: {where}{error.strerror}."
        case TextColumns():
            columns = " ".join(f"--drop {shlex.quote(name)}" for name in error.names)
            return 1, f"Error: {_one_line(error)} ({printable(columns)} drops them.)"
        case EmbudoError():
            return 1, f"Error: {_one_line(error)}"
        case ValueError() | OSError():
            return 1, f"Error: {reason(error)}."
    raise error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).splitlines())


def _say_warning(message: Any, category: Any, filename: Any, lineno: Any, file: Any = None, line: Any = None) -> None:
    click.echo(f"Warning: {str(message).splitlines()[0]}", err=True)
