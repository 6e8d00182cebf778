"""The sweep repeats events and commands that were lost."""

from pathlib import Path

from promptforge.domain.commands import ProcessChunk, task_headers
from promptforge.domain.job import Status
from promptforge.pipeline.split import split
from promptforge.pipeline.sweep import sweep
from tests.harness.clock import HandClock
from tests.harness.in_process import in_process_stack, prompts


async def test_sweep_requeues_lost_upload_event_and_lost_chunk_messages(tmp_path: Path) -> None:
    clock = HandClock()
    async with in_process_stack(tmp_path, clock, chunk_lines=2) as one:
        job_id = await one.submit(prompts(40))
        await one.lose("bucket:uploads")
        clock.move(301)
        await sweep(one.app)
        await split(one.app, job_id)
        await one.lose("topic:chunks")
        clock.move(3700)
        await sweep(one.app)
        ended = await one.until_ended(job_id)

        assert (ended.status, ended.completed_count) == (Status.COMPLETED, 40)


async def test_sweep_requeues_lost_finalize_task(tmp_path: Path) -> None:
    clock = HandClock()
    async with in_process_stack(tmp_path, clock) as one:
        job_id = await one.submit(prompts(1))
        await split(one.app, job_id)
        command = ProcessChunk(job_id=job_id, chunk=0).encode()
        assert await one.send("worker", task_headers("worker", "7"), command, 1.0)
        await one.lose("queue:finalizer")
        clock.move(61)
        await sweep(one.app)

        assert (await one.until_ended(job_id)).status is Status.COMPLETED
