"""Finds what was forgotten: uploads that never came, events and messages that were lost, leases that ran out, jobs
over their deadline."""

from promptforge import logs
from promptforge.api.create_job import UPLOAD_CHECK_SECONDS, UPLOAD_GRACE_SECONDS
from promptforge.context import AppContext
from promptforge.domain.chunk import Chunk
from promptforge.domain.commands import JobCommand, ProcessChunk, upload_object
from promptforge.domain.job import DEADLINE_EXCEEDED, UPLOAD_EXPIRED, Job, JobError, Status
from promptforge.errors import PromptForgeError
from promptforge.pipeline import finalize
from promptforge.pipeline.erase import erase_due
from promptforge.pipeline.split import JOB_CHECK_SECONDS, SPLIT_TIMEOUT_SECONDS, UNCLAIMED_REQUEUE_SECONDS


async def sweep(app: AppContext, job_id: str | None = None) -> None:
    """Look at one job, or at every open job that is due, and put it back on its way or end it; and have erased what
    is to be."""
    if job_id is None:
        async for job in app.ledger.list_due_jobs(due_before=app.clock.now()):
            try:
                await _sweep_job(app, job)
            except PromptForgeError as exc:  # one job's trouble must not hide the next
                logs.error("sweep_failed", job_id=job.job_id, error=type(exc).__name__)
        await erase_due(app)
    elif named := await app.ledger.get(job_id):
        await _sweep_job(app, named)


async def _sweep_job(app: AppContext, job: Job) -> None:
    overdue = app.clock.now() >= job.deadline_at
    if overdue and job.open and job.input and job.stop_reason is None:
        await app.ledger.stop_job(job.job_id, DEADLINE_EXCEEDED)
        job = job.model_copy(update={"stop_reason": DEADLINE_EXCEEDED})
        logs.warning("job_deadline_exceeded", job_id=job.job_id)
    match job.status:
        case Status.AWAITING_UPLOAD:
            await _awaiting_upload(app, job, overdue)
        case Status.QUEUED if overdue:
            await _end(app, job, DEADLINE_EXCEEDED)
        case Status.QUEUED:
            await _requeue_split(app, job)
        case Status.PROCESSING:
            await _processing(app, job)


async def expire_leases(app: AppContext, instance: str | None) -> None:
    """End the leases of a process that is known to be dead (None: of all), so that nobody waits for their end."""
    now = app.clock.now()
    async for job in app.ledger.list_due_jobs(due_before=float("inf")):
        async for chunk in app.ledger.list_open(job.job_id, due_before=float("inf")):
            if chunk.holder and (instance is None or chunk.holder.startswith(f"{instance}.")):
                await app.ledger.expire_lease(job.job_id, chunk, due_at=now)
                await _publish_chunk(app, job, chunk)


async def _awaiting_upload(app: AppContext, job: Job, overdue: bool) -> None:
    if await app.uploads.stat(upload_object(job.job_id)):
        await (_end(app, job, DEADLINE_EXCEEDED) if overdue else _requeue_split(app, job))
    elif app.clock.now() >= job.upload_expires_at + UPLOAD_GRACE_SECONDS:
        await _end(app, job, UPLOAD_EXPIRED)
    else:
        await _look_again_in(app, job, UPLOAD_CHECK_SECONDS)


async def _requeue_split(app: AppContext, job: Job) -> None:
    message = JobCommand(job_id=job.job_id)
    await app.tasks.enqueue("splitter", message.encode(), name=f"{_repeat_task_name('split', job)}-{job.job_id}")
    await _look_again_in(app, job, SPLIT_TIMEOUT_SECONDS)
    logs.warning("split_requeued", job_id=job.job_id)


async def _processing(app: AppContext, job: Job) -> None:
    if not job.chunks_published:
        await _requeue_split(app, job)
        if (
            job.stop_reason is None
        ):  # else whatever is due below need not wait for a splitter that may never come through
            return
    now, announced = app.clock.now(), 0
    async for chunk in app.ledger.list_open(job.job_id, due_before=float("inf") if job.stop_reason else now):
        if chunk.due_at <= now or _is_deferred(chunk):
            await _publish_chunk(app, job, chunk)
            announced += await app.ledger.expire_lease(job.job_id, chunk, due_at=now + UNCLAIMED_REQUEUE_SECONDS)
    if announced:
        logs.warning("chunks_requeued", job_id=job.job_id, chunks=announced)
    await finalize.finalize_if_done(app, job.job_id, name=_repeat_task_name("finish", job))
    await _look_again_in(app, job, JOB_CHECK_SECONDS)


def _is_deferred(chunk: Chunk) -> bool:
    """Whether the chunk was given back for a while; when its job is stopped it need not wait any longer."""
    return chunk.holder is None and chunk.epoch > 0


async def _publish_chunk(app: AppContext, job: Job, chunk: Chunk) -> None:
    await app.topics.publish("chunks", [ProcessChunk(job_id=job.job_id, chunk=chunk.number).encode()])


async def _end(app: AppContext, job: Job, problem: JobError) -> None:
    """End a job of which no chunk was announced, unless it has gone on meanwhile."""

    def decide(now: Job) -> Job | None:
        return (
            now.finished(now.stop_reason or problem, completed_at=app.clock.now()) if now.status is job.status else None
        )

    await app.ledger.update_job(job.job_id, decide)


async def _look_again_in(app: AppContext, job: Job, seconds: float) -> None:
    due_at = app.clock.now() + seconds
    await app.ledger.update_job(job.job_id, lambda job: job.model_copy(update={"due_at": due_at}) if job.open else None)


def _repeat_task_name(step: str, job: Job) -> str:
    """A task name that is free again each time the job is due."""
    return f"{step}-again-{job.due_at:.0f}"
