"""The engine of one machine: serves the HTTP functions, brings events to the worker processes, survives being killed."""

import asyncio
import fcntl
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from promptforge import logs
from promptforge.adapters.local.database import Database
from promptforge.adapters.local.deliveries import SqliteDeliveries
from promptforge.adapters.local.objects import FileObjects
from promptforge.adapters.local.secret import derive, load_secret
from promptforge.app import App, build, install
from promptforge.domain.keys import make_key
from promptforge.domain.messages import SweepMessage
from promptforge.edge import problem
from promptforge.errors import ApiError, PromptForgeError, SettingsError
from promptforge.local.dispatcher import Dispatcher
from promptforge.local.functions import HTTP_FUNCTIONS, load_function
from promptforge.local.storage import Storage
from promptforge.local.worker_process import DRAIN_SECONDS, QuietServer
from promptforge.local.workers import Workers
from promptforge.service.access import admit_key, create_key
from promptforge.service.sweep import abandon_leases
from promptforge.settings import ENV_PREFIX, Settings

CLIENT = "default"
SWEEP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Ready:
    """What a user needs to know of a running engine."""

    url: str
    api_key: str
    workers: int


class EngineLock:
    """One engine a data folder: held for the life of the process, and it says where that engine is."""

    def __init__(self, data_dir: Path) -> None:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._descriptor = os.open(data_dir / "engine.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            where = os.pread(self._descriptor, 200, 0).decode(errors="replace").strip() or "another process"
            os.close(self._descriptor)
            message = f"An engine runs on {data_dir} already ({where}): use it with --url, or name another --data-dir."
            raise SettingsError(message) from None

    def announce(self, url: str) -> None:
        """Say where the engine is."""
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, url.encode(), 0)


async def serve(
    settings: Settings, listening: socket.socket, workers: int, api_key: str | None, on_ready: Callable[[Ready], None]
) -> None:
    """Run the engine until SIGTERM or SIGINT, then drain. `listening` is its bound socket, `settings.public_url` leads there.
    Without `api_key` it uses one that it derives from the data folder, the same at every start."""
    app = build(settings)
    install(app)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, app.stopping.set)
    database = Database(settings.data_dir / "state.db")
    deliveries = SqliteDeliveries(database, app.clock)
    await _recover(app, deliveries)
    key = await _admit(app, api_key)
    pool = Workers(workers, _environ(settings), lambda instance: abandon_leases(app, instance))
    dispatcher = Dispatcher(deliveries, pool.send, workers)
    config = uvicorn.Config(
        _api(app, dispatcher.wake), log_config=None, access_log=False, timeout_graceful_shutdown=DRAIN_SECONDS
    )
    server = QuietServer(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    delivering = asyncio.create_task(dispatcher.run())
    sweeping = asyncio.create_task(_sweep_regularly(app))
    try:
        await pool.start()
        on_ready(Ready(settings.public_url, key, workers))
        await asyncio.wait([serving, delivering, sweeping, asyncio.create_task(app.stopping.wait())], return_when=asyncio.FIRST_COMPLETED)
    finally:
        # Claim nothing more, let the workers give back what they hold, and only then stop hearing their answers.
        sweeping.cancel()
        dispatcher.stop()
        server.should_exit = True
        await pool.stop()
        await asyncio.gather(serving, delivering, sweeping, return_exceptions=True)
        await app.close()


async def _recover(app: App, deliveries: SqliteDeliveries) -> None:
    """Go on where the last engine was: nothing that it was doing is being done now. Its workers end when it does, but
    they may be finishing what was in flight; wait for them, and if they hang let their leases run out instead."""
    if await _workers_are_gone(app.settings.data_dir):
        await abandon_leases(app, None)
        for bucket in (app.uploads, app.work, app.results):
            if isinstance(bucket, FileObjects):
                await bucket.sweep()
    await deliveries.recall()


async def _workers_are_gone(data_dir: Path) -> bool:
    descriptor = os.open(data_dir / "workers.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        async with asyncio.timeout(DRAIN_SECONDS + 2):
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    await asyncio.sleep(0.05)
                else:
                    return True
    except TimeoutError:
        logs.warning("workers_of_last_engine_hang")
        return False
    finally:
        os.close(descriptor)


async def _admit(app: App, api_key: str | None) -> str:
    if api_key is None:
        secret = derive(load_secret(app.settings.data_dir), "engine-key")
        api_key = make_key(int.from_bytes(secret))
        if not await admit_key(app, CLIENT, api_key):
            return await create_key(app, CLIENT)
    elif not await admit_key(app, CLIENT, api_key):
        raise SettingsError(f"The key in {ENV_PREFIX}API_KEY was revoked: set another one.")
    return api_key


def _environ(settings: Settings) -> dict[str, str]:
    return {**os.environ, ENV_PREFIX + "DATA_DIR": str(settings.data_dir.absolute())}


async def _sweep_regularly(app: App) -> None:
    """What Cloud Scheduler does."""
    while True:
        body, minute = SweepMessage().encode(), int(app.clock.now() / SWEEP_SECONDS)
        try:
            await app.tasks.enqueue("sweeper", body, name=f"sweep-{minute}")
        except PromptForgeError as exc:
            logs.error("sweep_failed", error=type(exc).__name__)
        await asyncio.sleep(SWEEP_SECONDS)


def _api(app: App, wake: Callable[[], None]) -> ASGIApp:
    routes = [Route(path, _Function(load_function(name))) for path, name in HTTP_FUNCTIONS.items()]
    api = Starlette(routes=[*routes, Storage(app).route], exception_handlers={404: _not_found, 405: _not_found})

    async def waking(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await api(scope, receive, send)
        finally:
            wake()

    return waking


class _Function:
    """A function's app as a route's endpoint: Starlette calls a class instance as ASGI, for every method."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


async def _not_found(request: Request, exc: Exception) -> Response:
    return problem(ApiError(404, "not_found", "There is nothing at this path."))


