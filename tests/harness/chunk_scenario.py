"""Scenarios of one chunk: a test claims it, crashes its holders and processes it, step by step."""

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
from promptforge.errors import Unavailable
from promptforge.pipeline.split import split
from promptforge.state.chunks import ClaimedChunk
from promptforge.worker.admission import Admission
from promptforge.worker.chunk_run import ChunkRun
from promptforge.worker.process_chunk import process_chunk
from tests.fakes.provider import FakeProvider, openai_error
from tests.harness.clock import ManualClock
from tests.harness.in_process import InProcessStack
from tests.harness.lines import prompts
from tests.harness.openai_stack import openai_stack

LEASE_SECONDS = 60
PADDING = b" " * 150_000  # blank space that keeps a file of up to 200 prompts in one chunk
LATENCY_SECONDS = 0.002
RUN_ERRORS = [
    (ZeroDivisionError(), 1),
    (Unavailable("documents", "timeout"), 0),
    (asyncio.CancelledError(), 0),
    (KeyboardInterrupt(), 0),
]
"""Errors that end the processing of a chunk, and by how much each raises the error count of the chunk."""

_holder_numbers = itertools.count()


@dataclass
class ChunkScenario:
    """A stack with a manual clock and a fake provider.

    `called_prompts` lists the prompts in the order of their calls, until a test replaces the provider's script.
    """

    stack: InProcessStack
    clock: ManualClock
    provider: FakeProvider
    called_prompts: list[str] = field(default_factory=list)

    async def submit(self, content: bytes, **fields: Any) -> str:
        """Create a job, split it and drop its messages, so that nothing happens by itself.

        Returns the job id.
        """
        job_id = await self.stack.submit(content, **{"provider": "openai", **fields})
        await split(self.stack.context, job_id)
        await self.stack.drop_messages("topic:chunks")
        return job_id

    async def claim(self, job_id: str, number: int = 0) -> ChunkRun:
        """Claim a chunk for a new holder."""
        return ChunkRun(self.stack.runtime, await self.stack.job(job_id), await self._claim(job_id, number))

    async def crash(self, job_id: str, times: int, number: int = 0) -> None:
        """Let this number of holders claim a chunk and crash, one after the other."""
        for _ in range(times):
            await self.claim(job_id, number)
            self.clock.advance(LEASE_SECONDS + 1)

    async def process(self, job_id: str, number: int = 0) -> None:
        """Process a chunk, as a delivered command does."""
        await process_chunk(self.stack.runtime, ProcessChunk(job_id=job_id, chunk=number))

    async def chunk(self, job_id: str, number: int = 0) -> Chunk:
        """Return the document of a chunk."""
        return [chunk async for chunk in self.stack.context.chunks.list_all(job_id)][number]

    async def rewrite_chunk(self, job_id: str, **changes: Any) -> None:
        """Claim the first chunk and release it with other fields, as earlier holders may have left it."""
        claim = await self._claim(job_id, 0)
        await self.stack.context.chunks.update(claim, claim.chunk.model_copy(update={"holder": None, **changes}))

    async def admits_call(self, run: ChunkRun) -> bool:
        """Return whether one more call of the chunk may start.

        The call ends at once, without a response.
        """
        slots, breaker = self.stack.runtime.call_slots, self.stack.runtime.circuit_breaker("openai", run.job.model)
        admission = Admission(self.stack.context, run.stop, run.lease, run.attempts, run.budget, slots)
        async with admission.acquire(breaker) as permit:
            return permit is not None

    async def errors(self, job_id: str) -> list[tuple[int, str]]:
        """Return the line number and the code of every error line."""
        return [(line["line"], line["error"]) for line in await self.stack.errors(job_id)]

    async def _claim(self, job_id: str, number: int) -> ClaimedChunk:
        holder = f"holder-{next(_holder_numbers)}"
        claim = await self.stack.context.chunks.claim(job_id, number, holder, LEASE_SECONDS)
        assert isinstance(claim, ClaimedChunk)
        return claim


@asynccontextmanager
async def chunk_scenario(folder: Path, **settings: Any) -> AsyncIterator[ChunkScenario]:
    """Run a stack for a scenario with these settings."""
    called_prompts: list[str] = []

    async def script(prompt: str, call: int) -> None:
        called_prompts.append(prompt)
        await asyncio.sleep(LATENCY_SECONDS)

    clock = ManualClock()
    async with openai_stack(folder, script, clock, **settings) as (stack, provider):
        yield ChunkScenario(stack, clock, provider, called_prompts)


def add_result(run: ChunkRun, line: int, result: str = "r", prompt_id: str | None = None, tokens: int = 3) -> None:
    """Add a result to the output of a holder.

    The prompt ids of `prompts` count from 0, lines from 1.
    """
    prompt = Prompt(prompt_id or f"id-{line - 1}", "p")
    run.output.add_result(line, prompt, {"result": result, "tokens_used": tokens, "usage": {"output_tokens": 1}})


@asynccontextmanager
async def throttled_job(folder: Path) -> AsyncIterator[tuple[ChunkScenario, str]]:
    """Yield a job of five prompts whose provider answers the first and throttles the others.

    The one chunk was processed once and is deferred until the provider accepts calls again.
    """

    async def script(prompt: str, call: int) -> web.Response | None:
        return None if prompt == "prompt 0" else openai_error(429, **{"Retry-After": "100"})

    async with chunk_scenario(folder, max_inline_wait_seconds=0.1) as scenario:
        scenario.provider.script = script
        job_id = await scenario.submit(prompts(5) + PADDING)
        await scenario.process(job_id)
        yield scenario, job_id
