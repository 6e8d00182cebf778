"""Reads an upload once, line by line, and cuts it into chunks; nothing is announced before the whole file is known.

The cut depends on the pinned input alone, so that a splitter that runs again, or twice at once, makes the same chunks.
"""

from collections.abc import AsyncIterator

from promptforge import logs
from promptforge.domain.chunk import Cut
from promptforge.domain.cutter import Cutter
from promptforge.domain.job import EMPTY_INPUT, INPUT_CHANGED, Input, Job, Status
from promptforge.domain.lines import BOM, LineSplitter
from promptforge.domain.messages import ChunkMessage, JobMessage, upload_object
from promptforge.errors import ObjectMissing
from promptforge.ports.objects import ObjectInfo
from promptforge.service import finish
from promptforge.service.app import App
from promptforge.settings import Settings

MAX_CHUNK_BYTES = 4 * 1024 * 1024
SPREAD = 16  # a small file is cut into about so many chunks, to reach several workers
STALE_SECONDS = 600.0  # a split that says nothing for so long is begun again by the sweeper
CHECK_SECONDS = 60.0  # how often the sweeper looks at a job that is being worked on
UNHEARD_SECONDS = 3600.0  # a chunk that was announced and not claimed for so long is announced again
CHUNKS_A_COMMIT = 100
MESSAGES_A_PUBLISH = 500


async def uploaded(app: App, job_id: str) -> None:
    """Have the job split by a task. Whoever brings the event of an upload waits 10 seconds for an answer (Eventarc's
    subscription) and then brings it again, to another splitter; a task is waited for as long as a split may take."""
    await app.tasks.enqueue("splitter", JobMessage(job_id=job_id).encode(), name=f"split-{job_id}")


async def split(app: App, job_id: str) -> None:
    """Cut the job's upload and announce its chunks. Does nothing for a job that is unknown, ended or past this."""
    job = await _begin(app, job_id)
    if job is None or job.input is None or not job.open:
        return
    if job.status is Status.QUEUED:
        job = await _cut(app, job, job.input)
    if job.status is Status.PROCESSING and not job.announced:
        await _announce(app, job)
    await finish.ask(app, job_id)


async def _begin(app: App, job_id: str) -> Job | None:
    upload = await app.uploads.stat(upload_object(job_id))

    def decide(job: Job) -> Job | None:
        if job.status is not Status.AWAITING_UPLOAD or upload is None:
            return None
        return job.to(Status.QUEUED, input=_pin(app.settings, upload), due_at=app.clock.now() + STALE_SECONDS)

    return await app.ledger.change_job(job_id, decide)


def _pin(settings: Settings, upload: ObjectInfo) -> Input:
    """Cut at most `chunk_lines` lines, or about a SPREAD-th of the file, into a chunk."""
    return Input(
        generation=upload.generation,
        size=upload.size,
        crc32c=upload.crc32c,
        max_line_bytes=settings.max_line_bytes,
        chunk_lines=min(settings.chunk_lines, settings.part_lines),
        chunk_bytes=min(max(upload.size // SPREAD, 1), MAX_CHUNK_BYTES),
        part_lines=settings.part_lines,
    )


async def _cut(app: App, job: Job, pinned: Input) -> Job:
    cutter = Cutter(pinned, app.settings.max_lines)
    pending: list[Cut] = []

    async def store() -> None:
        await app.ledger.create_chunks(job.job_id, pending, app.clock.now() + UNHEARD_SECONDS, job.expire_at)
        pending.clear()

    try:
        async for cut in _cuts(app, job, pinned, cutter):
            pending.append(cut)
            if len(pending) >= CHUNKS_A_COMMIT:
                await store()
        await store()
    except ObjectMissing:
        cutter.problem = INPUT_CHANGED
    if cutter.problem is None and cutter.lines == 0:
        cutter.problem = EMPTY_INPUT
    return await _end(app, job, cutter)


async def _cuts(app: App, job: Job, pinned: Input, cutter: Cutter) -> AsyncIterator[Cut]:
    lines = LineSplitter(pinned.max_line_bytes)
    head: bytes | None = b""
    async for block in app.uploads.read(upload_object(job.job_id), generation=pinned.generation):
        if head is not None:
            head += block
            if len(head) < min(len(BOM), pinned.size):
                continue
            block, head = cutter.open(head), None
        for cut in cutter.feed(lines.feed(block)):
            yield cut
        if cutter.problem:
            return
    for cut in cutter.end(lines.end()):
        yield cut


async def _end(app: App, job: Job, cutter: Cutter) -> Job:
    now = app.clock.now()

    def decide(job: Job) -> Job | None:
        if job.status is not Status.QUEUED:
            return None
        counts = {"prompt_count": cutter.lines, "invalid_count": cutter.invalid}
        if cutter.problem:
            return job.ended(job.stop or cutter.problem, **counts, failed_count=cutter.lines, completed_at=now)
        due_at = now + CHECK_SECONDS
        counts["chunk_count"] = cutter.chunks
        return job.to(Status.PROCESSING, **counts, started_processing_at=now, due_at=due_at)

    ended = await app.ledger.change_job(job.job_id, decide)
    logs.info("job_split", job_id=job.job_id, lines=cutter.lines, invalid=cutter.invalid, chunks=cutter.chunks)
    return ended or job


async def _announce(app: App, job: Job) -> None:
    for first in range(0, job.chunk_count or 0, MESSAGES_A_PUBLISH):
        numbers = range(first, min(first + MESSAGES_A_PUBLISH, job.chunk_count or 0))
        messages = [ChunkMessage(job_id=job.job_id, chunk=number).encode() for number in numbers]
        await app.topics.publish("chunks", messages)
    await app.ledger.change_job(
        job.job_id, lambda job: job.model_copy(update={"announced": True}) if job.open else None
    )
