"""The lease of a chunk: renewed in time, released now or until later, and released after an error."""

import asyncio
from pathlib import Path

import pytest

from promptforge.domain.chunk import ISOLATE_AFTER_CRASHES
from promptforge.domain.commands import ProcessChunk
from promptforge.errors import LeaseLost, Unavailable
from promptforge.worker.stop_signal import Release
from tests.fakes.faulty_documents import LostReplies, UnavailableWrites
from tests.harness.chunk_scenario import LEASE_SECONDS, PADDING, RUN_ERRORS, ChunkScenario, add_result, chunk_scenario
from tests.harness.context import replaced_adapters
from tests.harness.lines import prompts
from tests.harness.queue_entries import QueueEntry, queue_entries


async def test_lease_released_until_later_schedules_the_chunk_for_then(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(9) + PADDING)
        run = await scenario.claim(job_id)
        add_result(run, 1)
        until = scenario.clock.time + 100
        run.stop.release_at(until)
        run.stop.release_at(until - 50)
        assert run.stop.reason == Release(until)
        await run.output.flush()
        await run.lease.release(until)
        chunk = await scenario.chunk(job_id)

        assert (chunk.holder, chunk.resume_at, chunk.due_at, chunk.completed) == (None, until, until + LEASE_SECONDS, 1)
        command = ProcessChunk(job_id=job_id, chunk=0).encode()
        assert await queue_entries(scenario.stack, "queue:worker") == [QueueEntry("queue:worker", command, until)]
        scenario.clock.advance(100)
        assert (await scenario.stack.wait_until_finished(job_id)).completed_count == 9


async def test_lease_released_at_once_schedules_the_chunk_at_once(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(9) + PADDING)
        run = await scenario.claim(job_id)
        await run.lease.release(0.0)
        chunk, now = await scenario.chunk(job_id), scenario.clock.time

        assert (chunk.resume_at, chunk.due_at, chunk.crash_count) == (now, now + LEASE_SECONDS, 0)
        command = ProcessChunk(job_id=job_id, chunk=0).encode()
        assert await queue_entries(scenario.stack, "queue:worker") == [QueueEntry("queue:worker", command, now)]


@pytest.mark.parametrize(
    ("crash_count", "called", "after"), [(2, False, 2), (2, True, 0), (5, False, 5), (5, True, ISOLATE_AFTER_CRASHES)]
)
async def test_lease_release_resets_crash_count_only_after_a_call(
    tmp_path: Path, crash_count: int, called: bool, after: int
) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(9) + PADDING)
        await scenario.crash(job_id, crash_count)
        run = await scenario.claim(job_id)
        before = run.lease.chunk.crash_count
        if called:
            assert await scenario.admits_call(run)
        await run.lease.release(0.0)

        assert (before, (await scenario.chunk(job_id)).crash_count) == (crash_count, after)


@pytest.mark.parametrize(("error", "error_count"), RUN_ERRORS)
async def test_lease_released_after_error_can_be_claimed_at_once(
    tmp_path: Path, error: BaseException, error_count: int
) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(9) + PADDING)
        run = await scenario.claim(job_id)
        add_result(run, 1)
        scenario.clock.advance(5)
        await run.output.flush()
        await run.lease.release_after_error(error)
        chunk = await scenario.chunk(job_id)

        assert (chunk.holder, chunk.due_at, chunk.error_count) == (None, scenario.clock.time, error_count)
        assert chunk.completed == 1
        assert (await scenario.claim(job_id)).lease.chunk.epoch == 2


async def test_lease_ensure_valid_renews_only_an_expired_lease(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(9) + PADDING)
        run, claimed_at = await scenario.claim(job_id), scenario.clock.time
        scenario.clock.advance(LEASE_SECONDS - 0.5)
        assert await scenario.admits_call(run)
        before = await scenario.chunk(job_id)
        scenario.clock.advance(0.5)
        assert await scenario.admits_call(run)
        renewed = await scenario.chunk(job_id)
        scenario.clock.advance(LEASE_SECONDS + 1)
        await scenario.claim(job_id)
        with pytest.raises(LeaseLost):
            await scenario.admits_call(run)

    assert (before.due_at, renewed.due_at) == (claimed_at + LEASE_SECONDS, claimed_at + 2 * LEASE_SECONDS)


