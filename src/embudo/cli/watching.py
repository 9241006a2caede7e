"""``--watch``: a training in the browser, for every verb that trains."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import click

from embudo.cli.processes import leads

#: from the title of a page to the context whose trainings it shows
Watched = Callable[[str], AbstractContextManager[Any]]


port_option = click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Of this machine.  [default: one that is free]"
)
browser_option = click.option(
    "--browser/--no-browser", default=True, show_default=True, help="Whether a browser is opened."
)


def watch_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that show a training in the browser; the verb is given them as one function, ``watched``."""

    @click.option("--watch", is_flag=True, help="Show losses and reconstructed samples in a browser, as they come.")
    @port_option
    @browser_option
    @functools.wraps(verb)
    def decorated(watch: bool, port: int, browser: bool, **options: Any) -> Any:
        def watched(title: str) -> AbstractContextManager[Any]:
            if not watch or not leads():
                return nullcontext()
            from embudo.report.explorer.server import watched as shown

            return shown(title, port=port, browser=browser, say=functools.partial(click.echo, err=True))

        return verb(watched=watched, **options)

    return decorated
