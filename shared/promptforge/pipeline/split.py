"""Reads an upload once, line by line, and cuts it into chunks; nothing is announced before the whole file is known.

The cut depends on the pinned input alone, so that a splitter that runs again, or twice at once, makes the same chunks.
"""

from collections.abc import AsyncIterator

from promptforge import logs
from promptforge.context import AppContext
from promptforge.domain.chunk import ChunkRange
from promptforge.domain.chunker import Chunker
from promptforge.domain.commands import JobCommand, ProcessChunk, upload_object
from promptforge.domain.formats.lines import BOM, LineSplitter
from promptforge.domain.job import EMPTY_INPUT, INPUT_CHANGED, Job, PinnedInput, Status
from promptforge.errors import ObjectMissing
from promptforge.pipeline import finalize
from promptforge.ports.objects import ObjectInfo
from promptforge.settings import Settings

MAX_CHUNK_BYTES = 4 * 1024 * 1024
MIN_CHUNKS_TARGET = 16  # a small file is cut into about so many chunks, to reach several workers
SPLIT_TIMEOUT_SECONDS = 600.0  # a split that says nothing for so long is begun again by the sweeper
JOB_CHECK_SECONDS = 60.0  # how often the sweeper looks at a job that is being worked on
UNCLAIMED_REQUEUE_SECONDS = 3600.0  # a chunk that was announced and not claimed for so long is announced again
CHUNKS_PER_COMMIT = 100
MESSAGES_PER_PUBLISH = 500


async def enqueue_split(app: AppContext, job_id: str) -> None:
    """Have the job split by a task. Whoever brings the event of an upload waits 10 seconds for an answer (Eventarc's
    subscription) and then brings it again, to another splitter; a task is waited for as long as a split may take."""
    await app.tasks.enqueue("splitter", JobCommand(job_id=job_id).encode(), name=f"split-{job_id}")


async def split(app: AppContext, job_id: str) -> None:
    """Cut the job's upload and announce its chunks. Does nothing for a job that is unknown, ended or past this."""
    job = await _begin(app, job_id)
    if job is None or job.input is None or not job.open:
        return
    if job.status is Status.QUEUED:
        job = await _cut(app, job, job.input)
    if job.status is Status.PROCESSING and not job.chunks_published:
        await _announce(app, job)
    await finalize.finalize_if_done(app, job_id)


async def _begin(app: AppContext, job_id: str) -> Job | None:
    upload = await app.uploads.stat(upload_object(job_id))

    def decide(job: Job) -> Job | None:
        if job.status is not Status.AWAITING_UPLOAD or upload is None:
            return None
        return job.transition(
            Status.QUEUED, input=_snapshot_input(app.settings, upload), due_at=app.clock.now() + SPLIT_TIMEOUT_SECONDS
        )

    return await app.ledger.update_job(job_id, decide)


def _snapshot_input(settings: Settings, upload: ObjectInfo) -> PinnedInput:
    """Cut at most `chunk_lines` lines, or about a SPREAD-th of the file, into a chunk."""
    return PinnedInput(
        generation=upload.generation,
        size=upload.size,
        crc32c=upload.crc32c,
        max_line_bytes=settings.max_line_bytes,
        chunk_lines=min(settings.chunk_lines, settings.part_lines),
        chunk_bytes=min(max(upload.size // MIN_CHUNKS_TARGET, 1), MAX_CHUNK_BYTES),
        part_lines=settings.part_lines,
    )


async def _cut(app: AppContext, job: Job, pinned: PinnedInput) -> Job:
    cutter = Chunker(pinned, app.settings.max_lines)
    pending: list[ChunkRange] = []

    async def store() -> None:
        await app.ledger.create_chunks(job.job_id, pending, app.clock.now() + UNCLAIMED_REQUEUE_SECONDS, job.expire_at)
        pending.clear()

    try:
        async for cut in _cuts(app, job, pinned, cutter):
            pending.append(cut)
            if len(pending) >= CHUNKS_PER_COMMIT:
                await store()
        await store()
    except ObjectMissing:
        cutter.error = INPUT_CHANGED
    if cutter.error is None and cutter.lines == 0:
        cutter.error = EMPTY_INPUT
    return await _end(app, job, cutter)


async def _cuts(app: AppContext, job: Job, pinned: PinnedInput, cutter: Chunker) -> AsyncIterator[ChunkRange]:
    lines = LineSplitter(pinned.max_line_bytes)
    head: bytes | None = b""
    async for block in app.uploads.read(upload_object(job.job_id), generation=pinned.generation):
        if head is not None:
            head += block
            if len(head) < min(len(BOM), pinned.size):
                continue
            block, head = cutter.read_head(head), None
        for cut in cutter.feed(lines.feed(block)):
            yield cut
        if cutter.error:
            return
    for cut in cutter.finish(lines.finish()):
        yield cut


async def _end(app: AppContext, job: Job, cutter: Chunker) -> Job:
    now = app.clock.now()

    def decide(job: Job) -> Job | None:
        if job.status is not Status.QUEUED:
            return None
        counts = {"prompt_count": cutter.lines, "invalid_count": cutter.invalid}
        if cutter.error:
            return job.finished(job.stop_reason or cutter.error, **counts, failed_count=cutter.lines, completed_at=now)
        due_at = now + JOB_CHECK_SECONDS
        counts["chunk_count"] = cutter.chunks
        return job.transition(Status.PROCESSING, **counts, started_processing_at=now, due_at=due_at)

    ended = await app.ledger.update_job(job.job_id, decide)
    logs.info("job_split", job_id=job.job_id, lines=cutter.lines, invalid=cutter.invalid, chunks=cutter.chunks)
    return ended or job


async def _announce(app: AppContext, job: Job) -> None:
    for first in range(0, job.chunk_count or 0, MESSAGES_PER_PUBLISH):
        numbers = range(first, min(first + MESSAGES_PER_PUBLISH, job.chunk_count or 0))
        messages = [ProcessChunk(job_id=job.job_id, chunk=number).encode() for number in numbers]
        await app.topics.publish("chunks", messages)
    await app.ledger.update_job(
        job.job_id, lambda job: job.model_copy(update={"chunks_published": True}) if job.open else None
    )
