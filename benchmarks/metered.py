"""Functions in a process of their own that counts what they use. `python -m benchmarks.metered` is that process: it
says its address and then, for each line it reads, what was used so far."""

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
from tests.fakes.reverse_proxy import routed
from tests.harness.asgi_server import serving
from tests.harness.engine_process import environment

from promptforge import logs
from promptforge.adapters.gcp.documents import FirestoreDocuments
from promptforge.bootstrap import build_context, set_current
from promptforge.engine.cloud_gateway import gateway_app
from promptforge.settings import Settings


@dataclass(frozen=True)
class Usage:
    """What functions used: operations by kind; requests, and the seconds in which at least one was under way, by
    function; CPU seconds and bytes of log lines in all."""

    operations: Counter[str]
    requests: Counter[str]
    busy_seconds: float
    cpu_seconds: float
    log_bytes: int

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))

    def __sub__(self, earlier: "Usage") -> "Usage":
        return Usage(*(now - then for now, then in zip(self, earlier, strict=True)))

    def __iter__(self) -> Iterator[Any]:
        return iter(vars(self).values())


class Meter:
    """In front of an app of functions."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._since: dict[str, float] = {}
        self._under_way: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()
        self.busy_seconds: dict[str, float] = defaultdict(float)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name, _ = routed(scope["path"])
        self.requests[name] += 1
        self._under_way[name] += 1
        if self._under_way[name] == 1:
            self._since[name] = time.perf_counter()
        try:
            await self._app(scope, receive, send)
        finally:
            self._under_way[name] -= 1
            if not self._under_way[name]:
                self.busy_seconds[name] += time.perf_counter() - self._since[name]

    async def rest(self) -> None:
        """Return when no request is under way."""
        while self._under_way.total():
            await asyncio.sleep(0.01)


class Functions:
    """A running process of functions."""

    def __init__(self, process: Process, url: str, log: Path) -> None:
        self.url = url
        self._process = process
        self._log = log

    async def usage(self) -> Usage:
        """What was used since it started, as soon as no request is under way."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(b"\n")
        said = json.loads(await self._process.stdout.readline())
        said |= {name: Counter(said[name]) for name in ("operations", "requests")}
        return Usage(**said, log_bytes=self._log.stat().st_size)


@asynccontextmanager
async def metered(environ: Mapping[str, str], log: Path) -> AsyncIterator[Functions]:
    """A process of all functions with these variables; which of them it plays is for whoever sends it requests."""
    with log.open("wb") as said:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.metered", env=environment(environ), stdin=PIPE, stdout=PIPE, stderr=said
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
    async with serving(meter) as url:
        print(url, flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            await meter.rest()
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
