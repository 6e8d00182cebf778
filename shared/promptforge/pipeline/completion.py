"""Completion of a job: derived from the state of its chunks, never counted from messages."""

from promptforge.context import AppContext
from promptforge.domain.job import Status


async def finalize_if_done(context: AppContext, job_id: str, repeat_of: float | None = None) -> None:
    """Enqueue the finalization if no chunk of the job is open.

    Each completing chunk runs this check, so the last one always triggers the finalization. `repeat_of` is the due
    time of a job whose earlier finalization may be lost.
    """
    job = await context.jobs.get(job_id)
    if job is None or job.status is not Status.PROCESSING or await context.chunks.has_open(job_id):
        return
    await context.queues.enqueue_finalize(job_id, repeat_of)
