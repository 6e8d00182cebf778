"""Every function of the backend on Google Cloud, in one process behind one port: the API under its documented paths,
the event functions under their names. Who calls the latter is for Google's services, or their emulators, to do."""

import asyncio
import socket

from starlette.routing import Mount
from starlette.types import ASGIApp

from promptforge.app import build, install
from promptforge.local.api import api_routes, serving
from promptforge.local.functions import EVENT_FUNCTIONS, load_function
from promptforge.local.server import public_server
from promptforge.settings import Settings


def gateway_app() -> ASGIApp:
    """What answers at the port."""
    return serving([*api_routes(), *(Mount(f"/{name}", load_function(name)) for name in EVENT_FUNCTIONS)])


async def serve(settings: Settings, listening: socket.socket, stop: asyncio.Event) -> None:
    """Serve until `stop` is set; then what is in flight comes back, and chunks are given back."""
    app = build(settings)
    app.stopping = stop
    install(app)
    server = public_server(gateway_app())
    tasks = [asyncio.create_task(server.serve(sockets=[listening])), asyncio.create_task(stop.wait())]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    server.should_exit = True
    await asyncio.gather(*tasks)
    await app.close()
