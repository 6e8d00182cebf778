"""HTTP servers on free ports of the loopback interface, in the event loop of the test."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

MAX_BODY_BYTES = 256 * 1024 * 1024


@asynccontextmanager
async def serve_app(app: web.Application) -> AsyncIterator[str]:
    """Serve an aiohttp app and yield its address."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def serve_handler(handle: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """Serve every path and method with one handler and yield the address."""
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.router.add_route("*", r"/{path:[\s\S]*}", handle)
    async with serve_app(app) as url:
        yield url
