"""Publishes a job's files: joins the chunks' parts in input order, counts every line, writes the manifest."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from promptforge import logs
from promptforge.context import AppContext
from promptforge.domain.chunk import Chunk, ChunkPart
from promptforge.domain.job import Job, JobTotals, PinnedInput
from promptforge.domain.manifest import ERRORS_FILE, MANIFEST_FILE, FileEntry, InputEntry, Manifest, part_file
from promptforge.errors import ObjectMissing
from promptforge.ports.objects import MAX_COMPOSE
from promptforge.state.objects import compose_step_object, result_object, upload_object

CONCURRENT_COMPOSES = 8


@dataclass
class ChunkSummary:
    """The completed chunks of a job in input order: their counts added up, and their parts by published file."""

    totals: JobTotals = field(default_factory=JobTotals)
    lines: int = 0
    results: list[list[ChunkPart]] = field(default_factory=list)
    errors: list[ChunkPart] = field(default_factory=list)

    @property
    def files(self) -> list[tuple[str, list[ChunkPart]]]:
        """The files to publish, each with its parts."""
        results = [(part_file(number), parts) for number, parts in enumerate(self.results, 1)]
        return [*results, (ERRORS_FILE, self.errors)]

    def add(self, chunk: Chunk, part_lines: int) -> None:
        """Add a chunk.

        A file of results holds at most `part_lines` lines.
        """
        self.totals = JobTotals(
            completed=self.totals.completed + chunk.completed,
            failed=self.totals.failed + chunk.failed,
            tokens=self.totals.tokens + chunk.tokens,
            output_tokens=self.totals.output_tokens + chunk.output_tokens,
            cost_nanos=self.totals.cost_nanos + chunk.cost_nanos,
        )
        self.lines += chunk.line_count
        if chunk.errors:
            self.errors.append(chunk.errors)
        if chunk.results:
            if not self.results or sum(part.lines for part in self.results[-1]) + chunk.results.lines > part_lines:
                self.results.append([])
            self.results[-1].append(chunk.results)


async def publish_files(context: AppContext, job: Job, summary: ChunkSummary) -> list[FileEntry]:
    """Write every file that the client downloads.

    Returns what each contains.
    """
    slots = asyncio.Semaphore(CONCURRENT_COMPOSES)

    async def publish(filename: str, parts: Sequence[ChunkPart]) -> FileEntry:
        target, names = result_object(job.job_id, filename), [part.name for part in parts]
        async with slots:
            try:
                await _compose_all(context, job.job_id, filename, names)
            except ObjectMissing:
                if await context.results.stat(target) is None:  # otherwise it was joined before the part was deleted
                    await context.results.create(target, _read_remaining_parts(context, names))
            return await _count_file(context, target, filename)

    published = await asyncio.gather(*[publish(*file) for file in summary.files], return_exceptions=True)
    if failed := [exc for exc in published if isinstance(exc, BaseException)]:
        raise failed[0]
    return [entry for entry in published if isinstance(entry, FileEntry)]


async def write_manifest(
    context: AppContext, job: Job, pinned: PinnedInput, summary: ChunkSummary, files: list[FileEntry]
) -> None:
    """Write manifest.json.

    Every run writes the same bytes, so it contains neither times nor the final status.
    """
    manifest = Manifest(
        job_id=job.job_id,
        provider=job.provider,
        model=job.model,
        input=InputEntry(
            name=upload_object(job.job_id), **pinned.model_dump(include=set(InputEntry.model_fields) - {"name"})
        ),
        prompt_count=job.prompt_count,
        completed_count=summary.totals.completed,
        failed_count=summary.totals.failed,
        files=files,
    )
    content = manifest.model_dump_json(indent=1).encode() + b"\n"
    await context.results.create(result_object(job.job_id, MANIFEST_FILE), content)


async def _count_file(context: AppContext, name: str, filename: str) -> FileEntry:
    """Read a published file and return what it contains."""
    info = await context.results.stat(name)
    if info is None:
        raise ObjectMissing(name)
    lines, size, sha256 = 0, 0, hashlib.sha256()
    async for block in context.results.read(name, generation=info.generation):
        lines, size = lines + block.count(b"\n"), size + len(block)
        sha256.update(block)
    return FileEntry(filename=filename, lines=lines, bytes=size, crc32c=info.crc32c, sha256=sha256.hexdigest())


async def _read_remaining_parts(context: AppContext, names: Sequence[str]) -> AsyncIterator[bytes]:
    """Yield the content of the parts that still exist.

    The line count then shows that one is missing.
    """
    for name in names:
        try:
            async for block in context.results.read(name):
                yield block
        except ObjectMissing:
            logs.error("part_missing", part=name)


async def _compose_all(context: AppContext, job_id: str, filename: str, names: Sequence[str]) -> None:
    """Compose any number of objects, MAX_COMPOSE at a time.

    A second run finds the intermediate objects again.
    """
    target = result_object(job_id, filename)
    if not names:
        await context.results.create(target, b"")
        return
    level = 0
    while len(names) > MAX_COMPOSE:
        steps = []
        for first in range(0, len(names), MAX_COMPOSE):
            step = compose_step_object(job_id, filename, level, first)
            await context.results.compose(step, names[first : first + MAX_COMPOSE])
            steps.append(step)
        names, level = steps, level + 1
    await context.results.compose(target, names)
