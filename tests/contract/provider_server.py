"""A provider on the loopback address that sends a chosen reply and records each request."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import orjson
from aiohttp import web

Reply = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Received:
    """One request as received.

    `path` is not decoded.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class ProviderServer:
    """A server that answers every request with `reply`, which a test sets."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.reply: Reply = json_reply({})
        self.url = ""
        self._closing = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application(client_max_size=64 * 1024**2)
        app.router.add_route("*", r"/{path:[\s\S]*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def close(self) -> None:
        self._closing.set()
        if self._runner:
            await self._runner.cleanup()

    async def hang(self, request: web.Request) -> web.StreamResponse:
        """Send no reply until the server closes."""
        await self._closing.wait()
        return web.Response()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.received.append(Received(request.method, request.raw_path, request.headers.copy(), await request.read()))
        return await self.reply(request)


def json_reply(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """Return a complete JSON reply."""
    return raw_reply(orjson.dumps(body), status, {"Content-Type": "application/json", **(headers or {})})


def raw_reply(content: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """Return a complete reply with any bytes."""

    async def reply(request: web.Request) -> web.StreamResponse:
        return web.Response(body=content, status=status, headers=headers)

    return reply


async def endless_body(request: web.Request) -> web.StreamResponse:
    """Send a body that never ends, without long pauses."""
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.01)


async def cut_during_body(request: web.Request) -> web.StreamResponse:
    """Declare more bytes than are sent before the connection breaks."""
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"choices": [')
    break_connection(request)
    return response


async def cut_before_response(request: web.Request) -> web.StreamResponse:
    """Break the connection after the request, before any reply."""
    break_connection(request)
    return web.Response()


def break_connection(request: web.Request) -> None:
    """Abort the connection without closing it properly."""
    if request.transport:
        request.transport.abort()