async def test_lease_heartbeat_renews_while_no_answer_comes(tmp_path: Path) -> None:
    answer = asyncio.Event()

    async def act(prompt: str, call: int) -> None:
        await answer.wait()

    async with chunk_scenario(tmp_path, heartbeat_seconds=0.01) as scenario:
        job_id = await scenario.submit(prompts(1))
        scenario.provider.script = act
        processing = asyncio.create_task(scenario.process(job_id))
        for _ in range(3):
            await _lease_end(scenario, job_id, scenario.clock.time + LEASE_SECONDS)
            scenario.clock.advance(LEASE_SECONDS / 2)
        await _lease_end(scenario, job_id, scenario.clock.time + LEASE_SECONDS)
        answer.set()
        await processing
        chunk = await scenario.chunk(job_id)

    assert (chunk.open, chunk.epoch, scenario.provider.call_counts.total()) == (False, 1, 1)


async def test_lease_heartbeat_after_failed_writes_renews_in_time(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path, heartbeat_seconds=0.01, flush_seconds=0.01) as scenario:
        job_id = await scenario.submit(prompts(1))
        documents = UnavailableWrites(scenario.stack.context.documents)
        async with replaced_adapters(scenario.stack, documents=documents):
            run = await scenario.claim(job_id)
            documents.rejections = 3
            scenario.clock.advance(LEASE_SECONDS / 2)
            heartbeat = asyncio.create_task(run.lease.heartbeat())
            await _lease_end(scenario, job_id, scenario.clock.time + LEASE_SECONDS)
            heartbeat.cancel()

        assert documents.rejections == 0


async def test_lease_heartbeat_of_a_lost_lease_raises(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path, heartbeat_seconds=0.01) as scenario:
        job_id = await scenario.submit(prompts(1))
        old = await scenario.claim(job_id)
        scenario.clock.advance(LEASE_SECONDS + 1)
        new = await scenario.claim(job_id)
        async with asyncio.timeout(20):
            with pytest.raises(LeaseLost):
                await old.lease.heartbeat()

        assert await scenario.chunk(job_id) == new.lease.chunk


async def _lease_end(scenario: ChunkScenario, job_id: str, until: float) -> None:
    """Wait until the lease of the chunk ends then."""
    async with asyncio.timeout(20):
        while (chunk := await scenario.chunk(job_id)).holder is None or chunk.due_at != until:
            await asyncio.sleep(0.001)


async def test_lease_renewal_after_a_flush_with_lost_reply_keeps_the_segment(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(9) + PADDING)
        documents = LostReplies(scenario.stack.context.documents)
        async with replaced_adapters(scenario.stack, documents=documents):
            run = await scenario.claim(job_id)
            add_result(run, 1)
            documents.lose_next = lambda writes: True
            with pytest.raises(Unavailable):
                await run.output.flush()
            flushed = await scenario.chunk(job_id)
            scenario.clock.advance(1)
            await run.lease.renew()
            renewed = await scenario.chunk(job_id)

        assert len(flushed.segments) == 1
        assert (renewed.segments, renewed.completed, renewed.due_at) == (flushed.segments, 1, flushed.due_at + 1)


async def test_lease_renewal_after_a_lost_reply_and_another_claim_raises_lease_lost(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(9) + PADDING)
        documents = LostReplies(scenario.stack.context.documents)
        async with replaced_adapters(scenario.stack, documents=documents):
            run = await scenario.claim(job_id)
            documents.lose_next = lambda writes: True
            with pytest.raises(Unavailable):
                await run.lease.renew()
            scenario.clock.advance(LEASE_SECONDS + 1)
            await scenario.claim(job_id)

            with pytest.raises(LeaseLost):
                await run.lease.renew()


async def test_lease_write_after_a_completion_with_lost_reply_changes_nothing(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(1))
        documents = LostReplies(scenario.stack.context.documents)
        async with replaced_adapters(scenario.stack, documents=documents):
            run = await scenario.claim(job_id)
            add_result(run, 1)
            documents.lose_next = lambda writes: True
            with pytest.raises(Unavailable):
                await run.output.complete()
            completed = await scenario.chunk(job_id)
            await run.lease.release_after_error(Unavailable("documents", "lost"))
            await run.output.complete()

        assert not completed.open
        assert await scenario.chunk(job_id) == completed
