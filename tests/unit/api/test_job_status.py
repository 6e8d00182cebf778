"""The status of a job: counts, cost, error and the reason of a wait."""

from pathlib import Path
from typing import Any

from promptforge.api.job_status import JobStatusResponse, job_status
from promptforge.domain.job import DEADLINE_EXCEEDED, JobError
from tests.harness.chunk_scenario import PADDING, add_result, chunk_scenario
from tests.harness.clock import ManualClock
from tests.harness.in_process import InProcessStack, in_process_stack
from tests.harness.lines import prompts

WAITING = JobError(code="provider_throttled", message="The provider throttles.")


async def status_of(one: InProcessStack, job_id: str) -> JobStatusResponse:
    return await job_status(one.context, "tests", job_id)


async def test_job_status_before_the_upload_has_counts_of_zero_and_no_times(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path, ManualClock(1000.5)) as one:
        status = await status_of(one, (await one.init(max_retries=5))["job_id"])
        shown = status.model_dump(mode="json")

    assert (shown["status"], shown["provider"], shown["model"], shown["max_retries"]) == (
        "AWAITING_UPLOAD",
        "echo",
        "echo-1",
        5,
    )
    assert (status.prompt_count, status.completed_count, status.failed_count, status.tokens_used) == (0, 0, 0, 0)
    assert (status.cost_usd, status.max_cost_usd, status.error, status.waiting) == (None, None, None, None)
    assert shown["created_at"] == "1970-01-01T00:16:40.500Z"
    assert (status.started_processing_at, status.completed_at) == (None, None)


async def test_job_status_while_processing_counts_the_flushed_answers(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"prices": {"openai/*": (1.0, 2.0)}}
    async with chunk_scenario(tmp_path, **settings) as made:
        job_id = await made.submit(prompts(3) + PADDING)
        run = await made.claim(job_id)
        add_result(run, 1, tokens=12)
        before = await status_of(made.stack, job_id)
        made.clock.advance(2)
        await run.output.flush()
        after = await status_of(made.stack, job_id)

    assert (before.prompt_count, before.completed_count) == (3, 0)
    assert (after.completed_count, after.failed_count) == (1, 0)
    assert (after.tokens_used, after.input_tokens, after.output_tokens) == (12, 11, 1)


async def test_job_status_of_finished_job_has_its_counts_and_cost(tmp_path: Path) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock, prices={"echo/*": (1000.0, 2000.0)}) as one:
        job_id = await one.run(prompts(2) + b"bad line\n", max_cost_usd=5.0)
        status, job = await status_of(one, job_id), await one.job(job_id)

    assert (status.status, status.completed_count, status.failed_count) == ("COMPLETED", 2, 1)
    assert status.tokens_used == status.input_tokens + status.output_tokens == job.tokens_used > 0
    assert status.cost_usd == job.cost_nanos / 10**9 > 0
    assert status.max_cost_usd == 5.0
    assert status.completed_at is not None


async def test_job_status_of_stopped_job_shows_its_error_before_it_has_finished(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await one.submit(prompts(1))
        await one.context.jobs.stop(job_id, DEADLINE_EXCEEDED)
        status = await status_of(one, job_id)

    assert (status.status, status.error) == ("AWAITING_UPLOAD", DEADLINE_EXCEEDED)


async def test_job_status_shows_the_reason_of_a_wait_until_its_time(tmp_path: Path) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock) as one:
        job_id = await one.submit(prompts(1))
        await one.context.jobs.set_waiting(job_id, WAITING, clock.time + 60)
        shown_until = (await one.job(job_id)).waiting_until
        before = await status_of(one, job_id)
        clock.advance(shown_until - clock.time)
        after = await status_of(one, job_id)

    assert (before.waiting, after.waiting) == (WAITING, None)


async def test_job_status_of_finished_job_shows_no_wait(tmp_path: Path) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock) as one:
        job_id = (await one.init())["job_id"]
        await one.context.jobs.set_waiting(job_id, WAITING, clock.time + 60)
        await one.cancel(job_id)

        assert (await status_of(one, job_id)).waiting is None
