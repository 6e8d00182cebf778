"""Every function of the backend on Google Cloud, in one process behind one port.

The API is at its documented paths, and each event function at its name. Google's services or their emulators call the
event functions.
"""

import asyncio
import socket
from collections.abc import Callable

from starlette.types import ASGIApp

from promptforge.bootstrap import build_context, build_worker_runtime, set_current
from promptforge.context import AppContext
from promptforge.engine.http_app import function_routes, routed_app
from promptforge.engine.http_server import public_server
from promptforge.engine.load_functions import EVENT_FUNCTIONS, HTTP_FUNCTIONS
from promptforge.errors import SettingsError, Unavailable
from promptforge.settings import ENV_PREFIX, Settings


def gateway_app() -> ASGIApp:
    """Return the app of all functions."""
    events = {path: name for name in EVENT_FUNCTIONS for path in (f"/{name}", f"/{name}/")}
    return routed_app(function_routes(HTTP_FUNCTIONS | events))


async def check_firestore(context: AppContext) -> None:
    """Raise SettingsError, with the settings to check, unless the project's Firestore answers."""
    from google.api_core.exceptions import RetryError  # installed, because the context has been built

    settings = context.settings
    try:
        await context.documents.get("jobs/none")
    except Unavailable as exc:
        cause = exc.__cause__.cause if isinstance(exc.__cause__, RetryError) else exc.__cause__
        raise SettingsError(
            f"Firestore database {settings.database} of project {settings.project} does not answer"
            f" ({type(cause).__name__}). Check {ENV_PREFIX}PROJECT, {ENV_PREFIX}DATABASE, your credentials and the"
            " network."
        ) from exc


async def serve(settings: Settings, listening: socket.socket, stop: asyncio.Event, ready: Callable[[], None]) -> None:
    """Serve until `stop` is set, then wait for requests in flight and release the chunks.

    `ready` is called once the project has answered. Raises SettingsError if it does not answer.
    """
    context = build_context(settings)
    context.stopping = stop
    runtime = build_worker_runtime(context)
    try:
        await check_firestore(context)
        set_current(context, runtime)
        server = public_server(gateway_app())
        ready()
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(server.serve(sockets=[listening]))
            serving.add_done_callback(lambda _: stop.set())
            await stop.wait()
            server.should_exit = True
    finally:
        await runtime.close()
        await context.close()
