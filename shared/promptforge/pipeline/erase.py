"""Erases deleted and expired jobs: no object and no document of them remains.

A tombstone makes every process that works on the job stop. A process may stand still between two steps and then write
once more. So late writes are removed for MAX_PROCESS_STALL_SECONDS (7 days). The tombstone is kept for two more such
periods. Nothing is removed in them and the id is not assigned. So no eraser that stood still can touch a new job.
"""

import math

from promptforge import logs
from promptforge.context import AppContext
from promptforge.domain.timeouts import ERASE_RETRY_SECONDS, MAX_PROCESS_STALL_SECONDS
from promptforge.domain.timestamps import DAY_SECONDS
from promptforge.errors import PromptForgeError
from promptforge.state.objects import delete_job_objects


async def erase_due(context: AppContext) -> None:
    """Enqueue the erasing of every expired job, and of every tombstone that is due."""
    now = context.clock.now()
    async for job_id, due_at in context.tombstones.list_due(now):
        try:
            await context.queues.enqueue_erase(job_id, due_at)
            # a lost task is repeated under another name
            await context.tombstones.defer(job_id, due_at, now + ERASE_RETRY_SECONDS)
        except PromptForgeError as exc:  # an error in one job must not keep the next from its erasing
            logs.error("sweep_failed", job_id=job_id, error=type(exc).__name__)


async def erase(context: AppContext, job_id: str) -> None:
    """Remove what exists of a deleted or expired job.

    Two calls may run at once; any other job is left alone.
    """
    now = context.clock.now()
    tombstone = await context.tombstones.replace_job(
        job_id,
        delete_writes_until=now + MAX_PROCESS_STALL_SECONDS,
        due_at=now + ERASE_RETRY_SECONDS,
        agreed=lambda job: job.expired(now),
    )
    if tombstone is None:
        return
    if tombstone.expire_at is None:
        await _remove(context, job_id)
        if now < tombstone.delete_writes_until:
            age = now - (tombstone.delete_writes_until - MAX_PROCESS_STALL_SECONDS)
            next_run = now + min(max(age, ERASE_RETRY_SECONDS), DAY_SECONDS)
            await context.tombstones.reschedule(job_id, tombstone, next_run)
        else:
            retain_until = float(math.ceil(now + 2 * MAX_PROCESS_STALL_SECONDS))
            await context.tombstones.retain_until(job_id, tombstone, retain_until)
    elif now < tombstone.expire_at:
        await context.tombstones.reschedule(job_id, tombstone, tombstone.expire_at)
    else:
        await context.tombstones.delete(job_id, tombstone)
        logs.info("job_erased", job_id=job_id)


async def _remove(context: AppContext, job_id: str) -> None:
    await context.tombstones.delete_chunks(job_id)  # first: without its chunk a worker deletes its own late writes
    for bucket in (context.uploads, context.work, context.results):
        await delete_job_objects(bucket, job_id)
