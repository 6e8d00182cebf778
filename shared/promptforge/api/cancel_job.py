"""Stops a job at its client's wish."""

from promptforge import logs
from promptforge.api import job_status
from promptforge.api.auth import get_owned_job
from promptforge.context import AppContext
from promptforge.domain.commands import SweepJobs
from promptforge.domain.job import CANCELLED, Job, Status
from promptforge.errors import RequestError


async def cancel_job(app: AppContext, client: str, job_id: str) -> job_status.JobStatusResponse:
    """Have no further call made for the client's job; asking again is the same as asking once.

    Calls in flight come back and count; every other prompt is answered with `cancelled`, and when all have an answer
    the job is CANCELLED. Raises RequestError as `owned_job`, and for a job that has ended otherwise.
    """
    await get_owned_job(app, client, job_id)

    def decide(job: Job) -> Job | None:
        if not job.open or job.stop_reason:
            return None
        if job.status is Status.AWAITING_UPLOAD:
            return job.finished(CANCELLED, completed_at=app.clock.now())
        return job.model_copy(update={"stop_reason": CANCELLED})

    await app.ledger.update_job(job_id, decide)
    job = await get_owned_job(app, client, job_id)
    if not job.open and job.status is not Status.CANCELLED:
        raise RequestError("already_ended", f"The job is {job.status}; there is nothing left to cancel.")
    if job.open:  # chunks that wait for their provider need not wait any longer
        await app.tasks.enqueue("sweeper", SweepJobs(job_id=job_id).encode(), name=f"cancel-{job_id}")
    logs.info("job_cancelled", job_id=job_id)
    return await job_status.describe_job(app, job)
