"""Cancelling a job: the stop reason, the task of the sweep, and the errors."""

from pathlib import Path

from promptforge.api.cancel_job import cancel_job
from promptforge.domain.commands import SweepJobs
from promptforge.domain.job import CANCELLED, COST_LIMIT
from promptforge.pipeline.split import split
from tests.harness.in_process import in_process_stack
from tests.harness.lines import prompts
from tests.harness.queue_entries import queue_entries
from tests.harness.request_errors import request_error


async def test_cancel_job_awaiting_upload_finishes_it_and_enqueues_no_sweep(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = (await one.init())["job_id"]
        scheduled = await queue_entries(one, "queue:sweeper")
        status = await cancel_job(one.context, "tests", job_id)
        job = await one.job(job_id)

        assert (status.status, status.error) == ("CANCELLED", CANCELLED)
        assert (job.open, job.completed_at is None) == (False, False)
        assert await queue_entries(one, "queue:sweeper") == scheduled


async def test_cancel_job_processing_stops_it_and_enqueues_one_sweep(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await one.submit(prompts(2))
        await split(one.context, job_id)
        statuses = [await cancel_job(one.context, "tests", job_id) for _ in range(2)]
        job = await one.job(job_id)
        bodies = [entry.body for entry in await queue_entries(one, "queue:sweeper")]

    assert [(status.status, status.error) for status in statuses] == [("PROCESSING", CANCELLED)] * 2
    assert (job.open, job.stop_reason) == (True, CANCELLED)
    assert bodies == [SweepJobs(job_id=job_id).encode()] * 2  # the upload check and the cancel


async def test_cancel_job_stopped_for_another_reason_keeps_that_reason(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await one.submit(prompts(2))
        await split(one.context, job_id)
        await one.context.jobs.stop(job_id, COST_LIMIT)
        status = await cancel_job(one.context, "tests", job_id)

    assert status.error == COST_LIMIT


async def test_cancel_job_finished_otherwise_is_refused_and_cancelled_is_not(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        completed, cancelled = await one.run(prompts(1)), (await one.init())["job_id"]
        first, again = [await cancel_job(one.context, "tests", cancelled) for _ in range(2)]
        error = await request_error(cancel_job(one.context, "tests", completed))

    assert error.code == "already_ended"
    assert "COMPLETED" in error.detail
    assert first == again


async def test_cancel_job_of_another_client_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = (await one.init())["job_id"]
        before = await one.job(job_id)
        error = await request_error(cancel_job(one.context, "alice", job_id))

        assert error.code == "job_not_found"
        assert await one.job(job_id) == before
