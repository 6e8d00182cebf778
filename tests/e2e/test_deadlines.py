"""The deadline of a job: at that time it finishes with the results it has, in whatever state it waits."""

from pathlib import Path
from typing import Any

import pytest

from promptforge.domain.commands import ProcessChunk
from promptforge.domain.job import Job, PinnedInput, Status
from promptforge.pipeline.split import split
from promptforge.pipeline.sweep import sweep
from promptforge.worker.process_chunk import process_chunk
from tests.fakes.provider import fake_provider
from tests.harness.chunk_scenario import PADDING, throttled_job
from tests.harness.clock import ManualClock
from tests.harness.in_process import in_process_stack
from tests.harness.lines import prompts

DAY = 24 * 60 * 60


def openai(url: str) -> dict[str, Any]:
    return {"provider_keys": {"openai": "k"}, "provider_urls": {"openai": url}}


def outcome(job: Job) -> tuple[str, str | None]:
    return job.status.value, job.error.code if job.error else None


async def test_deadline_of_a_throttled_job_keeps_its_results(tmp_path: Path) -> None:
    async with throttled_job(tmp_path) as (scenario, job_id):
        stack, before = scenario.stack, scenario.provider.call_counts.total()
        scenario.clock.advance(DAY)
        await sweep(stack.context)
        status = await stack.status(job_id)
        finished = await stack.wait_until_finished(job_id)
        results, errors = await stack.results(job_id), await stack.errors(job_id)

    assert (status["status"], status["error"]["code"]) == ("PROCESSING", "deadline_exceeded")
    assert outcome(finished) == ("FAILED", "deadline_exceeded")
    assert (finished.prompt_count, finished.completed_count, finished.failed_count) == (5, 1, 4)
    assert [line["prompt_id"] for line in results] == ["id-0"]
    assert [(line["prompt_id"], line["error"]) for line in errors] == [
        (f"id-{n}", "deadline_exceeded") for n in range(1, 5)
    ]
    assert scenario.provider.call_counts.total() == before


async def test_deadline_of_a_job_without_a_key_fails_it(tmp_path: Path) -> None:
    clock = ManualClock()
    async with fake_provider() as provider:
        async with in_process_stack(tmp_path, clock, **openai(provider.url)) as stack:
            job_id = await stack.submit(prompts(2), provider="openai")
            await split(stack.context, job_id)
        async with in_process_stack(tmp_path, clock) as two:
            await process_chunk(two.runtime, ProcessChunk(job_id=job_id, chunk=0))
            clock.advance(DAY)
            await sweep(two.context)
            finished = await two.wait_until_finished(job_id)
            errors = await two.errors(job_id)

    assert outcome(finished) == ("FAILED", "deadline_exceeded")
    assert [line["error"] for line in errors] == ["deadline_exceeded"] * 2
    assert provider.call_counts.total() == 0


@pytest.mark.parametrize("queued", [False, True])
async def test_deadline_of_a_job_that_is_never_split_fails_it(tmp_path: Path, queued: bool) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock) as stack:
        job_id = await stack.submit(prompts(2))
        await stack.drop_messages("bucket:uploads")
        if queued:
            upload = await stack.context.uploads.stat(f"{job_id}/input.jsonl")
            assert upload is not None
            limits = {"max_line_bytes": 100, "chunk_lines": 1, "chunk_bytes": 1, "part_lines": 1}
            pinned = PinnedInput(generation=upload.generation, size=upload.size, crc32c=upload.crc32c, **limits)
            due_at = (await stack.job(job_id)).due_at
            await stack.context.jobs.update(
                job_id, lambda job: job.queued(pinned, due_at) if job.input is None else None
            )
        clock.advance(DAY - 1)
        await sweep(stack.context)
        await stack.drop_messages("queue:splitter")
        before = await stack.job(job_id)
        clock.advance(700)
        await sweep(stack.context)
        finished = await stack.job(job_id)
        results = await stack.http.get(f"/v1/jobs/{job_id}/results", headers=stack.headers)

    assert before.status is (Status.QUEUED if queued else Status.AWAITING_UPLOAD)
    assert outcome(finished) == ("FAILED", "deadline_exceeded")
    assert (finished.prompt_count, finished.completed_count, finished.failed_count) == (0, 0, 0)
    assert (results.status_code, results.json()["code"]) == (409, "no_results")


async def test_deadline_is_a_setting_and_counts_from_the_creation(tmp_path: Path) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock, job_seconds=600) as stack:
        created = await stack.init()
        clock.advance(500)
        await stack.put(created["upload_url"], prompts(2))
        await split(stack.context, created["job_id"])
        clock.advance(100)
        await sweep(stack.context)

        assert outcome(await stack.wait_until_finished(created["job_id"])) == ("FAILED", "deadline_exceeded")


async def test_deadline_leaves_jobs_in_time_and_finished_jobs_unchanged(tmp_path: Path) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock) as stack:
        job_id = await stack.submit(prompts(2))
        await split(stack.context, job_id)
        clock.advance(DAY - 1)
        await sweep(stack.context)
        in_time = await stack.job(job_id)
        finished = await stack.wait_until_finished(job_id)
        clock.advance(DAY)
        await sweep(stack.context)
        await sweep(stack.context, job_id)

        assert in_time.stop_reason is None
        assert outcome(finished) == ("COMPLETED", None)
        assert await stack.job(job_id) == finished


async def test_deadline_and_cancel_keep_the_first_reason(tmp_path: Path) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock) as stack:
        jobs = [await stack.submit(prompts(2)) for _ in range(2)]
        for job_id in jobs:
            await split(stack.context, job_id)
        await stack.cancel(jobs[0])
        clock.advance(DAY)
        await sweep(stack.context)
        await stack.cancel(jobs[1])

        assert outcome(await stack.wait_until_finished(jobs[0])) == ("CANCELLED", "cancelled")
        assert outcome(await stack.wait_until_finished(jobs[1])) == ("FAILED", "deadline_exceeded")


async def test_deadline_of_a_job_with_unpublished_chunks_fails_it(tmp_path: Path) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock) as stack:
        job_id = await stack.submit(prompts(2) + PADDING)
        await split(stack.context, job_id)
        await stack.context.jobs.update(job_id, lambda job: job.model_copy(update={"chunks_published": False}))
        for source in ("bucket:uploads", "topic:chunks", "queue:sweeper"):
            await stack.drop_messages(source)
        clock.advance(DAY)
        await sweep(stack.context)
        await stack.drop_messages("queue:splitter")

        assert outcome(await stack.wait_until_finished(job_id)) == ("FAILED", "deadline_exceeded")
        assert len(await stack.errors(job_id)) == 2
