"""One address for all functions: the API under its documented paths, and each function under its name."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from promptforge.engine.load_functions import EVENT_FUNCTIONS, HTTP_FUNCTIONS
from tests.harness.loopback import serve_handler

PATHS = {re.compile(re.sub(r"\{\w+\}", "[^/]+", path)): name for path, name in HTTP_FUNCTIONS.items()}


def route(path: str) -> tuple[str, str]:
    """Return the function for a path, and the path that the function receives."""
    rest = path.removeprefix("/")
    for documented, name in PATHS.items():
        if documented.fullmatch(path):
            return name, rest
    name, _, rest = rest.partition("/")
    return name, rest


class ReverseProxy:
    """Forwards every request to its function.

    `functions` holds their addresses, each with a slash at its end. While it is empty, every response is 503.
    """

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self.functions: Mapping[str, str] = {}
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        """Forward one request."""
        name, path = route(request.path)
        if name not in self.functions:
            return web.Response(status=503)
        headers = {key: value for key, value in request.headers.items() if key.lower() != "host"}
        url, body = self.functions[name] + path, await request.read()
        try:
            async with self._session.request(request.method, url, headers=headers, data=body) as reply:
                content = await reply.read()
                return web.Response(body=content, status=reply.status, content_type=reply.content_type)
        except aiohttp.ClientError:
            return web.Response(status=502)

    async def post(self, name: str, headers: Mapping[str, str], body: bytes) -> bool:
        """Send an event to a function.

        Return whether the status was 2xx or 3xx.
        """
        try:
            async with self._session.post(f"{self.url}/{name}", headers=headers, data=body) as reply:
                return reply.ok
        except aiohttp.ClientError:
            return False


def function_urls(gateway: str) -> dict[str, str]:
    """Return the addresses of all functions if one process serves them."""
    return {name: f"{gateway}/{name}/" for name in EVENT_FUNCTIONS} | dict.fromkeys(
        HTTP_FUNCTIONS.values(), f"{gateway}/"
    )


@asynccontextmanager
async def reverse_proxy() -> AsyncIterator[ReverseProxy]:
    """Run a proxy without functions."""
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as session:
        proxy = ReverseProxy(session)
        async with serve_handler(proxy.handle) as proxy.url:
            yield proxy
