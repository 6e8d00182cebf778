"""A job whose chunks are complete, made without a worker: any number of chunks, with any counts."""

from collections.abc import Sequence
from typing import Any

from promptforge.domain.chunk import Chunk, ChunkPart
from promptforge.domain.job import Job, PinnedInput
from promptforge.ports.documents import Create
from promptforge.state.chunks import chunk_path
from tests.harness.in_process import InProcessStack

Counts = Sequence[tuple[int, int]]
"""The number of results and errors of each chunk."""

DIFFERENT_PARTS = 37


async def processed_job(stack: InProcessStack, counts: Counts, part_lines: int = 10, **changes: Any) -> str:
    """Create a job that is split and whose chunks are complete; `changes` falsify the first chunk.

    Each line of a part is the number of its chunk, modulo DIFFERENT_PARTS.
    """
    job_id: str = (await stack.init())["job_id"]
    for number in range(min(len(counts), DIFFERENT_PARTS)):
        for kind, lines in zip(("results", "errors"), counts[number], strict=True):
            if lines:
                await stack.context.results.create(f"{job_id}/parts/{number}.{kind}", b"%d\n" % number * lines)
    chunks = []
    for number, (completed, failed) in enumerate(counts):
        parts = {
            kind: ChunkPart(name=f"{job_id}/parts/{number % DIFFERENT_PARTS}.{kind}", lines=lines)
            for kind, lines in (("results", completed), ("errors", failed))
            if lines
        }
        chunks.append(_complete_chunk(number, completed, failed, parts, changes if number == 0 else {}))
    await stack.context.documents.commit(
        [Create(chunk_path(job_id, chunk.number), chunk.model_dump(mode="json")) for chunk in chunks]
    )
    await stack.context.jobs.update(job_id, lambda job: _processing(job, counts, part_lines))
    return job_id


def _complete_chunk(
    number: int, completed: int, failed: int, parts: dict[str, ChunkPart], changes: dict[str, Any]
) -> Chunk:
    counts = {"completed": completed, "failed": failed, "tokens": 3 * completed, "line_count": completed + failed}
    place = {"number": number, "start": number, "end": number + 1, "first_line": 1, "last_line": completed + failed}
    return Chunk.model_validate({**place, **counts, **parts, "due_at": 0.0, "open": False, "holder": "h", **changes})


def _processing(job: Job, counts: Counts, part_lines: int) -> Job:
    limits = {"max_line_bytes": 1, "chunk_lines": 1, "chunk_bytes": 1, "part_lines": part_lines}
    pinned = PinnedInput(generation=1, size=1, crc32c="", **limits)
    lines = sum(completed + failed for completed, failed in counts)
    split = job.queued(pinned, job.due_at).counted(lines, invalid=0).processing(len(counts), job.created_at, job.due_at)
    return split.published()
