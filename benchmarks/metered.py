"""Run functions in a process that counts their usage.

`python -m benchmarks.metered` is that process. It prints its address, and then its usage for each line of its input.
"""

import asyncio
import json
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send
from tests.fakes.reverse_proxy import route
from tests.harness.asgi_server import serve_asgi
from tests.harness.engine_process import clean_environment

from promptforge import logs
from promptforge.adapters.gcp.documents import FirestoreDocuments
from promptforge.bootstrap import build_context, set_current
from promptforge.engine.cloud_gateway import gateway_app
from promptforge.settings import Settings


@dataclass(frozen=True)
class Usage:
    """The usage of a process of functions.

    `operations` has a count by kind, and `requests` a count by function. `busy_seconds` is the time with at least one
    request in flight, summed over the functions.
    """

    operations: Counter[str]
    requests: Counter[str]
    busy_seconds: float
    cpu_seconds: float
    log_bytes: int

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(*(one + another for one, another in zip(self, other, strict=True)))

    def __sub__(self, earlier: "Usage") -> "Usage":
        return Usage(*(end - start for end, start in zip(self, earlier, strict=True)))

    def __iter__(self) -> Iterator[Any]:
        return iter(vars(self).values())


class Meter:
    """A wrapper of an ASGI app that measures the requests to each function."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._since: dict[str, float] = {}
        self._in_flight: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()
        self.busy_seconds: dict[str, float] = defaultdict(float)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name, _ = route(scope["path"])
        self.requests[name] += 1
        self._in_flight[name] += 1
        if self._in_flight[name] == 1:
            self._since[name] = time.perf_counter()
        try:
            await self._app(scope, receive, send)
        finally:
            self._in_flight[name] -= 1
            if not self._in_flight[name]:
                self.busy_seconds[name] += time.perf_counter() - self._since[name]

    async def wait_until_idle(self) -> None:
        """Return when no request is in flight."""
        while self._in_flight.total():
            await asyncio.sleep(0.01)


class Functions:
    """A running process of functions."""

    def __init__(self, process: Process, url: str, log: Path) -> None:
        self.url = url
        self._process = process
        self._log = log

    async def usage(self) -> Usage:
        """Wait until no request is in flight, and return the usage since the start."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(b"\n")
        fields = json.loads(await self._process.stdout.readline())
        fields |= {name: Counter(fields[name]) for name in ("operations", "requests")}
        return Usage(**fields, log_bytes=self._log.stat().st_size)


@asynccontextmanager
async def metered(environ: Mapping[str, str], log: Path) -> AsyncIterator[Functions]:
    """Start a process of all functions with these variables; the path of a request selects the function."""
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "benchmarks.metered",
            env=clean_environment(environ),
            stdin=PIPE,
            stdout=PIPE,
            stderr=stderr,
        )
    assert process.stdin
    assert process.stdout
    try:
        yield Functions(process, (await process.stdout.readline()).decode().strip(), log)
    finally:
        process.stdin.close()
        await process.wait()


async def main() -> None:
    app = build_context(Settings.from_env(os.environ))
    logs.configure(app.settings.log_level)
    set_current(app)
    assert isinstance(app.documents, FirestoreDocuments)
    bill, meter = app.documents.operations, Meter(gateway_app())
    async with serve_asgi(meter) as url:
        print(url, flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            await meter.wait_until_idle()
            used = {
                "operations": {operation.value: count for operation, count in bill.counts.items()},
                "requests": meter.requests,
                "busy_seconds": sum(meter.busy_seconds.values()),
                "cpu_seconds": time.process_time(),
            }
            print(json.dumps(used), flush=True)
    await app.close()


if __name__ == "__main__":
    asyncio.run(main())
