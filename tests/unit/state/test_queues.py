"""The commands that are enqueued, and the task names by which repeated ones become one task."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from promptforge.domain.chunk import Chunk
from promptforge.domain.commands import EraseJob, FinalizeJob, ProcessChunk, SplitJob, SweepJobs
from promptforge.domain.timeouts import CLOCK_SKEW_SECONDS
from promptforge.state.queues import MESSAGES_PER_PUBLISH, Queues
from tests.harness.in_process import InProcessStack, in_process_stack
from tests.harness.queue_entries import QueueEntry, queue_entries

JOB = "00000000-0000-4000-8000-000000000000"
CHUNK = Chunk(number=7, start=0, end=1, first_line=1, last_line=1, line_count=1, due_at=0.0)


@asynccontextmanager
async def queues(folder: Path) -> AsyncIterator[tuple[Queues, InProcessStack]]:
    async with in_process_stack(folder) as stack:
        yield stack.context.queues, stack


class RecordedTopics:
    """A topics port that records the size of each publication."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    async def publish(self, topic: str, messages: Sequence[bytes]) -> None:
        self.sizes.append(len(messages))


async def test_publish_chunks_publishes_one_command_per_chunk(tmp_path: Path) -> None:
    async with queues(tmp_path) as (sender, stack):
        await sender.publish_chunks(JOB, [0, 3])
        await sender.publish_chunks(JOB, [])
        bodies = [entry.body for entry in await queue_entries(stack, "topic:chunks")]

    assert bodies == [ProcessChunk(job_id=JOB, chunk=number).encode() for number in (0, 3)]


async def test_publish_chunks_of_many_publishes_each_chunk_once_in_order(tmp_path: Path) -> None:
    count = 2 * MESSAGES_PER_PUBLISH + 1
    async with queues(tmp_path) as (sender, stack):
        await sender.publish_chunks(JOB, range(count))
        entries = await queue_entries(stack, "topic:chunks")

    assert [ProcessChunk.model_validate_json(entry.body).chunk for entry in entries] == list(range(count))


async def test_publish_chunks_limits_the_messages_of_one_publication(tmp_path: Path) -> None:
    topics = RecordedTopics()
    async with in_process_stack(tmp_path) as stack:
        await Queues(topics, stack.context.backend.tasks).publish_chunks(JOB, range(2 * MESSAGES_PER_PUBLISH + 1))

    assert topics.sizes == [MESSAGES_PER_PUBLISH, MESSAGES_PER_PUBLISH, 1]


async def test_schedule_chunk_deferred_creates_one_task_per_epoch_at_its_resume_time(tmp_path: Path) -> None:
    deferred = CHUNK.claimed("holder", 60.0).released(resume_at=100.0, due_at=160.0, progressed=True)
    async with queues(tmp_path) as (sender, stack):
        for chunk in (deferred, deferred, deferred.claimed("other", 300.0).released(200.0, 260.0, progressed=True)):
            await sender.schedule_chunk(JOB, chunk)
        entries = await queue_entries(stack, "queue:worker")

    body = ProcessChunk(job_id=JOB, chunk=7).encode()
    assert entries == [QueueEntry("queue:worker", body, 100.0), QueueEntry("queue:worker", body, 200.0)]


async def test_schedule_chunk_leased_creates_one_task_after_the_end_of_the_lease(tmp_path: Path) -> None:
    leased = CHUNK.claimed("holder", 60.0)
    async with queues(tmp_path) as (sender, stack):
        for chunk in (leased, leased, leased.renewed(120.0)):
            await sender.schedule_chunk(JOB, chunk)
        entries = await queue_entries(stack, "queue:worker")

    assert [entry.not_before for entry in entries] == [60.0 + CLOCK_SKEW_SECONDS, 120.0 + CLOCK_SKEW_SECONDS]


async def test_schedule_chunk_at_any_stage_creates_one_task_per_time_and_epoch(tmp_path: Path) -> None:
    leased = CHUNK.claimed("holder", 60.0)
    deferred = leased.released(resume_at=80.0, due_at=140.0, progressed=False)
    again = deferred.claimed("other", 90.0).released(resume_at=80.0, due_at=140.0, progressed=False)
    async with queues(tmp_path) as (sender, stack):
        for chunk in (leased, leased, leased, leased.renewed(70.0), deferred, deferred, again):
            await sender.schedule_chunk(JOB, chunk)
        entries = await queue_entries(stack, "queue:worker")

    body = ProcessChunk(job_id=JOB, chunk=7).encode()
    times = [60.0 + CLOCK_SKEW_SECONDS, 70.0 + CLOCK_SKEW_SECONDS, 80.0, 80.0]
    assert entries == [QueueEntry("queue:worker", body, time) for time in times]


async def test_enqueue_split_and_finalize_create_one_task_per_repetition(tmp_path: Path) -> None:
    async with queues(tmp_path) as (sender, stack):
        for repeat_of in (None, None, 5.0, 5.0, 6.0):
            await sender.enqueue_split(JOB, repeat_of)
            await sender.enqueue_finalize(JOB, repeat_of)
        splits, finalizations = [await queue_entries(stack, f"queue:{name}") for name in ("splitter", "finalizer")]

    assert [entry.body for entry in splits] == [SplitJob(job_id=JOB).encode()] * 3
    assert [entry.body for entry in finalizations] == [FinalizeJob(job_id=JOB).encode()] * 3


@pytest.mark.parametrize(("later", "tasks"), [(10.0, 1), (10.001, 2)])
async def test_enqueue_erase_creates_one_task_per_due_time(tmp_path: Path, later: float, tasks: int) -> None:
    async with queues(tmp_path) as (sender, stack):
        await sender.enqueue_erase(JOB, 10.0)
        await sender.enqueue_erase(JOB, later)
        entries = await queue_entries(stack, "queue:eraser")

    assert [entry.body for entry in entries] == [EraseJob(job_id=JOB).encode()] * tasks


async def test_sweeps_of_one_job_are_enqueued_once_for_each_reason(tmp_path: Path) -> None:
    async with queues(tmp_path) as (sender, stack):
        for _ in range(2):
            await sender.schedule_upload_check(JOB, 50.0)
            await sender.enqueue_cancel_sweep(JOB)
        entries = await queue_entries(stack, "queue:sweeper")

    body = SweepJobs(job_id=JOB).encode()
    assert entries == [QueueEntry("queue:sweeper", body, 50.0), QueueEntry("queue:sweeper", body, 0.0)]


async def test_enqueue_sweep_creates_one_task_per_period(tmp_path: Path) -> None:
    async with queues(tmp_path) as (sender, stack):
        for period in (1, 1, 2):
            await sender.enqueue_sweep(period)
        entries = await queue_entries(stack, "queue:sweeper")

    assert [entry.body for entry in entries] == [SweepJobs().encode()] * 2
