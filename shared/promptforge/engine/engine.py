"""The engine of one machine: serves the HTTP functions, brings events to the worker processes, survives kill -9."""

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
from promptforge.api.auth import admit_key, create_key
from promptforge.bootstrap import build_context, set_current
from promptforge.context import AppContext
from promptforge.domain.api_keys import is_mistyped, make_key
from promptforge.domain.commands import SweepJobs
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
    """What a user needs to know of a running engine."""

    url: str
    api_key: str
    workers: int
    open_jobs: int


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


@dataclass(frozen=True, slots=True)
class Plan:
    """What an engine is to be. `listening` is bound to where `settings.public_url` leads. Without `api_key` the engine
    derives one from the data folder, the same at every start. `log` takes its workers' standard error."""

    settings: Settings
    listening: socket.socket
    workers: int
    api_key: str | None
    log: TextIO | None = None


def plan(
    settings: Settings, host: str, port: int, workers: int, public_url: str | None = None, log: TextIO | None = None
) -> Plan:
    """Bind the port and settle the URL and the key. Raises SettingsError for a port that cannot be had."""
    listening, url = bind(host, port)
    url = public_url or url
    api_key = os.environ.get(ENV_PREFIX + "API_KEY") or None
    return Plan(settings.model_copy(update={"public_url": url}), listening, workers, api_key, log)


async def serve(plan: Plan, stop: asyncio.Event, on_ready: Callable[[Ready], None]) -> None:
    """Run the engine until `stop` is set, then drain: nothing new, what is in flight comes back, chunks go back.
    Raises SettingsError if another engine has the data folder."""
    settings = plan.settings
    lock = EngineLock(settings.data_dir)
    lock.announce(settings.public_url)
    app = build_context(settings)
    app.stopping = stop
    set_current(app)
    database = Database(settings.data_dir / "state.db")
    deliveries = SqliteQueue(database, app.clock)
    await recover(app, deliveries)
    open_jobs = len([job async for job in app.ledger.list_due_jobs(float("inf")) if job.input])
    key = await _admit(app, plan.api_key)
    pool = WorkerPool(plan.workers, _environ(settings), plan.log, lambda instance: expire_leases(app, instance))
    dispatcher = Dispatcher(deliveries, pool.send, plan.workers)
    server = public_server(api_app(app, dispatcher.wake))
    tasks = [asyncio.create_task(server.serve(sockets=[plan.listening])), asyncio.create_task(stop.wait())]
    try:
        await pool.start()
        tasks += [asyncio.create_task(dispatcher.run()), asyncio.create_task(_sweep_regularly(app, database))]
        if not stop.is_set():
            on_ready(Ready(settings.public_url, key, plan.workers, open_jobs))
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        # Claim nothing more, let the workers give back what they hold, and only then stop hearing their answers.
        stop.set()
        dispatcher.stop()
        server.should_exit = True
        await pool.stop()
        await asyncio.gather(*tasks)
        await app.close()
        database.close()


def stop_on_signals(stop: asyncio.Event) -> None:
    """Set `stop` at SIGTERM, SIGHUP or Ctrl-C, those left out that the process was told to ignore."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup sets it
            asyncio.get_running_loop().add_signal_handler(number, stop.set)


async def _admit(app: AppContext, api_key: str | None) -> str:
    if api_key and is_mistyped(api_key):
        raise SettingsError(f"{ENV_PREFIX}API_KEY looks like one of our keys, but is mistyped.")
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


async def _sweep_regularly(app: AppContext, database: Database) -> None:
    """What Cloud Scheduler does; and let nothing that was erased stay in the database's log."""
    while not app.stopping.is_set():
        name = f"sweep-{int(app.clock.now() / SWEEP_SECONDS)}"
        try:
            await app.tasks.enqueue("sweeper", SweepJobs().encode(), name=name)
            await database.clear_log()
        except PromptForgeError as exc:
            logs.error("sweep_failed", error=type(exc).__name__)
        with suppress(TimeoutError):
            await asyncio.wait_for(app.stopping.wait(), SWEEP_SECONDS)
