"""Erases jobs: when their client says so, and when their time is over. Nothing of them stays behind.

What still works on the job finds it gone and stops; what it may write until then is looked for again and again. Any
process may stand still between two of its steps and then go on as if nothing had been: an upload, a finalizer, an
eraser. So one thing is relied on: none stands still for longer than STALL_SECONDS. For so long after the job was
deleted, what comes late is removed, which takes care of all who write. Then nothing is removed any more, and the id is
given again only when the erasers, too, must be through: whoever took the last look may have stood still before it said
so, and another that began meanwhile as long again.
"""

import asyncio
import math

from promptforge import logs
from promptforge.api.auth import get_owned_job
from promptforge.context import AppContext
from promptforge.domain.commands import JobCommand
from promptforge.domain.timestamps import DAY_SECONDS
from promptforge.errors import PromptForgeError, Unavailable
from promptforge.ports.objects import Objects

MAX_PROCESS_STALL_SECONDS = 7.0 * DAY_SECONDS
ERASE_RETRY_SECONDS = 300.0  # between the first look at what is left and the next
CONCURRENT_DELETES = 16


async def delete_job(app: AppContext, client: str, job_id: str) -> None:
    """Have the client's job erased. From now on it is unknown to everybody, and no further call is made for it.
    Raises RequestError as `owned_job`."""
    job = await get_owned_job(app, client, job_id)
    now = app.clock.now()
    until = max(now, job.upload_expires_at) + MAX_PROCESS_STALL_SECONDS
    await app.tombstones.replace_job(job_id, until=until, due_at=now + ERASE_RETRY_SECONDS, agreed=lambda job: True)
    logs.info("job_deleted", job_id=job_id)
    try:
        await _enqueue_erase(app, job_id, now)
    except Unavailable:  # the sweeper finds it; the client has what it asked for
        logs.warning("erase_deferred", job_id=job_id)


async def erase_due(app: AppContext) -> None:
    """Have every job erased whose time is over, and looked at again whatever began to be erased and is due."""
    now = app.clock.now()
    async for job_id, due_at in app.tombstones.list_due(now):
        try:
            await _enqueue_erase(app, job_id, due_at)
            await app.tombstones.defer(
                job_id, due_at, now + ERASE_RETRY_SECONDS
            )  # and then by another name, if this is lost
        except PromptForgeError as exc:  # one job's trouble must not hide the next
            logs.error("sweep_failed", job_id=job_id, error=type(exc).__name__)


async def erase(app: AppContext, job_id: str) -> None:
    """Remove everything of a job that was deleted or is forgotten, as far as it is there by now. Two may do so at
    once; a job that is neither is left alone."""
    now = app.clock.now()
    erasure = await app.tombstones.replace_job(
        job_id,
        until=now + MAX_PROCESS_STALL_SECONDS,
        due_at=now + ERASE_RETRY_SECONDS,
        agreed=lambda job: job.expired(now),
    )
    if erasure is None:
        return
    if erasure.expire_at is None:
        await _remove(app, job_id)
        if now < erasure.delete_writes_until:
            age = now - (erasure.delete_writes_until - MAX_PROCESS_STALL_SECONDS)
            await app.tombstones.reschedule(job_id, erasure, now + min(max(age, ERASE_RETRY_SECONDS), DAY_SECONDS))
        else:
            await app.tombstones.retain_until(job_id, erasure, float(math.ceil(now + 2 * MAX_PROCESS_STALL_SECONDS)))
    elif now < erasure.expire_at:
        await app.tombstones.reschedule(job_id, erasure, erasure.expire_at)
    else:
        await app.tombstones.delete(job_id, erasure)
        logs.info("job_erased", job_id=job_id)


async def _remove(app: AppContext, job_id: str) -> None:
    await app.tombstones.delete_chunks(job_id)  # first: without its chunk a worker removes what it writes by itself
    for bucket in (app.uploads, app.work, app.results):
        await delete_prefix(bucket, f"{job_id}/")


async def _enqueue_erase(app: AppContext, job_id: str, due_at: float) -> None:
    name = f"erase-{job_id}-{due_at:.3f}"
    await app.tasks.enqueue("eraser", JobCommand(job_id=job_id).encode(), name=name)


async def delete_prefix(bucket: Objects, prefix: str) -> None:
    """Remove every object whose name begins with `prefix`."""
    names: list[str] = []
    async for name in bucket.list(prefix):
        names.append(name)
        if len(names) == CONCURRENT_DELETES:
            await asyncio.gather(*map(bucket.delete, names))
            names.clear()
    await asyncio.gather(*map(bucket.delete, names))
