"""A machine on which holders of chunks die at a test's word."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from promptforge.domain.chunk import Chunk
from promptforge.domain.commands import ProcessChunk
from promptforge.domain.formats.native import Prompt
from promptforge.pipeline.split import split
from promptforge.state.chunks import ClaimedChunk
from promptforge.worker.admission import Admission
from promptforge.worker.chunk_run import ChunkRun
from promptforge.worker.process_chunk import process_chunk
from tests.fakes.provider import FakeProvider, fake_provider, openai_error
from tests.harness.clock import ManualClock
from tests.harness.in_process import InProcessStack, in_process_stack, prompts

LEASE_SECONDS = 60
PADDING = b" " * 150_000  # blank space that keeps a file of up to 200 prompts in one chunk

_names = itertools.count()


@dataclass
class ChunkScenario:
    """A machine whose clock and provider are at hand; `asked` are the prompts in the order of their calls."""

    stack: InProcessStack
    clock: ManualClock
    provider: FakeProvider
    called_prompts: list[str] = field(default_factory=list)

    async def submit(self, content: bytes, **fields: Any) -> str:
        """A job that is cut, its messages lost: nothing happens by itself."""
        job_id = await self.stack.submit(content, **{"provider": "openai", **fields})
        await split(self.stack.context, job_id)
        await self.stack.drop_messages("topic:chunks")
        return job_id

    async def claim(self, job_id: str, number: int = 0) -> ChunkRun:
        """A holder of the chunk that never was before."""
        claim = await self.stack.context.chunks.claim(job_id, number, f"holder-{next(_names)}", LEASE_SECONDS)
        assert isinstance(claim, ClaimedChunk)
        return ChunkRun(self.stack.runtime, await self.stack.job(job_id), claim)

    async def crash(self, job_id: str, times: int, number: int = 0) -> None:
        """So many holders are never heard of again."""
        for _ in range(times):
            await self.claim(job_id, number)
            self.clock.advance(LEASE_SECONDS + 1)

    async def process(self, job_id: str, number: int = 0) -> None:
        await process_chunk(self.stack.runtime, ProcessChunk(job_id=job_id, chunk=number))

    async def chunk(self, job_id: str, number: int = 0) -> Chunk:
        return [chunk async for chunk in self.stack.context.chunks.list_all(job_id)][number]

    async def rewrite_chunk(self, job_id: str, **changes: Any) -> None:
        """Claim the chunk and release it with other fields, as earlier holders may have left it."""
        claim = await self.stack.context.chunks.claim(job_id, 0, f"holder-{next(_names)}", LEASE_SECONDS)
        assert isinstance(claim, ClaimedChunk)
        await self.stack.context.chunks.update(claim, claim.chunk.model_copy(update={"holder": None, **changes}))

    async def admits_call(self, run: ChunkRun) -> bool:
        """Return whether one more call of the chunk may start. The call ends at once, without a reply."""
        slots, breaker = self.stack.runtime.call_slots, self.stack.runtime.circuit_breaker("openai", run.job.model)
        admission = Admission(self.stack.context, run.stop, run.lease, run.attempts, run.budget, slots)
        async with admission.acquire(breaker) as permit:
            return permit is not None

    async def worker_tasks(self) -> list[tuple[bytes, float]]:
        """Return the tasks of the worker's queue: the command, and the time before which it is not delivered."""
        sql = "select body, not_before from deliveries where source = 'queue:worker' order by id"
        return await self.stack.database.read(lambda connection: connection.execute(sql).fetchall())

    async def errors(self, job_id: str) -> list[tuple[int, str]]:
        return [(line["line"], line["error"]) for line in await self.stack.errors(job_id)]


@asynccontextmanager
async def chunk_scenario(folder: Path, **settings: Any) -> AsyncIterator[ChunkScenario]:
    clock = ManualClock()
    async with fake_provider() as provider:
        keys: dict[str, Any] = {"provider_keys": {"openai": "CANARY-key"}, "provider_urls": {"openai": provider.url}}
        async with in_process_stack(folder, clock, **keys, **settings) as one:
            made = ChunkScenario(one, clock, provider)

            async def act(prompt: str, call: int) -> web.Response | None:
                made.called_prompts.append(prompt)
                await asyncio.sleep(0.002)
                return None

            provider.script = act
            yield made


def add_result(run: ChunkRun, line: int, result: str = "r", prompt_id: str | None = None, tokens: int = 3) -> None:
    """Add a result to the output of a holder. The prompt ids of `prompts` count from 0, lines from 1."""
    prompt = Prompt(prompt_id or f"id-{line - 1}", "p")
    run.output.add_result(line, prompt, {"result": result, "tokens_used": tokens, "usage": {"output_tokens": 1}})


@asynccontextmanager
async def throttled_job(folder: Path) -> AsyncIterator[tuple[ChunkScenario, str]]:
    """Yield a job of five prompts whose provider answers the first and throttles the others.

    The one chunk was processed once and is deferred until the provider accepts calls again.
    """

    async def act(prompt: str, call: int) -> web.Response | None:
        return None if prompt == "prompt 0" else openai_error(429, **{"Retry-After": "100"})

    async with chunk_scenario(folder, max_inline_wait_seconds=0.1) as made:
        made.provider.script = act
        job_id = await made.submit(prompts(5) + PADDING)
        await made.process(job_id)
        yield made, job_id
