"""Cancels a job at its client's request."""

from promptforge import logs
from promptforge.api.auth import get_owned_job
from promptforge.api.job_status import JobStatusResponse, describe_job
from promptforge.context import AppContext
from promptforge.domain.job import CANCELLED, Job, Status
from promptforge.errors import RequestError


async def cancel_job(context: AppContext, client: str, job_id: str) -> JobStatusResponse:
    """Stop the calls of the client's job.

    Cancelling again has no further effect.

    Calls in flight come back and count. Every other prompt gets the error `cancelled`; when all have their answer the
    job is CANCELLED. Raises RequestError as `get_owned_job`, `already_ended` for a job that has finished otherwise.
    """
    await get_owned_job(context, client, job_id)

    def decide(job: Job) -> Job | None:
        if not job.open or job.stop_reason:
            return None
        if job.status is Status.AWAITING_UPLOAD:
            return job.finished(CANCELLED, context.clock.now())
        return job.stopped(CANCELLED)

    await context.jobs.update(job_id, decide)
    job = await get_owned_job(context, client, job_id)
    if not job.open and job.status is not Status.CANCELLED:
        raise RequestError("already_ended", f"The job is {job.status} and cannot be cancelled.")
    if job.open:
        await context.queues.enqueue_cancel_sweep(job_id)
        await context.job_requested(job_id)
    logs.info("job_cancelled", job_id=job_id)
    return await describe_job(context, job)
