"""Functions as the platform runs them: each a process of functions-framework."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import httpx

from promptforge.engine.load_functions import EVENT_FUNCTIONS, HTTP_FUNCTIONS, functions_folder
from tests.harness.canary import find_leaks
from tests.harness.emulators import free_port
from tests.harness.engine_process import clean_environment
from tests.harness.packaged_functions import PackagedFunction

ALL_FUNCTIONS = (*dict.fromkeys(HTTP_FUNCTIONS.values()), *EVENT_FUNCTIONS)
START_SECONDS = 90.0
POLL_SECONDS = 0.05


class FunctionProcess:
    """A running function."""

    def __init__(self, name: str, process: Process, url: str) -> None:
        self.name = name
        self.process = process
        self.url = url

    async def wait_until_ready(self) -> None:
        """Wait until the function responds.

        Every function rejects PUT with 405.
        """
        async with httpx.AsyncClient() as client, asyncio.timeout(START_SECONDS):
            while not await _rejects_put(client, self.url):
                await asyncio.sleep(POLL_SECONDS)


@asynccontextmanager
async def function_processes(
    names: Iterable[str],
    environ: Mapping[str, str],
    log: Path | None = None,
    packaged: Mapping[str, PackagedFunction] | None = None,
) -> AsyncIterator[dict[str, FunctionProcess]]:
    """Run functions and yield them by name: those of the checkout, unless they are in `packaged`.

    Their stderr goes to `log` and must contain no secret.
    """
    functions: dict[str, FunctionProcess] = {}
    with (log or Path("/dev/null")).open("ab") as stderr:
        try:
            for name in names:
                functions[name] = await _start(name, (packaged or {}).get(name) or _checkout(name), environ, stderr)
            await asyncio.gather(*(function.wait_until_ready() for function in functions.values()))
            yield functions
        finally:
            for function in functions.values():
                with suppress(ProcessLookupError):
                    os.killpg(function.process.pid, signal.SIGKILL)  # the group includes the worker of its HTTP server
                await function.process.wait()
    assert log is None or not find_leaks(log.read_bytes())


def _checkout(name: str) -> PackagedFunction:
    return PackagedFunction(Path(sys.executable), functions_folder() / name / "main.py")


async def _start(
    name: str, function: PackagedFunction, environ: Mapping[str, str], stderr: BinaryIO
) -> FunctionProcess:
    port = free_port()
    command = ["-m", "functions_framework", "--source", str(function.main), "--target", name, "--host", "127.0.0.1"]
    process = await asyncio.create_subprocess_exec(
        str(function.python),
        *command,
        f"--port={port}",
        cwd=function.main.parent,
        env=clean_environment({**environ, "FUNCTION_TARGET": name, "PYTHONPATH": ""}),
        stdout=DEVNULL,
        stderr=stderr,
        process_group=0,
    )
    return FunctionProcess(name, process, f"http://127.0.0.1:{port}/")


async def _rejects_put(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.put(url)).status_code == 405
    except httpx.TransportError:
        return False
