"""Erasing a job in steps that may fail, repeat or be lost; any other job is left alone."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from promptforge.domain.commands import EraseJob
from promptforge.domain.timeouts import ERASE_RETRY_SECONDS, MAX_PROCESS_STALL_SECONDS
from promptforge.domain.timestamps import DAY_SECONDS
from promptforge.domain.tombstone import Tombstone
from promptforge.errors import Unavailable
from promptforge.pipeline.erase import erase, erase_due
from promptforge.pipeline.sweep import sweep
from promptforge.ports.objects import Objects
from promptforge.state.jobs import job_path
from tests.fakes.unavailable_tasks import UnavailableTasks
from tests.harness.clock import ManualClock
from tests.harness.context import with_adapters
from tests.harness.in_process import InProcessStack, in_process_stack
from tests.harness.lines import prompts
from tests.harness.queue_entries import queue_entries

UNKNOWN = "00000000-0000-4000-8000-000000000000"


class LimitedDeletes:
    """A bucket that fails after a number of deletes."""

    def __init__(self, bucket: Objects) -> None:
        self._bucket = bucket
        self.left = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bucket, name)

    def list(self, prefix: str) -> AsyncIterator[str]:
        return self._bucket.list(prefix)

    async def delete(self, name: str) -> None:
        if self.left <= 0:
            raise Unavailable("objects", "timeout")
        self.left -= 1
        await self._bucket.delete(name)


async def _tombstone(one: InProcessStack, job_id: str) -> Tombstone:
    document = await one.context.documents.get(job_path(job_id))
    assert document is not None
    return Tombstone.model_validate(document.data)


async def test_erase_interrupted_by_errors_or_run_concurrently_completes(tmp_path: Path) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock, part_lines=2) as one:
        job_id = await one.run(prompts(20))
        one.context.results = bucket = LimitedDeletes(one.context.results)
        assert (await one.delete(job_id)).status_code == 204
        for left in (3, 0, 5):
            bucket.left = left
            with pytest.raises(Unavailable):
                await erase(one.context, job_id)
        bucket.left = 1000
        await asyncio.gather(*[erase(one.context, job_id) for _ in range(3)])
        assert await one.remaining_data(job_id) == [f"jobs/{job_id}"]
        clock.advance(MAX_PROCESS_STALL_SECONDS + 3600)
        await asyncio.gather(*[erase(one.context, job_id) for _ in range(3)])
        clock.advance(2 * MAX_PROCESS_STALL_SECONDS + 1)
        await asyncio.gather(*[erase(one.context, job_id) for _ in range(3)])
        assert await one.remaining_data(job_id) == []
        await erase(one.context, job_id)


async def test_erase_with_lost_tasks_is_repeated_by_the_sweep(tmp_path: Path) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock) as one:
        job_id = await one.run(prompts(3))
        await one.delete(job_id)
        for _ in range(2):  # the task of the delete, then the task of the sweep
            await one.drop_messages("queue:eraser")
            clock.advance(ERASE_RETRY_SECONDS + 1)
            await sweep(one.context)
            await sweep(one.context)
        await one.deliver_all()

        assert await one.remaining_data(job_id) == [f"jobs/{job_id}"]


async def test_erase_of_existing_or_unknown_job_does_nothing(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await one.run(prompts(3))
        job, files = await one.job(job_id), await one.files(job_id)
        await erase(one.context, job_id)
        await erase(one.context, UNKNOWN)

        assert (await one.job(job_id), await one.files(job_id)) == (job, files)


async def test_erase_runs_again_after_growing_pauses_of_at_most_a_day(tmp_path: Path) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock) as one:
        job_id = await one.run(prompts(1))
        clock.advance(await _seconds_until_upload_expires(one, job_id))
        await one.delete(job_id)
        pauses = []
        for _ in range(12):
            await erase(one.context, job_id)
            pauses.append((await _tombstone(one, job_id)).due_at - clock.time)
            clock.advance(pauses[-1])

    assert pauses == [*(ERASE_RETRY_SECONDS * 2**n for n in (0, 0, 1, 2, 3, 4, 5, 6, 7, 8)), DAY_SECONDS, DAY_SECONDS]


async def _seconds_until_upload_expires(one: InProcessStack, job_id: str) -> float:
    return (await one.job(job_id)).upload_expires_at - one.context.clock.now()


async def test_erase_after_the_stall_period_retains_the_tombstone_for_two_more_periods(tmp_path: Path) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock) as one:
        job_id = await one.run(prompts(1))
        await one.delete(job_id)
        clock.advance((await _tombstone(one, job_id)).delete_writes_until - clock.time)
        await erase(one.context, job_id)
        retained = await _tombstone(one, job_id)
        await one.context.tombstones.defer(job_id, retained.due_at, clock.time)
        await erase(one.context, job_id)

        assert retained.expire_at == retained.due_at == clock.time + 2 * MAX_PROCESS_STALL_SECONDS
        assert await _tombstone(one, job_id) == retained


async def test_erase_due_with_unavailable_tasks_keeps_every_tombstone_due(tmp_path: Path) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock) as one:
        jobs = [await one.run(prompts(1)) for _ in range(2)]
        for job_id in jobs:
            await one.delete(job_id)
        await one.drop_messages("queue:eraser")
        clock.advance(ERASE_RETRY_SECONDS + 1)
        before = [await _tombstone(one, job_id) for job_id in jobs]
        await erase_due(with_adapters(one.context, tasks=UnavailableTasks()))
        after = [await _tombstone(one, job_id) for job_id in jobs]
        await erase_due(one.context)
        bodies = {entry.body for entry in await queue_entries(one, "queue:eraser")}

        assert after == before
        assert bodies == {EraseJob(job_id=job_id).encode() for job_id in jobs}
