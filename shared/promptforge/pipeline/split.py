"""Splits an upload into chunks: reads it once, line by line; publishes nothing before the whole file is known.

The chunk ranges depend on the pinned input alone. So a splitter that runs again, or twice at once, makes equal chunks.
"""

from collections.abc import AsyncIterator

from promptforge import logs
from promptforge.context import AppContext
from promptforge.domain.chunk import ChunkRange
from promptforge.domain.chunker import Chunker
from promptforge.domain.formats.lines import BOM, LineSplitter
from promptforge.domain.job import EMPTY_INPUT, INPUT_CHANGED, Job, JobError, PinnedInput, Status
from promptforge.domain.timeouts import JOB_CHECK_SECONDS, SPLIT_TIMEOUT_SECONDS, UNCLAIMED_REQUEUE_SECONDS
from promptforge.errors import ObjectMissing
from promptforge.pipeline.completion import finalize_if_done
from promptforge.ports.objects import ObjectInfo
from promptforge.settings import Settings
from promptforge.state.objects import upload_object

MAX_CHUNK_BYTES = 4 * 1024 * 1024
MIN_CHUNKS_TARGET = 16
"""A small file is split into about this many chunks, so that several workers take part."""
CHUNKS_PER_COMMIT = 100


async def split(context: AppContext, job_id: str) -> None:
    """Split the job's upload and publish its chunks.

    Does nothing for a job that is unknown, finished or past this.
    """
    job = await _begin(context, job_id)
    if job is None or job.input is None or not job.open:
        return
    if job.status is Status.QUEUED:
        job = await _create_chunks(context, job, job.input)
    if job.status is Status.PROCESSING and not job.chunks_published:
        await context.queues.publish_chunks(job.job_id, range(job.chunk_count or 0))
        await context.jobs.update(job.job_id, lambda job: job.published() if job.open else None)
    await finalize_if_done(context, job_id)


async def _begin(context: AppContext, job_id: str) -> Job | None:
    upload = await context.uploads.stat(upload_object(job_id))

    def decide(job: Job) -> Job | None:
        if job.status is not Status.AWAITING_UPLOAD or upload is None:
            return None
        return job.queued(_snapshot_input(context.settings, upload), context.clock.now() + SPLIT_TIMEOUT_SECONDS)

    return await context.jobs.update(job_id, decide)


def _snapshot_input(settings: Settings, upload: ObjectInfo) -> PinnedInput:
    """Return the pinned input.

    A chunk has at most `chunk_lines` lines, and a MIN_CHUNKS_TARGET-th of the file.
    """
    return PinnedInput(
        generation=upload.generation,
        size=upload.size,
        crc32c=upload.crc32c,
        max_line_bytes=settings.max_line_bytes,
        chunk_lines=min(settings.chunk_lines, settings.part_lines),
        chunk_bytes=min(max(upload.size // MIN_CHUNKS_TARGET, 1), MAX_CHUNK_BYTES),
        part_lines=settings.part_lines,
    )


async def _create_chunks(context: AppContext, job: Job, pinned: PinnedInput) -> Job:
    chunker = Chunker(pinned, context.settings.max_lines)
    if error := _check_size(context.settings, pinned.size):
        chunker.error = error
        return await _record(context, job, chunker)
    pending: list[ChunkRange] = []

    async def store() -> None:
        due_at = context.clock.now() + UNCLAIMED_REQUEUE_SECONDS
        await context.chunks.create_missing(job.job_id, pending, due_at, job.expire_at)
        pending.clear()

    try:
        async for chunk_range in _read_ranges(context, job, pinned, chunker):
            pending.append(chunk_range)
            if len(pending) >= CHUNKS_PER_COMMIT:
                await store()
        await store()
    except ObjectMissing:
        chunker.error = INPUT_CHANGED
    if chunker.error is None and chunker.lines == 0:
        chunker.error = EMPTY_INPUT
    return await _record(context, job, chunker)


def _check_size(settings: Settings, size: int) -> JobError | None:
    """Return the error of a file that is too large, which no signed URL of Cloud Storage refuses."""
    limit = settings.max_upload_bytes
    message = f"The file has {size} bytes, more than the limit of {limit}; split it into several jobs."
    return JobError(code="limit_exceeded", message=message) if size > limit else None


async def _read_ranges(
    context: AppContext, job: Job, pinned: PinnedInput, chunker: Chunker
) -> AsyncIterator[ChunkRange]:
    lines = LineSplitter(pinned.max_line_bytes)
    head: bytes | None = b""
    async for block in context.uploads.read(upload_object(job.job_id), generation=pinned.generation):
        if head is not None:
            head += block
            if len(head) < min(len(BOM), pinned.size):
                continue
            block, head = chunker.read_head(head), None
        for chunk_range in chunker.feed(lines.feed(block)):
            yield chunk_range
        if chunker.error:
            return
    for chunk_range in chunker.finish(lines.finish()):
        yield chunk_range


async def _record(context: AppContext, job: Job, chunker: Chunker) -> Job:
    now = context.clock.now()

    def decide(job: Job) -> Job | None:
        if job.status is not Status.QUEUED:
            return None
        counted = job.counted(chunker.lines, chunker.invalid)
        if chunker.error:
            return counted.rejected(job.stop_reason or chunker.error, now)
        return counted.processing(chunker.chunks, now, due_at=now + JOB_CHECK_SECONDS)

    recorded = await context.jobs.update(job.job_id, decide)
    logs.info("job_split", job_id=job.job_id, lines=chunker.lines, invalid=chunker.invalid, chunks=chunker.chunks)
    return recorded or job
