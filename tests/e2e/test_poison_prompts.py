"""A prompt that crashes each worker gets an error line, and costs no other prompt its answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from promptforge.bootstrap import build_context, build_worker_runtime
from promptforge.domain.chunk import ISOLATE_AFTER_CRASHES, Chunk
from promptforge.domain.commands import ProcessChunk
from promptforge.domain.job import Status
from promptforge.state.objects import upload_object
from promptforge.worker.isolation import MAX_ISOLATED_CRASHES
from promptforge.worker.process_chunk import ABANDON_AFTER_CRASHES, ABANDON_AFTER_ERRORS, process_chunk
from tests.fakes.faulty_objects import FailingReads
from tests.harness.chunk_scenario import LEASE_SECONDS, PADDING, ChunkScenario, add_result, chunk_scenario
from tests.harness.context import replaced_adapters
from tests.harness.lines import prompts

SIX_LINES_GROUPS = 3
"""The largest number of groups of six lines, of three and of two that crash before a prompt is called alone."""


async def test_poison_prompt_in_flight_at_each_crash_fails_alone(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(b"\nbad line\n" + prompts(6) + PADDING)
        await scenario.crash(job_id, ISOLATE_AFTER_CRASHES)
        first = await scenario.claim(job_id)
        add_result(first, 3, "paid before", prompt_id="id-0")
        await first.output.flush()
        scenario.clock.advance(LEASE_SECONDS + 1)
        for _ in range(MAX_ISOLATED_CRASHES):
            lease, end = (await scenario.claim(job_id)).lease, scenario.clock.time + LEASE_SECONDS
            await lease.update(partial(Chunk.isolating, first=4, last=4, until=end))
            scenario.clock.advance(LEASE_SECONDS + 1)
            await scenario.crash(job_id, 1)  # before its first call: this one does not count
        await scenario.process(job_id)
        finished = await scenario.stack.wait_until_finished(job_id)
        results = await scenario.stack.results(job_id)

        assert await scenario.errors(job_id) == [(2, "invalid_json"), (4, "worker_crash")]
        assert scenario.called_prompts == [f"prompt {number}" for number in range(2, 6)]
        assert [line["prompt_id"] for line in results] == ["id-0", "id-2", "id-3", "id-4", "id-5"]
        assert (finished.status, finished.completed_count, finished.failed_count) == (Status.COMPLETED, 5, 2)


async def test_poison_prompts_two_in_one_chunk_both_fail_and_all_others_are_answered(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario, AsyncExitStack() as processes:
        job_id = await scenario.submit(prompts(6) + PADDING)
        crashed = asyncio.Event()

        async def act(prompt: str, call: int) -> None:
            if prompt in ("prompt 1", "prompt 4"):
                crashed.set()
                await asyncio.Event().wait()

        scenario.provider.script = act
        count, crashes_of_one = 0, SIX_LINES_GROUPS + MAX_ISOLATED_CRASHES
        while (await scenario.chunk(job_id)).open:
            assert (count := count + 1) <= ISOLATE_AFTER_CRASHES + 2 * crashes_of_one + 1
            await processes.enter_async_context(process_until(scenario, job_id, crashed))
            scenario.clock.advance(LEASE_SECONDS + 1)
        finished = await scenario.stack.wait_until_finished(job_id)

        assert await scenario.errors(job_id) == [(2, "worker_crash"), (5, "worker_crash")]
        assert [line["result"] for line in await scenario.stack.results(job_id)] == [
            f"PROMPT {n}" for n in (0, 2, 3, 5)
        ]
        assert (finished.status, finished.completed_count, finished.failed_count) == (Status.COMPLETED, 4, 2)
        assert max(scenario.provider.call_counts.values()) <= ISOLATE_AFTER_CRASHES + crashes_of_one


@asynccontextmanager
async def process_until(scenario: ChunkScenario, job_id: str, crashed: asyncio.Event) -> AsyncIterator[None]:
    """Process the chunk in a context of its own until it is complete or `crashed` is set.

    After a crash its call gets no reply until the end of the test.
    """
    context = build_context(scenario.stack.context.settings, scenario.clock)
    runtime = build_worker_runtime(context)
    crashed.clear()
    processing = asyncio.create_task(process_chunk(runtime, ProcessChunk(job_id=job_id, chunk=0)))
    crash = asyncio.create_task(crashed.wait())
    await asyncio.wait([processing, crash], return_when=asyncio.FIRST_COMPLETED)
    crash.cancel()
    try:
        yield
    finally:
        processing.cancel()
        await asyncio.gather(processing, return_exceptions=True)
        await runtime.close()
        await context.close()


async def test_poison_chunk_after_a_hundred_crashes_fails_every_line_unread(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(3) + b"bad line\n" + PADDING)
        first = await scenario.claim(job_id)
        await scenario.stack.context.uploads.delete(upload_object(job_id))
        scenario.clock.advance(LEASE_SECONDS + 1)
        await scenario.crash(job_id, ABANDON_AFTER_CRASHES - 1)
        await scenario.process(job_id)
        finished = await scenario.stack.wait_until_finished(job_id)

        assert first.lease.chunk.epoch == 1
        assert await scenario.errors(job_id) == [(line, "worker_crash") for line in range(1, 5)]
        assert (finished.status, finished.error and finished.error.code) == (Status.FAILED, "all_prompts_failed")
        assert scenario.called_prompts == []


async def test_poison_chunk_after_twenty_errors_fails_every_line_unread(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(3) + PADDING)
        uploads = FailingReads(scenario.stack.context.uploads, ZeroDivisionError())
        async with replaced_adapters(scenario.stack, uploads=uploads):
            for _ in range(ABANDON_AFTER_ERRORS):
                with pytest.raises(ZeroDivisionError):
                    await scenario.process(job_id)
        await scenario.stack.context.uploads.delete(upload_object(job_id))
        await scenario.process(job_id)
        await scenario.stack.wait_until_finished(job_id)

        assert await scenario.errors(job_id) == [(line, "worker_fault") for line in range(1, 4)]


async def test_poison_chunk_of_a_cancelled_job_ends_as_cancelled(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(3) + PADDING)
        await scenario.crash(job_id, ISOLATE_AFTER_CRASHES + MAX_ISOLATED_CRASHES)
        await scenario.stack.cancel(job_id)
        finished = await scenario.stack.wait_until_finished(job_id)

        assert finished.status is Status.CANCELLED
        assert await scenario.errors(job_id) == [(line, "cancelled") for line in range(1, 4)]
        assert scenario.called_prompts == []
