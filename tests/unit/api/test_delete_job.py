"""Deleting a job: the tombstone and the task that erases it."""

from pathlib import Path

import pytest

from promptforge.api.delete_job import delete_job
from promptforge.domain.commands import EraseJob
from promptforge.domain.timeouts import ERASE_RETRY_SECONDS, MAX_PROCESS_STALL_SECONDS
from promptforge.domain.tombstone import Tombstone
from promptforge.state.jobs import job_path
from tests.fakes.unavailable_tasks import UnavailableTasks
from tests.harness.clock import ManualClock
from tests.harness.context import with_adapters
from tests.harness.in_process import InProcessStack, in_process_stack
from tests.harness.lines import prompts
from tests.harness.queue_entries import queue_entries
from tests.harness.request_errors import request_error


async def stored_tombstone(one: InProcessStack, job_id: str) -> Tombstone:
    document = await one.context.documents.get(job_path(job_id))
    assert document is not None
    return Tombstone.model_validate(document.data)


@pytest.mark.parametrize(("seconds", "upload_seconds_left"), [(0, 900), (900, 0), (5000, 0)])
async def test_delete_job_stores_a_tombstone_that_outlasts_the_upload_url(
    tmp_path: Path, seconds: int, upload_seconds_left: int
) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock) as one:
        job_id = (await one.init())["job_id"]
        clock.advance(seconds)
        await delete_job(one.context, "tests", job_id)

        assert await stored_tombstone(one, job_id) == Tombstone(
            due_at=clock.time + ERASE_RETRY_SECONDS,
            delete_writes_until=clock.time + upload_seconds_left + MAX_PROCESS_STALL_SECONDS,
        )


async def test_delete_job_enqueues_the_erasing(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = (await one.init())["job_id"]
        await delete_job(one.context, "tests", job_id)
        bodies = [entry.body for entry in await queue_entries(one, "queue:eraser")]

    assert bodies == [EraseJob(job_id=job_id).encode()]


async def test_delete_job_with_unavailable_tasks_succeeds(tmp_path: Path) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock) as one:
        job_id = await one.run(prompts(1))
        await delete_job(with_adapters(one.context, tasks=UnavailableTasks()), "tests", job_id)

        assert (await stored_tombstone(one, job_id)).due_at == clock.time + ERASE_RETRY_SECONDS
        assert await queue_entries(one, "queue:eraser") == []
        assert (await one.delete(job_id)).status_code == 404


async def test_delete_job_of_another_client_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = (await one.init())["job_id"]
        before = await one.job(job_id)
        error = await request_error(delete_job(one.context, "alice", job_id))

        assert error.code == "job_not_found"
        assert await one.job(job_id) == before
