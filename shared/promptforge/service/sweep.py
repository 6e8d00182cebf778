"""Finds what was forgotten: uploads that never came, events and messages that were lost, leases that ran out, jobs
over their deadline."""

from promptforge import logs
from promptforge.domain.chunk import Chunk
from promptforge.domain.job import DEADLINE_EXCEEDED, UPLOAD_EXPIRED, Job, Problem, Status
from promptforge.domain.messages import ChunkMessage, JobMessage, upload_object
from promptforge.errors import PromptForgeError
from promptforge.service import finish
from promptforge.service.app import App
from promptforge.service.erase import have_due_erased
from promptforge.service.intake import AWAIT_SECONDS, UPLOAD_GRACE_SECONDS
from promptforge.service.split import CHECK_SECONDS, STALE_SECONDS, UNHEARD_SECONDS


async def sweep(app: App, job_id: str | None = None) -> None:
    """Look at one job, or at every open job that is due, and put it back on its way or end it; and have erased what
    is to be."""
    if job_id is None:
        async for job in app.ledger.open_jobs(due_before=app.clock.now()):
            try:
                await _sweep_job(app, job)
            except PromptForgeError as exc:  # one job's trouble must not hide the next
                logs.error("sweep_failed", job_id=job.job_id, error=type(exc).__name__)
        await have_due_erased(app)
    elif named := await app.ledger.job(job_id):
        await _sweep_job(app, named)


async def _sweep_job(app: App, job: Job) -> None:
    overdue = app.clock.now() >= job.deadline_at
    if overdue and job.open and job.input and job.stop is None:
        await app.ledger.stop_job(job.job_id, DEADLINE_EXCEEDED)
        job = job.model_copy(update={"stop": DEADLINE_EXCEEDED})
        logs.warning("job_overdue", job_id=job.job_id)
    match job.status:
        case Status.AWAITING_UPLOAD:
            await _awaiting_upload(app, job, overdue)
        case Status.QUEUED if overdue:
            await _end(app, job, DEADLINE_EXCEEDED)
        case Status.QUEUED:
            await _split_again(app, job)
        case Status.PROCESSING:
            await _processing(app, job)


async def abandon_leases(app: App, instance: str | None) -> None:
    """End the leases of a process that is known to be dead (None: of all), so that nobody waits for their end."""
    now = app.clock.now()
    async for job in app.ledger.open_jobs(due_before=float("inf")):
        async for chunk in app.ledger.open_chunks(job.job_id, due_before=float("inf")):
            if chunk.holder and (instance is None or chunk.holder.startswith(f"{instance}.")):
                await app.ledger.end_lease(job.job_id, chunk, due_at=now)
                await _announce(app, job, chunk)


async def _awaiting_upload(app: App, job: Job, overdue: bool) -> None:
    if await app.uploads.stat(upload_object(job.job_id)):
        await (_end(app, job, DEADLINE_EXCEEDED) if overdue else _split_again(app, job))
    elif app.clock.now() >= job.upload_expires_at + UPLOAD_GRACE_SECONDS:
        await _end(app, job, UPLOAD_EXPIRED)
    else:
        await _look_again_in(app, job, AWAIT_SECONDS)


async def _split_again(app: App, job: Job) -> None:
    message = JobMessage(job_id=job.job_id)
    await app.tasks.enqueue("splitter", message.encode(), name=f"{_again('split', job)}-{job.job_id}")
    await _look_again_in(app, job, STALE_SECONDS)
    logs.warning("split_repeated", job_id=job.job_id)


async def _processing(app: App, job: Job) -> None:
    if not job.announced:
        await _split_again(app, job)
        if job.stop is None:  # else whatever is due below need not wait for a splitter that may never come through
            return
    now, announced = app.clock.now(), 0
    async for chunk in app.ledger.open_chunks(job.job_id, due_before=float("inf") if job.stop else now):
        if chunk.due_at <= now or _parked(chunk):
            await _announce(app, job, chunk)
            announced += await app.ledger.end_lease(job.job_id, chunk, due_at=now + UNHEARD_SECONDS)
    if announced:
        logs.warning("chunks_announced_again", job_id=job.job_id, chunks=announced)
    await finish.ask(app, job.job_id, name=_again("finish", job))
    await _look_again_in(app, job, CHECK_SECONDS)


def _parked(chunk: Chunk) -> bool:
    """Whether the chunk was given back for a while; when its job is stopped it need not wait any longer."""
    return chunk.holder is None and chunk.epoch > 0


async def _announce(app: App, job: Job, chunk: Chunk) -> None:
    await app.topics.publish("chunks", [ChunkMessage(job_id=job.job_id, chunk=chunk.number).encode()])


async def _end(app: App, job: Job, problem: Problem) -> None:
    """End a job of which no chunk was announced, unless it has gone on meanwhile."""

    def decide(now: Job) -> Job | None:
        return now.ended(now.stop or problem, completed_at=app.clock.now()) if now.status is job.status else None

    await app.ledger.change_job(job.job_id, decide)


async def _look_again_in(app: App, job: Job, seconds: float) -> None:
    due_at = app.clock.now() + seconds
    await app.ledger.change_job(job.job_id, lambda job: job.model_copy(update={"due_at": due_at}) if job.open else None)


def _again(step: str, job: Job) -> str:
    """A task name that is free again each time the job is due."""
    return f"{step}-again-{job.due_at:.0f}"
