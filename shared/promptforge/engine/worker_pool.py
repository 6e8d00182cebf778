"""The engine's worker processes: started, called, replaced after a crash, drained at the end."""

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
    """A worker process exited during its start, or was not ready in time.

    Its output is in standard error.
    """


@dataclass
class _WorkerSlot:
    """A worker process and its successors.

    The engine keeps the socket, so that requests wait for a successor.
    """

    socket: socket.socket
    process: Process | None = None
    instance: str = ""
    busy: int = 0
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.socket.getsockname()[1]}"


class WorkerPool:
    """`count` worker processes that write standard error to `log`.

    `on_exit` is called with the instance name of a process that exited without being told to.
    """

    def __init__(
        self, count: int, environ: Mapping[str, str], log: TextIO | None, on_exit: Callable[[str], Awaitable[None]]
    ) -> None:
        token = secrets.token_urlsafe(32)
        self._environ = {**environ, TOKEN_VARIABLE: token}
        self._headers = {"Authorization": f"Bearer {token}"}
        self._log = log
        self._on_exit = on_exit
        self._slots = [_WorkerSlot(_listening_socket()) for _ in range(count)]
        self._supervisors: list[asyncio.Task[None]] = []
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Start all processes and return when all are ready.

        Raises WorkerStartFailed.
        """
        connector = aiohttp.TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(connector=connector, headers=self._headers)
        for slot in self._slots:
            await self._launch(slot)
        await asyncio.gather(*map(self._until_ready, self._slots))
        self._supervisors = [asyncio.create_task(self._supervise(slot)) for slot in self._slots]

    async def send(self, function: str, headers: Mapping[str, str], body: bytes, timeout_seconds: float) -> bool:
        """POST an event to a function on the least busy process.

        Returns whether it responded with 2xx.
        """
        if self._session is None:
            return False
        slot = min(self._slots, key=lambda slot: (not slot.ready.is_set(), slot.busy))
        slot.busy += 1
        try:
            timeout = aiohttp.ClientTimeout(total=timeout_seconds)
            url = f"{slot.url}/{function}/"
            async with self._session.post(url, data=body, headers=headers, timeout=timeout) as response:
                return 200 <= response.status < 300
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False
        finally:
            slot.busy -= 1

    async def stop(self) -> None:
        """Let every process finish the calls in flight and release its chunks.

        A process that does not exit in time is killed.
        """
        for supervisor in self._supervisors:
            supervisor.cancel()
        processes = [slot.process for slot in self._slots if slot.process and slot.process.returncode is None]
        for process in processes:
            _signal(process, signal.SIGTERM)
        await asyncio.gather(*map(_exited, processes))
        if self._session:
            await self._session.close()
        for slot in self._slots:
            slot.socket.close()

    async def _launch(self, slot: _WorkerSlot) -> None:
        slot.instance, slot.ready = secrets.token_hex(8), asyncio.Event()
        fd = slot.socket.fileno()
        command = (sys.executable, "-m", "promptforge.engine.worker_process", str(fd), slot.instance)
        slot.process = await asyncio.create_subprocess_exec(
            *command,
            stdin=PIPE,
            stderr=self._log,
            pass_fds=[fd],
            env=self._environ,
            process_group=0,  # Ctrl-C goes to the engine only
        )

    async def _until_ready(self, slot: _WorkerSlot) -> None:
        """Return when the process answers its first request, even with an error for an unknown path."""
        if slot.process is None or self._session is None:
            return
        exited = asyncio.create_task(slot.process.wait())
        answered = asyncio.create_task(self._ping(slot))
        try:
            await asyncio.wait([exited, answered], timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if not answered.done():
                _signal(slot.process, signal.SIGKILL)
                raise WorkerStartFailed("A worker process did not start. See standard error or engine.log.")
            answered.result()
        finally:
            exited.cancel()
            answered.cancel()
        slot.ready.set()

    async def _ping(self, slot: _WorkerSlot) -> None:
        if self._session:
            async with self._session.get(slot.url + "/ready"):
                return

    async def _supervise(self, slot: _WorkerSlot) -> None:
        """Replace the process of a slot whenever it exits, until a new one is ready."""
        while slot.process:
            code = await slot.process.wait()
            logs.error("worker_exited", instance=slot.instance, code=code)
            slot.ready.clear()
            try:
                await self._on_exit(slot.instance)
                await asyncio.sleep(RESTART_PAUSE_SECONDS)
                await self._launch(slot)
                await self._until_ready(slot)
            except Exception as exc:  # without its supervisor, a slot would swallow every request sent to it
                logs.error("worker_not_ready", instance=slot.instance, error=type(exc).__name__)
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


async def _exited(process: Process) -> None:
    """Wait until a process exits, and kill it after the drain time."""
    try:
        await asyncio.wait_for(process.wait(), DRAIN_SECONDS + 2)
    except TimeoutError:
        _signal(process, signal.SIGKILL)
        await process.wait()
