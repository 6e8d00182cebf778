"""Stops a job at its client's wish."""

from promptforge import logs
from promptforge.domain.job import CANCELLED, Job, Status
from promptforge.domain.messages import SweepMessage
from promptforge.errors import ApiError
from promptforge.service import report
from promptforge.service.access import owned_job
from promptforge.service.app import App


async def cancel_job(app: App, client: str, job_id: str) -> report.StatusReply:
    """Have no further call made for the client's job; asking again is the same as asking once.

    Calls in flight come back and count; every other prompt is answered with `cancelled`, and when all have an answer
    the job is CANCELLED. Raises ApiError as `owned_job`, 409 for a job that has ended otherwise.
    """
    await owned_job(app, client, job_id)

    def decide(job: Job) -> Job | None:
        if not job.open or job.stop:
            return None
        if job.status is Status.AWAITING_UPLOAD:
            return job.ended(CANCELLED, completed_at=app.clock.now())
        return job.model_copy(update={"stop": CANCELLED})

    await app.ledger.change_job(job_id, decide)
    job = await owned_job(app, client, job_id)
    if not job.open and job.status is not Status.CANCELLED:
        raise ApiError(409, "already_ended", f"The job is {job.status}; there is nothing left to cancel.")
    if job.open:  # chunks that wait for their provider need not wait any longer
        await app.tasks.enqueue("sweeper", SweepMessage(job_id=job_id).encode(), name=f"cancel-{job_id}")
    logs.info("job_cancelled", job_id=job_id)
    return await report.describe(app, job)
