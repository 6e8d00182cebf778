"""The sweep repeats events and commands that were lost."""

from pathlib import Path

from promptforge.domain.commands import ProcessChunk, task_headers
from promptforge.domain.job import Status
from promptforge.pipeline.split import split
from promptforge.pipeline.sweep import sweep
from tests.harness.clock import ManualClock
from tests.harness.in_process import in_process_stack
from tests.harness.lines import prompts


async def test_sweep_requeues_lost_upload_event_and_lost_chunk_messages(tmp_path: Path) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock, chunk_lines=2) as one:
        job_id = await one.submit(prompts(40))
        await one.drop_messages("bucket:uploads")
        clock.advance(301)
        await sweep(one.context)
        await split(one.context, job_id)
        await one.drop_messages("topic:chunks")
        clock.advance(3700)
        await sweep(one.context)
        ended = await one.wait_until_finished(job_id)

        assert (ended.status, ended.completed_count) == (Status.COMPLETED, 40)


async def test_sweep_requeues_lost_finalize_task(tmp_path: Path) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock) as one:
        job_id = await one.submit(prompts(1))
        await split(one.context, job_id)
        command = ProcessChunk(job_id=job_id, chunk=0).encode()
        assert await one.send("worker", task_headers("worker", "7"), command, 1.0)
        await one.drop_messages("queue:finalizer")
        clock.advance(61)
        await sweep(one.context)

        assert (await one.wait_until_finished(job_id)).status is Status.COMPLETED
