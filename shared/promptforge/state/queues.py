"""The topic and the queues: which command goes where, under which task name.

A task name is taken for an hour at least. Two enqueues with one name make one task, so a name tells which repeats are
one and the same.
"""

from collections.abc import Sequence

from promptforge.domain.chunk import Chunk
from promptforge.domain.commands import EraseJob, FinalizeJob, ProcessChunk, SplitJob, SweepJobs
from promptforge.domain.timeouts import CLOCK_SKEW_SECONDS
from promptforge.ports.tasks import Tasks
from promptforge.ports.topics import Topics

CHUNKS_TOPIC = "chunks"
MESSAGES_PER_PUBLISH = 500


class Queues:
    """Sends commands to the event functions."""

    def __init__(self, topics: Topics, tasks: Tasks) -> None:
        self._topics = topics
        self._tasks = tasks

    async def publish_chunks(self, job_id: str, numbers: Sequence[int]) -> None:
        """Publish chunks to the workers."""
        for first in range(0, len(numbers), MESSAGES_PER_PUBLISH):
            batch = numbers[first : first + MESSAGES_PER_PUBLISH]
            messages = [ProcessChunk(job_id=job_id, chunk=number).encode() for number in batch]
            await self._topics.publish(CHUNKS_TOPIC, messages)

    async def schedule_chunk(self, job_id: str, chunk: Chunk) -> None:
        """Schedule a task at the time when the chunk can be claimed next: after its deferral, or after its lease.

        The name contains that time, so any number of callers make one task; more would each make the next.
        """
        command = ProcessChunk(job_id=job_id, chunk=chunk.number).encode()
        if chunk.holder is None:
            name, not_before = f"resume-{job_id}-{chunk.number}-{chunk.epoch}", chunk.resume_at
        else:  # by the clock of the slowest machine the lease must be over
            name, not_before = f"recheck-{job_id}-{chunk.number}-{chunk.due_at:.0f}", chunk.due_at + CLOCK_SKEW_SECONDS
        await self._tasks.enqueue("worker", command, name=name, not_before=not_before)

    async def enqueue_split(self, job_id: str, repeat_of: float | None = None) -> None:
        """Enqueue the split of a job.

        `repeat_of` is the due time of the job that the sweeper found overdue.
        """
        name = f"split-{job_id}" if repeat_of is None else f"split-again-{repeat_of:.0f}-{job_id}"
        await self._tasks.enqueue("splitter", SplitJob(job_id=job_id).encode(), name=name)

    async def enqueue_finalize(self, job_id: str, repeat_of: float | None = None) -> None:
        """Enqueue the finalization of a job; `repeat_of` as in `enqueue_split`."""
        name = f"finish-{job_id}" if repeat_of is None else f"finish-again-{repeat_of:.0f}-{job_id}"
        await self._tasks.enqueue("finalizer", FinalizeJob(job_id=job_id).encode(), name=name)

    async def enqueue_erase(self, job_id: str, due_at: float) -> None:
        """Enqueue the removal of a deleted job's objects and documents."""
        await self._tasks.enqueue("eraser", EraseJob(job_id=job_id).encode(), name=f"erase-{job_id}-{due_at:.3f}")

    async def schedule_upload_check(self, job_id: str, not_before: float) -> None:
        """Schedule the sweep that fails a job whose file was never uploaded."""
        command = SweepJobs(job_id=job_id).encode()
        await self._tasks.enqueue("sweeper", command, name=f"expire-{job_id}", not_before=not_before)

    async def enqueue_cancel_sweep(self, job_id: str) -> None:
        """Enqueue a sweep of a cancelled job: deferred chunks need not wait any longer."""
        await self._tasks.enqueue("sweeper", SweepJobs(job_id=job_id).encode(), name=f"cancel-{job_id}")

    async def enqueue_sweep(self, period: int) -> None:
        """Enqueue the regular sweep of all jobs, once for each period."""
        await self._tasks.enqueue("sweeper", SweepJobs().encode(), name=f"sweep-{period}")
