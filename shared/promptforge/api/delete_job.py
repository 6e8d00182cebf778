"""Deletes a job at its client's request."""

from promptforge import logs
from promptforge.api.auth import get_owned_job
from promptforge.context import AppContext
from promptforge.domain.timeouts import ERASE_RETRY_SECONDS, MAX_PROCESS_STALL_SECONDS
from promptforge.errors import Unavailable


async def delete_job(context: AppContext, client: str, job_id: str) -> None:
    """Delete the client's job: it is unknown to every caller from now on, and its calls stop.

    Raises RequestError as `get_owned_job`.
    """
    job = await get_owned_job(context, client, job_id)
    now = context.clock.now()
    await context.tombstones.replace_job(
        job_id,
        delete_writes_until=max(now, job.upload_expires_at) + MAX_PROCESS_STALL_SECONDS,
        due_at=now + ERASE_RETRY_SECONDS,
        agreed=lambda job: True,
    )
    logs.info("job_deleted", job_id=job_id)
    try:
        await context.queues.enqueue_erase(job_id, now)
    except Unavailable:  # the sweeper finds the tombstone; for the client the job is deleted
        logs.warning("erase_deferred", job_id=job_id)
