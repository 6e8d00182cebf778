"""What a random play does with a machine: orders, uploads, deliveries, deaths; and what it knows of each job."""

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
from promptforge.worker.process_chunk import process_chunk
from tests.fakes.openai_server import OpenAIServer, openai_server, refusal
from tests.harness.clock import HandClock
from tests.harness.in_process import InProcessStack, Line, in_process_stack

CLIENTS = ("tests", "other")
UNKNOWN = "00000000-0000-4000-8000-000000000000"


@dataclass
class Known:
    """A job as its client knows it. `final` is the first final status it was told, with `calls` made until then."""

    client: str
    job_id: str
    url: str
    expires_at: float
    content: bytes | None = None
    status: str = "AWAITING_UPLOAD"
    cancel_taken: bool = False
    final: Line | None = None
    calls: int = 0
    kills: int = 0
    crashes: int = 0
    files: dict[str, bytes] | None = None


@dataclass
class TwoClients:
    """Two clients, a clock, a provider and the post, all moved by hand."""

    one: InProcessStack
    clock: HandClock
    provider: OpenAIServer
    keys: dict[str, str]
    jobs: list[Known] = field(default_factory=list)
    sent: list[Delivery] = field(default_factory=list)

    @property
    def deliveries(self) -> SqliteQueue:
        return SqliteQueue(self.one.database, self.clock)

    async def call(self, method: str, path: str, client: str, **more: Any) -> httpx.Response:
        """Call the API as a client."""
        headers = {"X-API-Key": self.keys[client], **more.pop("headers", {})}
        return await self.one.http.request(method, path, headers=headers, **more)

    async def ask(self, job: Known, verb: str, client: str | None = None) -> httpx.Response:
        """One of the calls that a job has, as its owner or another."""
        method = "POST" if verb == "cancel" else "GET"
        return await self.call(method, f"/v1/jobs/{job.job_id}/{verb}", client or job.client)

    def calls_of(self, job: Known) -> list[int]:
        """How many provider calls were made for each prompt of a job that was called for."""
        mark = f"{self.jobs.index(job)}/"
        return [count for prompt, count in self.provider.calls.items() if prompt.startswith(mark)]

    async def due(self) -> list[str]:
        """The sources that have something to bring."""
        return sorted(await self.deliveries.sources_due(list(SUBSCRIPTIONS)))

    async def deliver(self, source: str, limit: int, copies: int) -> int:
        """Bring what is due of a source; each event `copies` times at once. How many there were."""
        claimed = await self.deliveries.claim(source, limit, SUBSCRIPTIONS[source].ack_seconds)
        self.one.copies = copies
        await asyncio.gather(*[self._bring(delivery) for delivery in claimed])
        return len(claimed)

    async def _bring(self, delivery: Delivery) -> None:
        assert await self.again(delivery), f"{delivery.source} was refused"
        await self.deliveries.ack(delivery)
        self.sent.append(delivery)

    async def again(self, delivery: Delivery) -> bool:
        """Bring one event, whether or not it was brought before."""
        headers, body = push_request(delivery)
        return await self.one.send(SUBSCRIPTIONS[delivery.source].function, headers, body, 60)

    async def deliver_all(self) -> None:
        """Until nothing is due."""
        while due := await self.due():
            for source in due:
                await self.deliver(source, limit=4, copies=1)

    async def crash(self, job: Known, number: int, ticks: int) -> None:
        """Work on a chunk is cancelled in the middle; what it sent still arrives."""
        working = asyncio.create_task(process_chunk(self.one.runtime, ProcessChunk(job_id=job.job_id, chunk=number)))
        for _ in range(ticks):
            await asyncio.sleep(0)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        while self.provider.in_flight:
            await asyncio.sleep(0)


async def _act(prompt: str, call: int) -> web.Response | None:
    if "broken" in prompt:
        return refusal(500)
    return refusal(400, "context_length_exceeded") if "rejected" in prompt else None


@asynccontextmanager
async def two_clients(folder: Path) -> AsyncIterator[TwoClients]:
    """A player on a machine with small chunks and files."""
    clock = HandClock()
    async with openai_server(_act) as provider:
        keys: dict[str, Any] = {"provider_keys": {"openai": "k"}, "provider_urls": {"openai": provider.url}}
        async with in_process_stack(folder, clock, chunk_lines=3, part_lines=4, **keys) as one:
            yield TwoClients(one, clock, provider, {"tests": one.key, "other": await one.app.api_keys.create("other")})


def content_of(job: int, kind: str) -> bytes:
    """A file of prompts that name their job."""
    good = [{"prompt_id": f"id-{n}", "prompt": f"{job}/{n} hello"} for n in range(8)]
    if kind == "good":
        return b"".join(orjson.dumps(row) + b"\n" for row in good)
    if kind == "empty":
        return b" \n\n"
    rows = [orjson.dumps(row) for row in good]
    rows[1:1] = [b"", b"no json", orjson.dumps({"prompt_id": "id-0", "prompt": f"{job}/ again"})]
    rows += [orjson.dumps({"prompt_id": word, "prompt": f"{job}/ {word}"}) for word in ("broken", "rejected")]
    return b"\r\n".join(rows)


def lines_asked(content: bytes) -> dict[int, str | None]:
    """Line by line, the prompt_id that is to be answered, or None for a line that only gets an error."""
    seen: dict[str, int] = {}
    asked: dict[int, str | None] = {}
    for number, text in enumerate(content.split(b"\n"), 1):
        if text.strip():
            name = orjson.loads(text)["prompt_id"] if text.startswith(b"{") else None
            asked[number] = name if name and seen.setdefault(name, number) == number else None
    return asked
