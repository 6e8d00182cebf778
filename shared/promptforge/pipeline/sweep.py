"""Repairs jobs in the background: requeues lost work, expires leases and stops jobs at their deadline."""

from promptforge import logs
from promptforge.context import AppContext
from promptforge.domain.chunk import Chunk
from promptforge.domain.job import DEADLINE_EXCEEDED, UPLOAD_EXPIRED, Job, JobError, Status
from promptforge.domain.timeouts import (
    JOB_CHECK_SECONDS,
    SPLIT_TIMEOUT_SECONDS,
    UNCLAIMED_REQUEUE_SECONDS,
    UPLOAD_CHECK_SECONDS,
    UPLOAD_GRACE_SECONDS,
)
from promptforge.errors import PromptForgeError
from promptforge.pipeline.completion import finalize_if_done
from promptforge.pipeline.erase import erase_due
from promptforge.state.objects import upload_object


async def sweep(context: AppContext, job_id: str | None = None) -> None:
    """Sweep one job; or all unfinished jobs that are due, and the jobs that must be erased."""
    if job_id is None:
        async for job in context.jobs.list_due(due_before=context.clock.now()):
            try:
                await _sweep_job(context, job)
            except PromptForgeError as exc:  # an error in one job must not keep the next from its sweep
                logs.error("sweep_failed", job_id=job.job_id, error=type(exc).__name__)
        await erase_due(context)
    elif named := await context.jobs.get(job_id):
        await _sweep_job(context, named)


async def expire_leases(context: AppContext, instance: str | None) -> None:
    """Expire the leases of a process that has exited (None: of all processes), so that their chunks need not wait."""
    now = context.clock.now()
    async for job in context.jobs.list_due(due_before=float("inf")):
        async for chunk in context.chunks.list_open(job.job_id, due_before=float("inf")):
            if chunk.holder and (instance is None or chunk.holder.startswith(f"{instance}.")):
                await context.chunks.expire_lease(job.job_id, chunk, due_at=now)
                await context.queues.publish_chunks(job.job_id, [chunk.number])


async def _sweep_job(context: AppContext, job: Job) -> None:
    overdue = context.clock.now() >= job.deadline_at
    if overdue and job.open and job.input and job.stop_reason is None:
        await context.jobs.stop(job.job_id, DEADLINE_EXCEEDED)
        job = job.stopped(DEADLINE_EXCEEDED)
        logs.warning("job_deadline_exceeded", job_id=job.job_id)
    match job.status:
        case Status.AWAITING_UPLOAD:
            await _sweep_awaiting_upload(context, job, overdue)
        case Status.QUEUED if overdue:
            await _finish(context, job, DEADLINE_EXCEEDED)
        case Status.QUEUED:
            await _requeue_split(context, job)
        case Status.PROCESSING:
            await _sweep_processing(context, job)


async def _sweep_awaiting_upload(context: AppContext, job: Job, overdue: bool) -> None:
    now = context.clock.now()
    if await context.uploads.stat(upload_object(job.job_id)):
        await (_finish(context, job, DEADLINE_EXCEEDED) if overdue else _requeue_split(context, job))
    elif now >= job.upload_expires_at + UPLOAD_GRACE_SECONDS:
        await _finish(context, job, UPLOAD_EXPIRED)
    else:
        await context.jobs.reschedule(job.job_id, now + UPLOAD_CHECK_SECONDS)


async def _requeue_split(context: AppContext, job: Job) -> None:
    await context.queues.enqueue_split(job.job_id, repeat_of=job.due_at)
    await context.jobs.reschedule(job.job_id, context.clock.now() + SPLIT_TIMEOUT_SECONDS)
    logs.warning("split_requeued", job_id=job.job_id)


async def _sweep_processing(context: AppContext, job: Job) -> None:
    if not job.chunks_published:
        await _requeue_split(context, job)
        if job.stop_reason is None:  # chunks of a stopped job need not wait for a split that may never succeed
            return
    now, requeued = context.clock.now(), 0
    async for chunk in context.chunks.list_open(job.job_id, due_before=float("inf") if job.stop_reason else now):
        if chunk.due_at <= now or _is_deferred(chunk):
            await context.queues.publish_chunks(job.job_id, [chunk.number])
            requeued += await context.chunks.expire_lease(job.job_id, chunk, due_at=now + UNCLAIMED_REQUEUE_SECONDS)
    if requeued:
        logs.warning("chunks_requeued", job_id=job.job_id, chunks=requeued)
    await finalize_if_done(context, job.job_id, repeat_of=job.due_at)
    await context.jobs.reschedule(job.job_id, context.clock.now() + JOB_CHECK_SECONDS)


def _is_deferred(chunk: Chunk) -> bool:
    """Whether the chunk was released until a later time.

    The chunk of a stopped job need not wait for it.
    """
    return chunk.holder is None and chunk.epoch > 0


async def _finish(context: AppContext, job: Job, error: JobError) -> None:
    """Finish a job without published chunks, unless its status has changed meanwhile."""

    def decide(now: Job) -> Job | None:
        return now.finished(now.stop_reason or error, context.clock.now()) if now.status is job.status else None

    await context.jobs.update(job.job_id, decide)
