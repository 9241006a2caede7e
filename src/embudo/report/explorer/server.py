"""The server of the explorer: one page, for the browser of this machine alone.

It answers where Host is this machine, and Origin, where there is one, the page itself: other sites that the browser
visits can neither ask nor be mistaken for it.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import webbrowser
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import embudo
from embudo.engine.progress import heard_by
from embudo.errors import EmbudoError, InvalidParameter, MissingDependency, reason
from embudo.report.explorer.subject import Subject
from embudo.report.explorer.watching import Watch
from embudo.report.templates import template

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

ADDRESS = "127.0.0.1"
HOSTS = {"127.0.0.1", "localhost", "[::1]"}  #: names of this machine, as a browser on it says them
MOST_BYTES = 32 * 2**20  #: of a request
SCRIPTS = ("scatter.js", "explorer.js", "codes.js", "photographs.js", "watch.js")
POLICY = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; "
    "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


def application(subject: Subject) -> Starlette:
    """Return the application that shows `subject`.

    Raises
    ------
    MissingDependency
        If Starlette is not installed.
    """
    try:
        from starlette.applications import Starlette
        from starlette.exceptions import HTTPException
        from starlette.middleware import Middleware
        from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
        from starlette.routing import Route
    except ImportError:
        raise _missing() from None

    worker = ThreadPoolExecutor(1)  # torch is called from one thread
    page = template(f"explorer/{subject.template}")
    html = page.render(title=subject.title, summary=subject.summary, facts=subject.facts, version=embudo.__version__)
    scripts = {name: _script(name) for name in SCRIPTS}

    async def show(request: Request) -> Response:
        return HTMLResponse(html)

    async def script(request: Request) -> Response:
        text = scripts.get(request.path_params["name"])
        if text is None:
            raise HTTPException(404, "There is no such page.")
        return Response(text, media_type="text/javascript")

    async def ask(request: Request) -> Response:
        call = subject.calls.get(request.path_params["call"])
        if call is None:
            raise HTTPException(404, "There is no such page.")
        body = await _body(request)
        answer = await asyncio.get_running_loop().run_in_executor(worker, call, dict(request.query_params), body)
        if isinstance(answer, dict):
            return JSONResponse(answer)
        return Response(answer.astype("<f4").tobytes(), media_type="application/octet-stream")

    async def tell(request: Request) -> Response:
        return StreamingResponse(_as_events(subject), media_type="text/event-stream")

    async def refuse(request: Request, error: Exception) -> Response:
        status, sentence = explain(error)
        return JSONResponse({"error": sentence}, status)

    routes = [Route("/", show), Route("/scripts/{name}", script), Route("/ask/{call}", ask, methods=["POST"])]
    if subject.events is not None:
        routes.append(Route("/events", tell))
    kinds: Any = (EmbudoError, ValueError, ArithmeticError, MemoryError, HTTPException, Exception)
    return Starlette(routes=routes, middleware=[Middleware(Guard)], exception_handlers=dict.fromkeys(kinds, refuse))


class Guard:
    """Refuses requests that do not come from the page itself, and tells browsers to load nothing from elsewhere."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer, as ASGI has it."""
        from starlette.datastructures import Headers, MutableHeaders
        from starlette.responses import PlainTextResponse

        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        if name not in HOSTS or headers.get("origin", f"http://{host}") != f"http://{host}":
            refusal = PlainTextResponse("This page is for the browser of this machine alone.", 403)
            await refusal(scope, receive, send)
            return

        async def sealed(message: Any) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(POLICY)
            await send(message)

        await self.app(scope, receive, sealed)


async def _body(request: Request) -> bytes:
    from starlette.exceptions import HTTPException

    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BYTES:
            raise HTTPException(413, f"The file is larger than {MOST_BYTES // 2**20} MB: choose a smaller one.")
        parts.append(part)
    return b"".join(parts)


async def _as_events(subject: Subject) -> AsyncIterator[str]:
    assert subject.events is not None
    async for event in subject.events():
        yield f"data: {json.dumps(event)}\n\n"


def explain(error: Exception) -> tuple[int, str]:
    """Return the status and the sentence of an error, as the page shows it."""
    from starlette.exceptions import HTTPException

    match error:
        case HTTPException():
            return error.status_code, error.detail if error.status_code not in {404, 405} else "There is no such page."
        case EmbudoError():
            return 400, str(error)
        case MemoryError():
            return 500, "There is not enough memory for this."
        case ValueError() | ArithmeticError():
            return 400, f"{reason(error)}."
    return 500, "The explorer has a fault: the terminal that it was started from tells more."


def _script(name: str) -> str:
    folder = files("embudo.report")
    return (folder if name == "scatter.js" else folder / "explorer").joinpath(name).read_text(encoding="utf-8")


def _missing() -> MissingDependency:
    return MissingDependency('The explorer needs starlette and uvicorn: pip install "embudo[explorer]".')


@contextmanager
def _listening(subject: Subject, port: int) -> Iterator[tuple[Any, socket.socket, str]]:
    """Open a port of this machine, and make the server that will answer there.

    Raises
    ------
    InvalidParameter
        If the port is taken.
    """
    app = application(subject)
    try:
        import uvicorn
    except ImportError:
        raise _missing() from None

    config = uvicorn.Config(
        app, log_level="error", access_log=False, lifespan="off", ws="none", timeout_graceful_shutdown=1
    )
    # asyncio lets what is small be sent at once only where the protocol is named: an answer takes 1 ms, else 48
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((ADDRESS, port))
        except (OSError, OverflowError) as error:
            raise InvalidParameter(f"Port {port} cannot be had ({reason(error)}): give another, or none.") from None
        listener.listen(128)  # the browser may knock before the server answers
        yield uvicorn.Server(config), listener, f"http://{ADDRESS}:{listener.getsockname()[1]}/"


def serve(subject: Subject, *, port: int = 0, browser: bool = True, say: Callable[[str], None] = print) -> None:
    """Show `subject` until Ctrl-C.

    Parameters
    ----------
    subject : Subject
    port : int, default=0
        Where it listens, on this machine alone; 0 takes one that is free.
    browser : bool, default=True
        Whether a browser is opened.
    say : callable, default=print
        Is told the address.

    Raises
    ------
    InvalidParameter
        If the port is taken.
    MissingDependency
        If Starlette or uvicorn is not installed.
    """
    with _listening(subject, port) as (server, listener, address):
        _announce(address, browser, say)
        with suppress(KeyboardInterrupt):
            server.run(sockets=[listener])


@contextmanager
def served(
    subject: Subject, *, port: int = 0, browser: bool = True, say: Callable[[str], None] = print
) -> Iterator[str]:
    """Show `subject` beside what is done inside the context; yields the address. Parameters as of `serve`."""
    with _listening(subject, port) as (server, listener, address):
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        _announce(address, browser, say)
        try:
            yield address
        finally:
            server.should_exit = True
            thread.join(5)


@contextmanager
def watched(title: str, *, port: int = 0, browser: bool = True, say: Callable[[str], None] = print) -> Iterator[str]:
    """Show what is trained inside the context, as it goes; yields the address. Parameters as of `serve`."""
    watch = Watch(title)
    with served(watch, port=port, browser=browser, say=say) as address:
        try:
            with heard_by(watch.note):
                yield address
            watch.draw("In the end")
        except BaseException:  # Ctrl-C too
            watch.finish(patience=1)
            raise
        watch.finish()


def _announce(address: str, browser: bool, say: Callable[[str], None]) -> None:
    say(f"Explore at {address} (Ctrl-C ends it)")
    if browser:
        webbrowser.open(address)
