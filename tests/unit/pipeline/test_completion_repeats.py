"""The completion check of a job: the finalization is enqueued once, when no chunk is open."""

from pathlib import Path

from promptforge.pipeline.completion import finalize_if_done
from tests.harness.in_process import InProcessStack, in_process_stack
from tests.harness.processed_job import processed_job


async def finalizer_tasks(one: InProcessStack) -> list[bytes]:
    sql = "select body from deliveries where source = 'queue:finalizer'"
    rows = await one.database.read(lambda connection: connection.execute(sql).fetchall())
    return [body for (body,) in rows]


async def test_completion_enqueues_the_finalization_of_a_done_job_once_per_name(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        busy = await processed_job(one, [(1, 0), (1, 0)], open=True)
        done = await processed_job(one, [(1, 0)])
        unsplit: str = (await one.init())["job_id"]
        for job_id in (busy, done, unsplit, "unknown", done):
            await finalize_if_done(one.context, job_id)
        await finalize_if_done(one.context, done, repeat_of=12.0)
        await finalize_if_done(one.context, done, repeat_of=12.0)
        bodies = await finalizer_tasks(one)

    assert len(bodies) == 2
    assert all(done.encode() in body for body in bodies)
