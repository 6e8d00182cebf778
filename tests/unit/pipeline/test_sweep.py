"""The sweep: expired leases, lost deliveries and late uploads; and the leases of a process that has exited."""

from pathlib import Path

import pytest

from promptforge.adapters.local.queue import MAX_ATTEMPTS, SqliteQueue
from promptforge.domain.chunk import Chunk
from promptforge.domain.commands import ProcessChunk
from promptforge.domain.job import Status
from promptforge.domain.timeouts import UNCLAIMED_REQUEUE_SECONDS
from promptforge.pipeline.split import split
from promptforge.pipeline.sweep import expire_leases, sweep
from promptforge.state.chunks import ClaimedChunk
from promptforge.worker.process_chunk import process_chunk
from tests.harness.chunk_scenario import LEASE_SECONDS, PADDING
from tests.harness.clock import ManualClock
from tests.harness.in_process import InProcessStack, in_process_stack
from tests.harness.lines import prompts


async def split_job(stack: InProcessStack) -> str:
    job_id = await stack.submit(prompts(1))
    await split(stack.context, job_id)
    return job_id


async def claim(stack: InProcessStack, job_id: str, holder: str) -> None:
    assert isinstance(await stack.context.chunks.claim(job_id, 0, holder, LEASE_SECONDS), ClaimedChunk)


async def test_expire_leases_of_an_exited_process_frees_its_chunks_only(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path, ManualClock()) as stack:
        jobs = [await split_job(stack), await split_job(stack)]
        for job_id, holder in zip(jobs, ("exited.1", "running.1"), strict=True):
            await claim(stack, job_id, holder)
        await expire_leases(stack.context, "exited")

        assert isinstance(await stack.context.chunks.claim(jobs[0], 0, "next", LEASE_SECONDS), ClaimedChunk)
        assert isinstance(await stack.context.chunks.claim(jobs[1], 0, "next", LEASE_SECONDS), Chunk)


async def test_sweep_publishes_chunks_with_an_expired_lease(tmp_path: Path) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock) as stack:
        job_id = await split_job(stack)
        await stack.database.write(lambda connection: connection.execute("delete from deliveries"))
        await claim(stack, job_id, "crashed")
        clock.advance(LEASE_SECONDS + 1)
        await sweep(stack.context)

        assert (await stack.wait_until_finished(job_id)).status is Status.COMPLETED


async def test_sweep_of_an_expired_job_with_a_late_upload_completes_it(tmp_path: Path) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock) as stack:
        created = await stack.init()
        job_id = created["job_id"]
        await stack.put(created["upload_url"], prompts(1))
        clock.advance(15 * 60 + 3601)
        finished = await stack.wait_until_finished(job_id)

    assert finished.status is Status.COMPLETED


@pytest.mark.parametrize("source", ["bucket:uploads", "topic:chunks", "queue:finalizer"])
@pytest.mark.parametrize("dead_lettered", [True, False])
async def test_sweep_requeues_what_a_lost_or_dead_lettered_delivery_requested(
    tmp_path: Path, source: str, dead_lettered: bool
) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock) as stack:
        job_id = await stack.submit(prompts(2) + PADDING)
        if source != "bucket:uploads":
            await split(stack.context, job_id)
        if source == "queue:finalizer":
            await process_chunk(stack.runtime, ProcessChunk(job_id=job_id, chunk=0))
        deliveries = SqliteQueue(stack.database, clock)
        for attempt in range(1, MAX_ATTEMPTS + 1):
            if not dead_lettered:
                await stack.drop_messages(source)
                break
            (delivery,) = await deliveries.claim(source, 10, 600)
            assert await deliveries.nack(delivery) == (attempt == MAX_ATTEMPTS)
            clock.advance(61)
        assert await deliveries.claim(source, 10, 600) == []
        clock.advance(UNCLAIMED_REQUEUE_SECONDS)
        await sweep(stack.context)
        finished = await stack.wait_until_finished(job_id)

        assert (finished.status, finished.error) == (Status.COMPLETED, None)
