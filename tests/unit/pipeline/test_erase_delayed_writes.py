"""Who stands still while a job is erased, and goes on when that is long past: nothing of the job stays, and the next
job of the same Idempotency-Key has its own file and keeps its own results."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
from tests.fakes.stalling import Stalling
from tests.harness.clock import HandClock
from tests.harness.erasing import wait_until_erased
from tests.harness.in_process import InProcessStack, in_process_stack, prompts

from promptforge.domain.commands import ProcessChunk
from promptforge.domain.timeouts import MAX_PROCESS_STALL_SECONDS
from promptforge.pipeline.erase import erase
from promptforge.pipeline.finalize import finalize
from promptforge.pipeline.split import split
from promptforge.pipeline.sweep import sweep
from promptforge.worker.process_chunk import process_chunk


async def _open(one: InProcessStack) -> httpx.Response:
    headers = {**one.headers, "Idempotency-Key": "k-1"}
    return await one.http.post("/v1/jobs/init", json={"provider": "echo", "model": "m"}, headers=headers)


async def _run(one: InProcessStack, count: int) -> str:
    """A job of the one Idempotency-Key, with so many prompts."""
    ticket = (await _open(one)).json()
    assert (await one.put(ticket["upload_url"], prompts(count))).status_code == 200
    job_id: str = ticket["job_id"]
    await one.until_ended(job_id)
    return job_id


async def _pass(one: InProcessStack, clock: HandClock, seconds: float) -> None:
    clock.move(seconds)
    await sweep(one.app)
    await one.deliver_all()


async def _assert_the_next_job_has_its_own(one: InProcessStack, clock: HandClock, job_id: str) -> None:
    """Once nothing is left, a job of the same Idempotency-Key goes the way of any other."""
    await wait_until_erased(one, clock)
    assert await one.remains(job_id) == []
    await _run(one, 2)
    assert len(await one.results(job_id)) == 2


async def test_a_finalizer_that_stood_still_leaves_nothing(tmp_path: Path) -> None:
    clock = HandClock()
    async with in_process_stack(tmp_path, clock) as one:
        ticket = (await _open(one)).json()
        job_id = ticket["job_id"]
        await one.put(ticket["upload_url"], prompts(3))
        await split(one.app, job_id)
        for number in range((await one.job(job_id)).chunk_count or 0):
            await process_chunk(one.runtime, ProcessChunk(job_id=job_id, chunk=number))
        results = Stalling(one.app.results, "create", skip=1)  # the manifest is written after the file of errors
        finishing = asyncio.create_task(finalize(dataclasses.replace(one.app, results=results), job_id))
        await results.reached()
        await one.delete(job_id)
        await one.deliver_all()
        await _pass(one, clock, 2 * 3600)
        results.go_on()
        await finishing

        assert await one.remains(job_id) == [f"jobs/{job_id}", f"results/{job_id}/manifest.json"]
        await _assert_the_next_job_has_its_own(one, clock, job_id)


async def test_an_upload_that_ends_long_after_the_job_was_deleted_is_not_kept(tmp_path: Path) -> None:
    clock, begun, may_end = HandClock(), asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield prompts(1)
        begun.set()
        await may_end.wait()
        yield prompts(1, first=1)

    async with in_process_stack(tmp_path, clock) as one:
        ticket = (await _open(one)).json()
        job_id = ticket["job_id"]
        uploading = asyncio.create_task(one.http.put(ticket["upload_url"], content=slowly()))
        await begun.wait()
        await one.delete(job_id)
        await one.deliver_all()
        await _pass(one, clock, 100 * 60)
        may_end.set()
        assert (await uploading).status_code == 200

        await one.deliver_all()
        await _assert_the_next_job_has_its_own(one, clock, job_id)


async def test_an_eraser_that_stood_still_before_it_removes_anything_never_meets_another_job(tmp_path: Path) -> None:
    clock = HandClock()
    async with in_process_stack(tmp_path, clock) as one:
        job_id = await _run(one, 3)
        await one.delete(job_id)
        await one.deliver_all()
        clock.move(MAX_PROCESS_STALL_SECONDS + 3600)
        last = [Stalling(one.app.documents, "query") for _ in range(2)]
        erasing = []
        for documents in last:  # the second begins when the first has stood still for as long as may be
            erasing.append(asyncio.create_task(erase(dataclasses.replace(one.app, documents=documents), job_id)))
            await documents.reached()
            if documents is last[0]:
                clock.move(MAX_PROCESS_STALL_SECONDS)
        last[0].go_on()
        await erasing[0]
        for _ in range(7):
            await _pass(one, clock, MAX_PROCESS_STALL_SECONDS / 7 - 1)
        refused = await _open(one)
        last[1].go_on()
        await erasing[1]

        assert (refused.status_code, refused.json()["code"]) == (409, "job_deleted")
        await _assert_the_next_job_has_its_own(one, clock, job_id)


async def _at_its_end(one: InProcessStack, clock: HandClock) -> tuple[str, Stalling, asyncio.Task[None]]:
    """A deleted job whose id is about to be free, and an eraser that stands still before it makes it so."""
    job_id = await _run(one, 3)
    await one.delete(job_id)
    await one.deliver_all()
    await _pass(one, clock, MAX_PROCESS_STALL_SECONDS + 3600)
    clock.move(2 * MAX_PROCESS_STALL_SECONDS)
    documents = Stalling(one.app.documents, "get", skip=1)
    ending = asyncio.create_task(erase(dataclasses.replace(one.app, documents=documents), job_id))
    await documents.reached()
    return job_id, documents, ending


async def test_an_eraser_that_stood_still_before_its_last_step_does_not_end_another_job(tmp_path: Path) -> None:
    clock = HandClock()
    async with in_process_stack(tmp_path, clock) as one:
        job_id, stalling, ending = await _at_its_end(one, clock)
        await erase(one.app, job_id)
        await _run(one, 2)
        job = await one.job(job_id)
        stalling.go_on()
        await ending

        assert await one.job(job_id) == job
        assert len(await one.results(job_id)) == 2


async def test_an_eraser_that_stood_still_does_not_end_the_erasure_of_another_job(tmp_path: Path) -> None:
    clock = HandClock()
    async with in_process_stack(tmp_path, clock) as one:
        job_id, stalling, ending = await _at_its_end(one, clock)
        await erase(one.app, job_id)
        await one.delete(await _run(one, 2))
        stalling.go_on()
        await ending
        await one.deliver_all()

        assert await one.remains(job_id) == [f"jobs/{job_id}"]


async def test_a_machine_that_was_off_for_a_month_after_the_delete_removes_everything_all_the_same(
    tmp_path: Path,
) -> None:
    clock = HandClock()
    async with in_process_stack(tmp_path, clock) as one:
        job_id = await _run(one, 3)
        await one.delete(job_id)
        await _pass(one, clock, 30 * 24 * 3600)

        assert await one.remains(job_id) == [f"jobs/{job_id}"]
        await _assert_the_next_job_has_its_own(one, clock, job_id)
