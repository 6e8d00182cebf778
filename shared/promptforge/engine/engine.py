"""The engine of one machine: serves the HTTP functions, delivers events to worker processes, survives kill -9."""

import asyncio
import fcntl
import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from promptforge import logs
from promptforge.adapters.local.database import Database
from promptforge.adapters.local.queue import SqliteQueue
from promptforge.adapters.local.secret import derive, load_secret
from promptforge.bootstrap import build_context, set_current
from promptforge.context import AppContext
from promptforge.domain.api_keys import is_mistyped, make_key
from promptforge.engine.dispatcher import Dispatcher
from promptforge.engine.http_app import api_app
from promptforge.engine.http_server import bind, public_server
from promptforge.engine.recovery import recover
from promptforge.engine.worker_pool import WorkerPool
from promptforge.errors import PromptForgeError, SettingsError
from promptforge.pipeline.sweep import expire_leases
from promptforge.settings import ENV_PREFIX, Settings

CLIENT = "default"
SWEEP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Ready:
    """The values of a running engine that a user needs."""

    url: str
    api_key: str
    active_jobs: int


class EngineLock:
    """The lock that permits one engine per data folder.

    It lasts as long as the process, and its file contains the URL of the engine.
    """

    def __init__(self, data_dir: Path) -> None:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._descriptor = os.open(data_dir / "engine.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            url = os.pread(self._descriptor, 200, 0).decode(errors="replace").strip() or "another process"
            os.close(self._descriptor)
            message = f"An engine already runs on {data_dir} ({url}). Use it with --url, or choose another --data-dir."
            raise SettingsError(message) from None

    def write_url(self, url: str) -> None:
        """Write the engine's URL into the lock file."""
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, url.encode(), 0)


@dataclass(frozen=True, slots=True)
class Plan:
    """The parameters of an engine.

    `listening` is bound to the address of `settings.public_url`. Without `api_key` the engine derives one from the data
    folder, the same at every start. `log` receives the standard error of the workers.
    """

    settings: Settings
    listening: socket.socket
    workers: int
    api_key: str | None
    log: TextIO | None = None


def plan(
    settings: Settings, host: str, port: int, workers: int, public_url: str | None = None, log: TextIO | None = None
) -> Plan:
    """Bind the port and choose the URL and the key.

    Raises SettingsError if the port is not available.
    """
    listening, url = bind(host, port)
    url = public_url or url
    api_key = os.environ.get(ENV_PREFIX + "API_KEY") or None
    return Plan(settings.model_copy(update={"public_url": url}), listening, workers, api_key, log)


async def serve(plan: Plan, stop: asyncio.Event, on_ready: Callable[[Ready], None]) -> None:
    """Run the engine until `stop` is set, then drain.

    A drain claims no delivery, waits for calls in flight and releases the chunks. Raises SettingsError if another
    engine uses the data folder.
    """
    settings = plan.settings
    lock = EngineLock(settings.data_dir)
    lock.write_url(settings.public_url)
    context = build_context(settings)
    context.stopping = stop
    set_current(context)
    database = Database(settings.data_dir / "state.db")
    queue = SqliteQueue(database, context.clock)
    await recover(context, queue)
    active_jobs = len([job async for job in context.jobs.list_due(float("inf")) if job.input])
    key = await _admit_key(context, plan.api_key)
    pool = WorkerPool(plan.workers, _environ(settings), plan.log, lambda instance: expire_leases(context, instance))
    dispatcher = Dispatcher(queue, pool.send, plan.workers)
    server = public_server(api_app(context, dispatcher.wake))
    tasks = [asyncio.create_task(server.serve(sockets=[plan.listening])), asyncio.create_task(stop.wait())]
    try:
        await pool.start()
        tasks += [asyncio.create_task(dispatcher.run()), asyncio.create_task(_sweep_regularly(context, database))]
        if not stop.is_set():
            on_ready(Ready(settings.public_url, key, active_jobs))
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        # The order matters: claim nothing more, let the workers release their chunks, then await their responses.
        # A TaskGroup would cancel the dispatcher at the first error, and with it the acknowledgements.
        stop.set()
        dispatcher.stop()
        server.should_exit = True
        await pool.stop()
        await asyncio.gather(*tasks)
        await context.close()
        database.close()


def stop_on_signals(stop: asyncio.Event) -> None:
    """Set `stop` at SIGTERM, SIGHUP or Ctrl-C, except for signals that the process ignores."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup makes a process ignore SIGHUP
            asyncio.get_running_loop().add_signal_handler(number, stop.set)


async def _admit_key(context: AppContext, api_key: str | None) -> str:
    """Return the key of the default client: the given one, or the one derived from the data folder."""
    if api_key and is_mistyped(api_key):
        raise SettingsError(f"{ENV_PREFIX}API_KEY has the form of a PromptForge key, but is mistyped.")
    if api_key is None:
        secret = derive(load_secret(context.settings.data_dir), "engine-key")
        api_key = make_key(int.from_bytes(secret))
        if not await context.api_keys.admit(CLIENT, api_key):
            return await context.api_keys.create(CLIENT)
    elif not await context.api_keys.admit(CLIENT, api_key):
        raise SettingsError(f"The key in {ENV_PREFIX}API_KEY was revoked. Set another one.")
    return api_key


def _environ(settings: Settings) -> dict[str, str]:
    return {**os.environ, ENV_PREFIX + "DATA_DIR": str(settings.data_dir.absolute())}


async def _sweep_regularly(context: AppContext, database: Database) -> None:
    """Enqueue sweeps as Cloud Scheduler does, and clear the database log, which would keep erased data."""
    while not context.stopping.is_set():
        try:
            await context.queues.enqueue_sweep(int(context.clock.now() / SWEEP_SECONDS))
            await database.clear_log()
        except PromptForgeError as exc:
            logs.error("sweep_failed", error=type(exc).__name__)
        with suppress(TimeoutError):
            await asyncio.wait_for(context.stopping.wait(), SWEEP_SECONDS)
