"""Writes of processes that stalled while a job was erased.

Nothing of the erased job remains, and the next job of the same Idempotency-Key keeps its own input and results.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from promptforge.domain.chunk import ChunkRange
from promptforge.domain.commands import ProcessChunk
from promptforge.domain.timeouts import ERASE_RETRY_SECONDS, MAX_PROCESS_STALL_SECONDS
from promptforge.errors import LeaseLost
from promptforge.pipeline.erase import erase
from promptforge.pipeline.finalize import finalize
from promptforge.pipeline.split import split
from promptforge.worker.process_chunk import process_chunk
from tests.fakes.stalling import StallingPort
from tests.harness.chunk_scenario import ChunkScenario, add_result, chunk_scenario
from tests.harness.clock import ManualClock
from tests.harness.context import with_adapters
from tests.harness.erasing import advance, wait_until_erased
from tests.harness.in_process import InProcessStack, in_process_stack
from tests.harness.lines import prompts


async def _post_init(one: InProcessStack) -> httpx.Response:
    headers = {**one.headers, "Idempotency-Key": "k-1"}
    return await one.http.post("/v1/jobs/init", json={"provider": "echo", "model": "m"}, headers=headers)


async def _run(one: InProcessStack, count: int) -> str:
    """Run the job of the one Idempotency-Key with that number of prompts."""
    created = (await _post_init(one)).json()
    assert (await one.put(created["upload_url"], prompts(count))).status_code == 200
    job_id: str = created["job_id"]
    await one.wait_until_finished(job_id)
    return job_id


async def _assert_erased_and_id_is_free(one: InProcessStack, clock: ManualClock, job_id: str) -> None:
    """Assert that nothing remains in the end, and that the next job of the Idempotency-Key has its own results."""
    await wait_until_erased(one, clock)
    assert await one.remaining_data(job_id) == []
    await _run(one, 2)
    assert len(await one.results(job_id)) == 2


async def _write_late_objects(made: ChunkScenario, job_id: str, chunk_range: ChunkRange) -> None:
    """Write what a crashing worker, a finalizer, a splitter and an upload may write after the first removal."""
    app = made.stack.context
    await app.work.create(f"{job_id}/00000000/000001-000000", b"segment")
    await app.results.create(f"{job_id}/results_part_001.jsonl", b"results")
    await app.chunks.create_missing(job_id, [chunk_range], due_at=0)
    await app.uploads.create(f"{job_id}/input.jsonl", prompts(1))


async def test_erase_removes_writes_that_follow_the_first_removal(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as made:
        one = made.stack
        job_id = await made.submit(prompts(3))
        run = await made.claim(job_id)
        add_result(run, 1)
        chunk_range = ChunkRange(**run.lease.chunk.model_dump(include=set(ChunkRange.model_fields)))
        await one.delete(job_id)
        await one.deliver_all()

        with pytest.raises(LeaseLost):
            await run.output.flush()
        with pytest.raises(LeaseLost):
            await run.output.complete()
        assert await one.remaining_data(job_id) == [f"jobs/{job_id}"]  # the holder deleted its own late writes

        await _write_late_objects(made, job_id, chunk_range)
        await one.deliver_all()
        assert len(await one.remaining_data(job_id)) == 5
        await advance(one, made.clock, ERASE_RETRY_SECONDS + 1)
        assert await one.remaining_data(job_id) == [f"jobs/{job_id}"]
        await wait_until_erased(one, made.clock)
        assert await one.remaining_data(job_id) == []


async def test_finalize_after_the_delete_writes_nothing(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await one.submit(prompts(3))
        await split(one.context, job_id)
        await process_chunk(one.runtime, ProcessChunk(job_id=job_id, chunk=0))
        await one.delete(job_id)
        await finalize(one.context, job_id)
        await one.deliver_all()

        assert await one.remaining_data(job_id) == [f"jobs/{job_id}"]


async def test_erase_removes_the_manifest_of_a_stalled_finalizer(tmp_path: Path) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock) as one:
        created = (await _post_init(one)).json()
        job_id = created["job_id"]
        await one.put(created["upload_url"], prompts(3))
        await split(one.context, job_id)
        for number in range((await one.job(job_id)).chunk_count or 0):
            await process_chunk(one.runtime, ProcessChunk(job_id=job_id, chunk=number))
        results = StallingPort(one.context.results, "create", skip=1)  # the manifest is written after the errors file
        finalizing = asyncio.create_task(finalize(with_adapters(one.context, results=results), job_id))
        await results.wait_until_stalled()
        await one.delete(job_id)
        await one.deliver_all()
        await advance(one, clock, 2 * 3600)
        results.resume()
        await finalizing

        assert await one.remaining_data(job_id) == [f"jobs/{job_id}", f"results/{job_id}/manifest.json"]
        await _assert_erased_and_id_is_free(one, clock, job_id)


async def test_erase_removes_an_upload_that_ends_long_after_the_delete(tmp_path: Path) -> None:
    clock, begun, may_end = ManualClock(), asyncio.Event(), asyncio.Event()

    async def slow_content() -> AsyncIterator[bytes]:
        yield prompts(1)
        begun.set()
        await may_end.wait()
        yield prompts(1, first=1)

    async with in_process_stack(tmp_path, clock) as one:
        created = (await _post_init(one)).json()
        job_id = created["job_id"]
        uploading = asyncio.create_task(one.http.put(created["upload_url"], content=slow_content()))
        await begun.wait()
        await one.delete(job_id)
        await one.deliver_all()
        await advance(one, clock, 100 * 60)
        may_end.set()
        assert (await uploading).status_code == 200

        await one.deliver_all()
        await _assert_erased_and_id_is_free(one, clock, job_id)


async def test_erase_stalled_before_its_removal_ends_before_the_id_is_free(tmp_path: Path) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock) as one:
        job_id = await _run(one, 3)
        await one.delete(job_id)
        await one.deliver_all()
        clock.advance(MAX_PROCESS_STALL_SECONDS + 3600)
        stalled = [StallingPort(one.context.documents, "query") for _ in range(2)]
        erasing = []
        for documents in stalled:  # the second run begins when the first has stalled for the longest possible time
            erasing.append(asyncio.create_task(erase(with_adapters(one.context, documents=documents), job_id)))
            await documents.wait_until_stalled()
            if documents is stalled[0]:
                clock.advance(MAX_PROCESS_STALL_SECONDS)
        stalled[0].resume()
        await erasing[0]
        for _ in range(7):
            await advance(one, clock, MAX_PROCESS_STALL_SECONDS / 7 - 1)
        refused = await _post_init(one)
        stalled[1].resume()
        await erasing[1]

        assert (refused.status_code, refused.json()["code"]) == (409, "job_deleted")
        await _assert_erased_and_id_is_free(one, clock, job_id)


async def _stall_at_last_step(one: InProcessStack, clock: ManualClock) -> tuple[str, StallingPort, asyncio.Task[None]]:
    """Delete a job and stall the run that is about to remove its tombstone."""
    job_id = await _run(one, 3)
    await one.delete(job_id)
    await one.deliver_all()
    await advance(one, clock, MAX_PROCESS_STALL_SECONDS + 3600)
    clock.advance(2 * MAX_PROCESS_STALL_SECONDS)
    documents = StallingPort(one.context.documents, "get", skip=1)
    erasing = asyncio.create_task(erase(with_adapters(one.context, documents=documents), job_id))
    await documents.wait_until_stalled()
    return job_id, documents, erasing


async def test_erase_stalled_before_its_last_step_leaves_a_new_job_alone(tmp_path: Path) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock) as one:
        job_id, stalling, erasing = await _stall_at_last_step(one, clock)
        await erase(one.context, job_id)
        await _run(one, 2)
        job = await one.job(job_id)
        stalling.resume()
        await erasing

        assert await one.job(job_id) == job
        assert len(await one.results(job_id)) == 2


async def test_erase_stalled_before_its_last_step_leaves_a_new_tombstone_alone(tmp_path: Path) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock) as one:
        job_id, stalling, erasing = await _stall_at_last_step(one, clock)
        await erase(one.context, job_id)
        await one.delete(await _run(one, 2))
        stalling.resume()
        await erasing
        await one.deliver_all()

        assert await one.remaining_data(job_id) == [f"jobs/{job_id}"]


async def test_erase_a_month_after_the_delete_removes_everything(tmp_path: Path) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock) as one:
        job_id = await _run(one, 3)
        await one.delete(job_id)
        await advance(one, clock, 30 * 24 * 3600)

        assert await one.remaining_data(job_id) == [f"jobs/{job_id}"]
        await _assert_erased_and_id_is_free(one, clock, job_id)
