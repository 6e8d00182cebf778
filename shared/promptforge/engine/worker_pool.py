"""The engine's worker processes: started, spoken to, replaced when they die, told to drain at the end."""

import asyncio
import os
import secrets
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TextIO

import aiohttp

from promptforge import logs
from promptforge.engine.http_server import DRAIN_SECONDS
from promptforge.engine.worker_process import TOKEN_VARIABLE
from promptforge.errors import PromptForgeError

START_SECONDS = 60.0
RESTART_PAUSE_SECONDS = 1.0


class WorkerStartFailed(PromptForgeError):
    """A worker process was not ready in time, or ended before; what it said went to standard error."""


@dataclass
class _WorkerSlot:
    """A place for a worker process. The engine keeps the socket, so that requests wait out a change of process."""

    socket: socket.socket
    process: Process | None = None
    instance: str = ""
    busy: int = 0
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.socket.getsockname()[1]}"


class WorkerPool:
    """`count` worker processes, their standard error in `log`. `on_death` is told the instance name of one that died
    by itself."""

    def __init__(
        self, count: int, environ: Mapping[str, str], log: TextIO | None, on_death: Callable[[str], Awaitable[None]]
    ) -> None:
        token = secrets.token_urlsafe(32)
        self._environ = {**environ, TOKEN_VARIABLE: token}
        self._headers = {"Authorization": f"Bearer {token}"}
        self._log = log
        self._on_exit = on_death
        self._slots = [_WorkerSlot(_listening_socket()) for _ in range(count)]
        self._supervisors: list[asyncio.Task[None]] = []
        self._session: aiohttp.ClientSession | None = None
        self._stopping = False

    async def start(self) -> None:
        """Start all and return when all are ready. Raises WorkerFailed."""
        connector = aiohttp.TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(connector=connector, headers=self._headers)
        for seat in self._slots:
            await self._launch(seat)
        await asyncio.gather(*map(self._until_ready, self._slots))
        self._supervisors = [asyncio.create_task(self._supervise(seat)) for seat in self._slots]

    async def send(self, function: str, headers: Mapping[str, str], body: bytes, timeout_seconds: float) -> bool:
        """POST an event to a function on the least busy process; whether it answered 2xx."""
        if self._session is None:
            return False
        seat = min(self._slots, key=lambda seat: (not seat.ready.is_set(), seat.busy))
        seat.busy += 1
        try:
            timeout = aiohttp.ClientTimeout(total=timeout_seconds)
            url = f"{seat.url}/{function}/"
            async with self._session.post(url, data=body, headers=headers, timeout=timeout) as response:
                return 200 <= response.status < 300
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False
        finally:
            seat.busy -= 1

    async def stop(self) -> None:
        """Let every process finish what is in flight and give its chunks back; kill what does not end in time."""
        self._stopping = True
        for keeper in self._supervisors:
            keeper.cancel()
        processes = [seat.process for seat in self._slots if seat.process and seat.process.returncode is None]
        for process in processes:
            _signal(process, signal.SIGTERM)
        await asyncio.gather(*[_ended(process) for process in processes])
        if self._session:
            await self._session.close()
        for seat in self._slots:
            seat.socket.close()

    async def _launch(self, seat: _WorkerSlot) -> None:
        seat.instance, seat.ready = secrets.token_hex(8), asyncio.Event()
        fd = seat.socket.fileno()
        command = (sys.executable, "-m", "promptforge.engine.worker_process", str(fd), seat.instance)
        seat.process = await asyncio.create_subprocess_exec(
            *command,
            stdin=PIPE,
            stderr=self._log,
            pass_fds=[fd],
            env=self._environ,
            process_group=0,  # Ctrl-C is for the engine to answer
        )

    async def _until_ready(self, seat: _WorkerSlot) -> None:
        """A process answers its first request when it is ready; an unknown path will do."""
        if seat.process is None or self._session is None:
            return
        ended = asyncio.create_task(seat.process.wait())
        answered = asyncio.create_task(self._ping(seat))
        try:
            await asyncio.wait([ended, answered], timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if not answered.done():
                _signal(seat.process, signal.SIGKILL)
                raise WorkerStartFailed("A worker process did not start; standard error, or engine.log, says why.")
            answered.result()
        finally:
            ended.cancel()
            answered.cancel()
        seat.ready.set()

    async def _ping(self, seat: _WorkerSlot) -> None:
        if self._session:
            async with self._session.get(seat.url + "/ready"):
                return

    async def _supervise(self, seat: _WorkerSlot) -> None:
        """Put a new process in the seat of one that died, for as long as it takes."""
        while seat.process:
            code = await seat.process.wait()
            logs.error("worker_exited", instance=seat.instance, code=code)
            seat.ready.clear()
            try:
                await self._on_exit(seat.instance)
                await asyncio.sleep(RESTART_PAUSE_SECONDS)
                await self._launch(seat)
                await self._until_ready(seat)
            except Exception as exc:  # a seat that nobody keeps would swallow every request sent to it
                logs.error("worker_not_ready", instance=seat.instance, error=type(exc).__name__)
                await asyncio.sleep(RESTART_PAUSE_SECONDS)


def _listening_socket() -> socket.socket:
    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    listening.setblocking(False)
    os.set_inheritable(listening.fileno(), True)
    return listening


def _signal(process: Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except ProcessLookupError:
        return


async def _ended(process: Process) -> None:
    try:
        await asyncio.wait_for(process.wait(), DRAIN_SECONDS + 2)
    except TimeoutError:
        _signal(process, signal.SIGKILL)
        await process.wait()
