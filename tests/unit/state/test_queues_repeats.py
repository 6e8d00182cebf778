"""The queues: which command goes where, under which task name, and when."""

from pathlib import Path

from promptforge.domain.commands import ProcessChunk
from promptforge.domain.timeouts import CLOCK_SKEW_SECONDS
from promptforge.state.queues import MESSAGES_PER_PUBLISH
from tests.harness.chunk_scenario import PADDING, chunk_scenario
from tests.harness.in_process import InProcessStack, in_process_stack
from tests.harness.lines import prompts

JOB = "00000000-0000-4000-8000-000000000000"


async def tasks(one: InProcessStack, queue: str) -> list[float]:
    """Return the times before which the tasks of a queue are not delivered."""
    sql = "select not_before from deliveries where source = ? order by id"
    rows = await one.database.read(lambda connection: connection.execute(sql, (f"queue:{queue}",)).fetchall())
    return [time for (time,) in rows]


async def test_queues_schedule_chunk_makes_one_task_per_lease_and_per_deferral(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(9) + PADDING)
        queues, command = scenario.stack.context.queues, ProcessChunk(job_id=job_id, chunk=0).encode()
        leased = (await scenario.claim(job_id)).lease.chunk
        for _ in range(3):
            await queues.schedule_chunk(job_id, leased)
        assert await scenario.worker_tasks() == [(command, leased.due_at + CLOCK_SKEW_SECONDS)]
        await queues.schedule_chunk(job_id, leased.renewed(leased.due_at + 10))
        deferred = leased.model_copy(update={"holder": None, "resume_at": leased.due_at + 20})
        for epoch in (1, 1, 2):
            await queues.schedule_chunk(job_id, deferred.model_copy(update={"epoch": epoch}))

        times = [time - leased.due_at for _, time in await scenario.worker_tasks()]
        assert times == [CLOCK_SKEW_SECONDS, 10 + CLOCK_SKEW_SECONDS, 20, 20]


async def test_queues_repeats_under_one_name_make_one_task(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        queues = one.context.queues
        for _ in range(2):
            await queues.enqueue_split(JOB)
            await queues.enqueue_split(JOB, repeat_of=5.0)
            await queues.enqueue_split(JOB, repeat_of=6.0)
            await queues.enqueue_finalize(JOB)
            await queues.enqueue_finalize(JOB, repeat_of=5.0)
            await queues.enqueue_erase(JOB, due_at=1.5)
            await queues.enqueue_erase(JOB, due_at=1.501)
            await queues.enqueue_cancel_sweep(JOB)
            await queues.enqueue_sweep(7)
            await queues.enqueue_sweep(8)
            await queues.schedule_upload_check(JOB, 9.0)

        counts = {queue: len(await tasks(one, queue)) for queue in ("splitter", "finalizer", "eraser", "sweeper")}
        assert counts == {"splitter": 3, "finalizer": 2, "eraser": 2, "sweeper": 4}


async def test_queues_publish_chunks_sends_every_chunk_once(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        count = 2 * MESSAGES_PER_PUBLISH + 1
        await one.context.queues.publish_chunks(JOB, range(count))
        sql = "select body from deliveries where source = 'topic:chunks' order by id"
        rows = await one.database.read(lambda connection: connection.execute(sql).fetchall())

    assert [ProcessChunk.model_validate_json(body).chunk for (body,) in rows] == list(range(count))
