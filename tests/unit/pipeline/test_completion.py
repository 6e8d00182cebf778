"""The check that enqueues the finalization when no chunk of a job is open."""

from pathlib import Path

from promptforge.domain.commands import FinalizeJob
from promptforge.pipeline.completion import finalize_if_done
from tests.harness.chunk_scenario import PADDING, add_result, chunk_scenario
from tests.harness.in_process import in_process_stack
from tests.harness.lines import prompts
from tests.harness.processed_job import processed_job
from tests.harness.queue_entries import queue_entries


async def test_finalize_if_done_with_open_chunk_enqueues_nothing(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as made:
        job_id = await made.submit(prompts(1) + PADDING)
        await finalize_if_done(made.stack.context, job_id)

        assert await queue_entries(made.stack, "queue:finalizer") == []


async def test_finalize_if_done_with_complete_chunks_enqueues_one_task(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as made:
        job_id = await made.submit(prompts(1) + PADDING)
        run = await made.claim(job_id)
        add_result(run, 1)
        await run.output.complete()
        for _ in range(3):
            await finalize_if_done(made.stack.context, job_id)
        (entry,) = await queue_entries(made.stack, "queue:finalizer")
        for _ in range(2):
            await finalize_if_done(made.stack.context, job_id, repeat_of=5.0)

        assert entry.body == FinalizeJob(job_id=job_id).encode()
        assert len(await queue_entries(made.stack, "queue:finalizer")) == 2


async def test_finalize_if_done_of_job_that_is_not_processing_enqueues_nothing(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        finished, awaiting = await stack.run(prompts(1)), (await stack.init())["job_id"]
        for job_id in (finished, awaiting, "00000000-0000-4000-8000-000000000000", "unknown"):
            await finalize_if_done(stack.context, job_id, repeat_of=5.0)

        assert await queue_entries(stack, "queue:finalizer") == []


async def test_finalize_if_done_enqueues_each_done_job_once_per_repetition(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        busy = await processed_job(stack, [(1, 0), (1, 0)], open=True)
        done = await processed_job(stack, [(1, 0)])
        unsplit: str = (await stack.init())["job_id"]
        for job_id in (busy, done, unsplit, "unknown", done):
            await finalize_if_done(stack.context, job_id)
        await finalize_if_done(stack.context, done, repeat_of=12.0)
        await finalize_if_done(stack.context, done, repeat_of=12.0)
        bodies = [entry.body for entry in await queue_entries(stack, "queue:finalizer")]

    assert len(bodies) == 2
    assert all(done.encode() in body for body in bodies)
