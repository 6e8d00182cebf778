"""One worker process: the event functions behind a socket of the engine.

The engine runs it as `python -m promptforge.engine.worker_process SOCKET_FD INSTANCE`, with the delivery token in the
environment. It exits at a signal or when its standard input closes. The engine never writes to that pipe, so it closes
only after the exit of the engine, even a kill -9.
"""

import asyncio
import fcntl
import hmac
import os
import signal
import socket
import sys
from pathlib import Path

import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from promptforge.bootstrap import build_worker_runtime, current, set_current
from promptforge.engine.http_server import DRAIN_SECONDS, QuietServer
from promptforge.engine.load_functions import EVENT_FUNCTIONS, load_function

TOKEN_VARIABLE = "PROMPTFORGE_DELIVERY_TOKEN"  # noqa: S105


def require_token(app: ASGIApp, token: str) -> ASGIApp:
    """Return an app that only the engine can call, as IAM does on Google Cloud."""
    expected = f"Bearer {token}"

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            given = Request(scope).headers.get("authorization", "")
            if not hmac.compare_digest(given.encode(), expected.encode()):
                await PlainTextResponse("forbidden", 403)(scope, receive, send)
                return
        await app(scope, receive, send)

    return guarded


def share_workers_lock(data_dir: Path) -> int:
    """Take the lock by which the next engine sees that this process runs.

    It ends with the process.
    """
    descriptor = os.open(data_dir / "workers.lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


async def engine_exit() -> None:
    """Return when standard input closes."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


async def main(socket_fd: int, instance: str) -> None:
    context = current()
    runtime = build_worker_runtime(context, instance)
    set_current(context, runtime)
    share_workers_lock(context.settings.data_dir)
    for provider in context.settings.provider_keys:
        runtime.provider(provider)  # imported now, not while the first prompt waits
    functions = Router([Mount(f"/{name}", load_function(name)) for name in EVENT_FUNCTIONS])
    guarded = require_token(functions, os.environ[TOKEN_VARIABLE])
    config = uvicorn.Config(guarded, log_config=None, access_log=False, timeout_graceful_shutdown=DRAIN_SECONDS)
    server = QuietServer(config)

    def stop() -> None:
        context.stopping.set()
        server.should_exit = True

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop)
    loop.add_signal_handler(signal.SIGHUP, stop)  # the kernel sends it to a stopped worker whose engine has exited
    orphaned = asyncio.create_task(engine_exit())
    orphaned.add_done_callback(lambda _: stop())
    await server.serve(sockets=[socket.socket(fileno=socket_fd)])
    orphaned.cancel()
    await runtime.close()
    await context.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
