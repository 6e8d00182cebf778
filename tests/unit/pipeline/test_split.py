"""Splitting an upload: concurrently, after a crash, and of unusual inputs."""

import asyncio
import itertools
from pathlib import Path

import pytest

from promptforge.domain.commands import ProcessChunk, SplitJob
from promptforge.domain.job import CANCELLED, JobError, Status
from promptforge.domain.timeouts import JOB_CHECK_SECONDS, UNCLAIMED_REQUEUE_SECONDS
from promptforge.pipeline.split import MIN_CHUNKS_TARGET, split
from promptforge.state.objects import upload_object
from tests.harness.clock import ManualClock
from tests.harness.in_process import in_process_stack
from tests.harness.lines import prompts
from tests.harness.queue_entries import queue_entries


async def test_split_run_four_times_at_once_creates_equal_chunks(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path, chunk_lines=3) as stack:
        job_id = await stack.submit(prompts(400))
        await asyncio.gather(*[split(stack.context, job_id) for _ in range(4)])
        job = await stack.job(job_id)
        chunks = [chunk async for chunk in stack.context.chunks.list_all(job_id)]

        assert job.status is Status.PROCESSING
        assert [chunk.number for chunk in chunks] == list(range(job.chunk_count or 0))
        assert sum(chunk.line_count for chunk in chunks) == 400
        assert all(left.end == right.start for left, right in itertools.pairwise(chunks))


async def test_split_after_a_crash_of_another_completes_it(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path, chunk_lines=1) as stack:
        job_id = await stack.submit(prompts(350))
        first = asyncio.create_task(split(stack.context, job_id))
        while not [chunk async for chunk in stack.context.chunks.list_all(job_id)]:
            await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await stack.wait_until_finished(job_id)

        assert [line["prompt_id"] for line in await stack.results(job_id)] == [f"id-{n}" for n in range(350)]


async def test_split_pins_the_upload_and_publishes_every_chunk_once(tmp_path: Path) -> None:
    clock, content = ManualClock(), prompts(40)
    async with in_process_stack(tmp_path, clock, chunk_lines=50, part_lines=30, max_line_bytes=1000) as stack:
        job_id = await stack.submit(content)
        await split(stack.context, job_id)
        job = await stack.job(job_id)
        await split(stack.context, job_id)
        published = [entry.body for entry in await queue_entries(stack, "topic:chunks")]
        chunks = [chunk async for chunk in stack.context.chunks.list_all(job_id)]

        assert job.input is not None
        assert (job.input.size, job.input.max_line_bytes, job.input.part_lines) == (len(content), 1000, 30)
        assert job.input.chunk_lines == 30  # a part must fit into one result file
        assert job.input.chunk_bytes == len(content) // MIN_CHUNKS_TARGET
        assert (job.prompt_count, job.invalid_count, job.chunks_published) == (40, 0, True)
        assert (job.started_processing_at, job.due_at) == (clock.time, clock.time + JOB_CHECK_SECONDS)
        assert {(chunk.due_at, chunk.expire_at) for chunk in chunks} == {
            (clock.time + UNCLAIMED_REQUEUE_SECONDS, job.expire_at)
        }
        assert published == [ProcessChunk(job_id=job_id, chunk=number).encode() for number in range(len(chunks))]
        assert await stack.job(job_id) == job


async def test_split_of_job_without_upload_or_of_unknown_job_does_nothing(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        job_id = (await stack.init())["job_id"]
        before = await stack.job(job_id)
        await split(stack.context, job_id)
        await split(stack.context, "00000000-0000-4000-8000-000000000000")

        assert await stack.job(job_id) == before
        assert await queue_entries(stack, "topic:chunks") == []


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf"])
async def test_split_of_input_without_lines_fails_the_job(tmp_path: Path, content: bytes) -> None:
    async with in_process_stack(tmp_path) as stack:
        job_id = await stack.submit(content)
        await split(stack.context, job_id)
        job = await stack.job(job_id)

        assert (job.status, job.error and job.error.code) == (Status.FAILED, "empty_input")
        assert (job.prompt_count, job.failed_count, job.chunk_count) == (0, 0, None)


async def test_split_of_upload_deleted_meanwhile_fails_the_job(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path, chunk_lines=1) as stack:
        job_id = await stack.submit(prompts(150))
        splitting = asyncio.create_task(split(stack.context, job_id))
        while (await stack.job(job_id)).status is not Status.QUEUED:
            await asyncio.sleep(0)
        splitting.cancel()
        await asyncio.gather(splitting, return_exceptions=True)
        await stack.context.uploads.delete(f"{job_id}/input.jsonl")
        await split(stack.context, job_id)
        job = await stack.job(job_id)

        assert (job.status, job.error and job.error.code) == (Status.FAILED, "input_changed")


async def test_split_of_stopped_job_without_lines_finishes_it_with_the_stop_reason(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        job_id = await stack.submit(b"\n")
        await stack.context.jobs.stop(job_id, CANCELLED)
        await split(stack.context, job_id)

        assert (await stack.job(job_id)).status is Status.CANCELLED


async def test_split_of_a_file_over_the_size_limit_fails_the_job(tmp_path: Path) -> None:
    content = prompts(9)
    limit = len(content) - 1
    async with in_process_stack(tmp_path, max_upload_bytes=limit) as stack:
        job_id = (await stack.init())["job_id"]
        await stack.context.uploads.create(upload_object(job_id), content)  # as a URL of Cloud Storage accepts it
        await split(stack.context, job_id)
        job = await stack.job(job_id)

    message = f"The file has {len(content)} bytes, more than the limit of {limit}; split it into several jobs."
    assert (job.status, job.error) == (Status.FAILED, JobError(code="limit_exceeded", message=message))


async def test_enqueue_split_repeated_creates_one_task(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        job_id = (await stack.init())["job_id"]
        for _ in range(2):
            await stack.context.queues.enqueue_split(job_id)
        entries = await queue_entries(stack, "queue:splitter")

        assert [entry.body for entry in entries] == [SplitJob(job_id=job_id).encode()]


async def test_split_of_a_file_of_newlines_is_quick_and_fails_the_job(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path, max_lines=1_000_000) as stack:
        async with asyncio.timeout(20):
            job_id = await stack.run(b"\n" * 4_000_000)
        status = await stack.status(job_id)

    assert (status["status"], status["error"]["code"]) == ("FAILED", "limit_exceeded")
