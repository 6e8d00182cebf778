"""Every function of the backend on Google Cloud, in one process behind one port: the API under its documented paths,
the event functions under their names. Who calls the latter is for Google's services, or their emulators, to do."""

import asyncio
import socket
from collections.abc import Callable

from starlette.types import ASGIApp

from promptforge.bootstrap import build_context, set_current
from promptforge.context import AppContext
from promptforge.engine.http_app import routes, serving
from promptforge.engine.http_server import public_server
from promptforge.engine.load_functions import EVENT_FUNCTIONS, HTTP_FUNCTIONS
from promptforge.errors import SettingsError, Unavailable
from promptforge.settings import ENV_PREFIX, Settings


def gateway_app() -> ASGIApp:
    """What answers at the port."""
    events = {path: name for name in EVENT_FUNCTIONS for path in (f"/{name}", f"/{name}/")}
    return serving(routes(HTTP_FUNCTIONS | events))


async def check_firestore(app: AppContext) -> None:
    """Raise SettingsError, saying what to look at, unless the project's Firestore answers."""
    from google.api_core.exceptions import RetryError  # there since the App could be built

    settings = app.settings
    try:
        await app.documents.get("jobs/none")
    except Unavailable as exc:
        cause = exc.__cause__.cause if isinstance(exc.__cause__, RetryError) else exc.__cause__
        where = f"database {settings.database} of project {settings.project}"
        look = f"look at {ENV_PREFIX}PROJECT, {ENV_PREFIX}DATABASE, your credentials and the network"
        raise SettingsError(f"Firestore's {where} does not answer ({type(cause).__name__}): {look}.") from exc


async def serve(settings: Settings, listening: socket.socket, stop: asyncio.Event, ready: Callable[[], None]) -> None:
    """Serve until `stop` is set; then what is in flight comes back, and chunks are given back. `ready` is called once
    the project has answered. Raises SettingsError if it does not."""
    app = build_context(settings)
    app.stopping = stop
    try:
        await check_firestore(app)
        set_current(app)
        server = public_server(gateway_app())
        ready()
        tasks = [asyncio.create_task(server.serve(sockets=[listening])), asyncio.create_task(stop.wait())]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        stop.set()
        server.should_exit = True
        await asyncio.gather(*tasks)
    finally:
        await app.close()
