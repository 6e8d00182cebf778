"""A function as the platform runs it: a process of functions-framework that receives SIGTERM during its work."""

import asyncio
import base64
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import orjson
from tests.fakes.provider import FakeProvider, answer_after, fake_provider
from tests.harness.function_processes import function_processes
from tests.harness.in_process import InProcessStack, in_process_stack
from tests.harness.lines import prompts

from promptforge.domain.chunk import Chunk
from promptforge.domain.commands import ProcessChunk
from promptforge.pipeline.split import split

IN_FLIGHT = 8
ONE_CHUNK = b" " * 40_000


async def chunk_of(one: InProcessStack, job_id: str) -> Chunk:
    (chunk,) = [chunk async for chunk in one.context.chunks.list_all(job_id)]
    return chunk


async def terminate_during_calls(
    one: InProcessStack, provider: FakeProvider, folder: Path
) -> tuple[str, int, int, float]:
    """Send SIGTERM to a worker function while it processes a job of one chunk.

    Returns the job id, the status of the function's response, its exit code and the seconds until its exit.
    """
    job_id = await one.submit(prompts(40) + ONE_CHUNK, provider="openai")
    await split(one.context, job_id)
    data = base64.b64encode(ProcessChunk(job_id=job_id, chunk=0).encode()).decode()
    push = orjson.dumps({"message": {"data": data, "messageId": "1"}, "subscription": "s"})
    environ = {
        "PROMPTFORGE_DATA_DIR": str(folder),
        "PROMPTFORGE_MAX_IN_FLIGHT": str(IN_FLIGHT),
        "OPENAI_API_KEY": "k",
        "OPENAI_BASE_URL": provider.url,
    }
    async with function_processes(["worker"], environ) as functions, httpx.AsyncClient(timeout=60) as client:
        process = functions["worker"].process
        posted = asyncio.create_task(client.post(functions["worker"].url, content=push))
        async with asyncio.timeout(20):
            while provider.in_flight < IN_FLIGHT:
                await asyncio.sleep(0.01)
        signalled_at = time.monotonic()
        process.send_signal(signal.SIGTERM)
        code = await process.wait()
        seconds = time.monotonic() - signalled_at
        status = (await posted).status_code
    return job_id, status, code, seconds


@asynccontextmanager
async def stack_and_provider(folder: Path, call_seconds: float) -> AsyncIterator[tuple[InProcessStack, FakeProvider]]:
    """Run a stack without a worker, and a provider whose calls take `call_seconds`."""
    async with (
        fake_provider(answer_after(call_seconds)) as provider,
        in_process_stack(folder, provider_keys={"openai": "k"}, provider_urls={"openai": provider.url}) as one,
    ):
        yield one, provider


async def test_function_sigterm_completes_calls_in_flight_and_repeats_none(tmp_path: Path) -> None:
    async with stack_and_provider(tmp_path, 1.5) as (one, provider):
        job_id, status, code, seconds = await terminate_during_calls(one, provider, tmp_path)
        chunk, calls = await chunk_of(one, job_id), provider.call_counts.total()
        provider.script = answer_after(0)
        job = await one.wait_until_finished(job_id)

    assert (status, code) == (204, 0)
    assert seconds < 5
    assert (chunk.holder, chunk.open, chunk.completed) == (None, True, calls)
    assert IN_FLIGHT <= calls < 40
    assert (job.status, job.completed_count) == ("COMPLETED", 40)
    assert set(provider.call_counts.values()) == {1}


async def test_function_sigterm_with_hanging_calls_exits_within_nine_seconds(tmp_path: Path) -> None:
    async with stack_and_provider(tmp_path, 60) as (one, provider):
        job_id, status, code, seconds = await terminate_during_calls(one, provider, tmp_path)
        chunk = await chunk_of(one, job_id)

    assert (status, code) == (204, 0)
    assert 6.5 < seconds < 9
    assert (chunk.holder, chunk.open, chunk.crash_count) == (None, True, 0)
