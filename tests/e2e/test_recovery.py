"""A job recovers from a full disk, from an input or a part that vanishes, and from other settings after a restart."""

from pathlib import Path

import pytest

from promptforge.adapters.local.objects import FileObjects
from promptforge.domain.commands import ProcessChunk
from promptforge.domain.job import Status
from promptforge.errors import Unavailable
from promptforge.pipeline.finalize import finalize
from promptforge.pipeline.split import split
from promptforge.state.objects import upload_object
from promptforge.worker.process_chunk import process_chunk
from tests.harness.in_process import in_process_stack
from tests.harness.lines import prompts


async def test_recovery_from_a_full_disk_completes_the_job(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path, flush_count=1) as stack:
        job_id = await stack.submit(prompts(3))
        await split(stack.context, job_id)
        assert isinstance(stack.context.results, FileObjects)
        folder = stack.context.results.folder
        folder.rename(folder.with_name("away"))
        with pytest.raises(Unavailable):
            await process_chunk(stack.runtime, ProcessChunk(job_id=job_id, chunk=0))
        folder.with_name("away").rename(folder)
        finished = await stack.wait_until_finished(job_id)

    assert (finished.status, finished.completed_count) == (Status.COMPLETED, 3)


async def test_recovery_without_the_input_fails_the_job_and_keeps_its_results(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path, chunk_lines=5) as stack:
        job_id = await stack.submit(prompts(20))
        await split(stack.context, job_id)
        await process_chunk(stack.runtime, ProcessChunk(job_id=job_id, chunk=0))
        await stack.context.uploads.delete(upload_object(job_id))
        finished = await stack.wait_until_finished(job_id)
        results, errors = await stack.results(job_id), await stack.errors(job_id)

    assert (finished.status, finished.error and finished.error.code) == (Status.FAILED, "input_changed")
    assert finished.completed_count == len(results) > 0
    assert finished.failed_count == len(errors) == 20 - len(results)
    assert {line["error"] for line in errors} == {"input_changed"}


async def test_recovery_with_other_settings_continues_the_job_as_it_was_split(tmp_path: Path) -> None:
    content = prompts(40) + b" " * 300 + b"\n" + b"x" * 300 + b"\n"
    async with in_process_stack(tmp_path, chunk_lines=4, part_lines=10, max_line_bytes=200) as first:
        job_id = await first.submit(content)
        await split(first.context, job_id)
        await process_chunk(first.runtime, ProcessChunk(job_id=job_id, chunk=0))
    async with in_process_stack(tmp_path, chunk_lines=3, part_lines=7, max_line_bytes=10_000) as second:
        await second.wait_until_finished(job_id)
        job = await second.job(job_id)
        assert (job.completed_count, job.failed_count, job.result_parts) == (40, 2, 5)
        await second.context.jobs.update(job_id, lambda job: job)
        await finalize(second.context, job_id)


async def test_recovery_with_a_vanished_part_fails_the_job_and_publishes_the_rest(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path, chunk_lines=2) as stack:
        job_id = await stack.submit(prompts(20))
        await split(stack.context, job_id)
        for chunk in range(3):
            await process_chunk(stack.runtime, ProcessChunk(job_id=job_id, chunk=chunk))
        parts = [name async for name in stack.context.results.list(f"{job_id}/parts/")]
        await stack.context.results.delete(parts[1])
        finished = await stack.wait_until_finished(job_id)
        lost = [chunk async for chunk in stack.context.chunks.list_all(job_id)][1].line_count

        assert (finished.status, finished.error and finished.error.code) == (Status.FAILED, "result_incomplete")
        assert len(await stack.results(job_id)) == 20 - lost
