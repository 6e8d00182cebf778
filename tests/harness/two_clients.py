"""Two clients of one stack: their requests, the deliveries and crashes, and the known state of their jobs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
from aiohttp import web

from promptforge.adapters.local.queue import Delivery, SqliteQueue
from promptforge.domain.commands import ProcessChunk
from promptforge.engine.push_requests import SUBSCRIPTIONS, push_request
from promptforge.pipeline.sweep import sweep
from promptforge.worker.process_chunk import process_chunk
from tests.fakes.provider import FakeProvider, openai_error
from tests.harness.clock import ManualClock
from tests.harness.in_process import InProcessStack
from tests.harness.lines import Line
from tests.harness.openai_stack import openai_stack

CLIENTS = ("tests", "other")
UNKNOWN_JOB_ID = "00000000-0000-4000-8000-000000000000"
ACK_SECONDS = 60.0


@dataclass
class KnownJob:
    """A job as its client knows it.

    `final` is the first final status that the client read, `calls` the number of provider calls until then.
    `lost_leases` counts the claims of workers that vanished before their first call, `crashes` the workers that were
    cancelled at any point.
    """

    client: str
    job_id: str
    url: str
    expires_at: float
    content: bytes | None = None
    status: str = "AWAITING_UPLOAD"
    cancel_accepted: bool = False
    final: Line | None = None
    calls: int = 0
    lost_leases: int = 0
    crashes: int = 0
    files: dict[str, bytes] | None = None


@dataclass
class TwoClients:
    """Two clients with a clock and a queue that only the test moves, and a fake provider."""

    stack: InProcessStack
    clock: ManualClock
    provider: FakeProvider
    keys: dict[str, str]
    jobs: list[KnownJob] = field(default_factory=list)
    delivered: list[Delivery] = field(default_factory=list)

    @property
    def queue(self) -> SqliteQueue:
        return SqliteQueue(self.stack.database, self.clock)

    async def request(self, method: str, path: str, client: str, **options: Any) -> httpx.Response:
        """Send a request with the key of a client."""
        headers = {"X-API-Key": self.keys[client], **options.pop("headers", {})}
        return await self.stack.http.request(method, path, headers=headers, **options)

    async def request_job(self, job: KnownJob, verb: str, client: str | None = None) -> httpx.Response:
        """Request `status`, `results` or `cancel` of a job with the key of its client, or of another."""
        method = "POST" if verb == "cancel" else "GET"
        return await self.request(method, f"/v1/jobs/{job.job_id}/{verb}", client or job.client)

    def calls_by_prompt(self, job: KnownJob) -> list[int]:
        """Return the number of provider calls for each prompt of a job that was called."""
        mark = f"{self.jobs.index(job)}/"
        return [count for prompt, count in self.provider.call_counts.items() if prompt.startswith(mark)]

    async def sources_due(self) -> list[str]:
        """Return the sources that have something to deliver."""
        return sorted(await self.queue.sources_due(list(SUBSCRIPTIONS)))

    async def deliver(self, source: str, limit: int, copies: int) -> None:
        """Deliver what is due of a source, each entry `copies` times at once."""
        claimed = await self.queue.claim(source, limit, SUBSCRIPTIONS[source].ack_seconds)
        self.stack.copies = copies
        await asyncio.gather(*[self._deliver_and_ack(delivery) for delivery in claimed])

    async def _deliver_and_ack(self, delivery: Delivery) -> None:
        assert await self.send(delivery), f"{delivery.source} was refused"
        await self.queue.ack(delivery)
        self.delivered.append(delivery)

    async def send(self, delivery: Delivery) -> bool:
        """Send one entry to its function, whether or not it was delivered before.

        Returns whether it was accepted.
        """
        headers, body = push_request(delivery)
        return await self.stack.send(SUBSCRIPTIONS[delivery.source].function, headers, body, ACK_SECONDS)

    async def deliver_all(self) -> None:
        """Deliver until nothing is due."""
        while due := await self.sources_due():
            for source in due:
                await self.deliver(source, limit=4, copies=1)

    async def crash_worker(self, job: KnownJob, number: int, ticks: int) -> None:
        """Cancel the processing of a chunk after some steps of the event loop.

        Calls that were sent still arrive.
        """
        working = asyncio.create_task(process_chunk(self.stack.runtime, ProcessChunk(job_id=job.job_id, chunk=number)))
        for _ in range(ticks):
            await asyncio.sleep(0)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        while self.provider.in_flight:
            await asyncio.sleep(0)

    async def advance(self, seconds: float) -> None:
        """Let time pass and sweep."""
        self.clock.advance(seconds)
        await sweep(self.stack.context)


async def _reply(prompt: str, call: int) -> web.Response | None:
    if "broken" in prompt:
        return openai_error(500)
    return openai_error(400, "context_length_exceeded") if "rejected" in prompt else None


@asynccontextmanager
async def two_clients(folder: Path) -> AsyncIterator[TwoClients]:
    """Run two clients of a stack with small chunks and result files."""
    clock = ManualClock()
    async with openai_stack(folder, _reply, clock, chunk_lines=3, part_lines=4) as (stack, provider):
        yield TwoClients(
            stack, clock, provider, {"tests": stack.key, "other": await stack.context.api_keys.create("other")}
        )


def input_file(job: int, kind: str) -> bytes:
    """Return an input of the kind "good", "mixed" or "empty", in which each prompt names the index of its job."""
    good = [{"prompt_id": f"id-{n}", "prompt": f"{job}/{n} hello"} for n in range(8)]
    if kind == "good":
        return b"".join(orjson.dumps(row) + b"\n" for row in good)
    if kind == "empty":
        return b" \n\n"
    rows = [orjson.dumps(row) for row in good]
    rows[1:1] = [b"", b"no json", orjson.dumps({"prompt_id": "id-0", "prompt": f"{job}/ again"})]
    rows += [orjson.dumps({"prompt_id": word, "prompt": f"{job}/ {word}"}) for word in ("broken", "rejected")]
    return b"\r\n".join(rows)


def expected_lines(content: bytes) -> dict[int, str | None]:
    """Return the prompt_id of each line that is called, and None for each line that only gets an error."""
    first_lines: dict[str, int] = {}
    expected: dict[int, str | None] = {}
    for number, text in enumerate(content.split(b"\n"), 1):
        if text.strip():
            name = orjson.loads(text)["prompt_id"] if text.startswith(b"{") else None
            expected[number] = name if name and first_lines.setdefault(name, number) == number else None
    return expected
