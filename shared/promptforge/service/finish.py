"""Ends a job whose chunks are all settled: joins their parts in order, counts every line, sets the final status."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from promptforge import logs
from promptforge.domain.chunk import Chunk, Part
from promptforge.domain.job import ALL_FAILED, INCOMPLETE, NO_VALID_PROMPTS, Input, Job, Problem, Status
from promptforge.domain.manifest import ERRORS_FILE, MANIFEST_FILE, FileEntry, InputEntry, Manifest, part_file
from promptforge.domain.messages import JobMessage, upload_object
from promptforge.errors import ObjectMissing
from promptforge.ports.objects import MAX_COMPOSE
from promptforge.service.app import App
from promptforge.service.erase import clear

COMPOSES_AT_ONCE = 8


async def ask(app: App, job_id: str, name: str = "finish") -> None:
    """Is any chunk open? If none is, have the job finished. Whoever settles last asks last, so someone always does."""
    job = await app.ledger.job(job_id)
    if job is None or job.status is not Status.PROCESSING or await app.ledger.has_open_chunk(job_id):
        return
    await app.tasks.enqueue("finalizer", JobMessage(job_id=job_id).encode(), name=f"{name}-{job_id}")


async def finish(app: App, job_id: str) -> None:
    """Publish the job's results and set its final status. Run twice, also at once, it publishes the same bytes."""
    job = await app.ledger.job(job_id)
    if job is None:
        return
    if job.status is Status.PROCESSING and job.input and not await app.ledger.has_open_chunk(job_id):
        tally = await _tally(app, job, job.input)
        files = await _publish(app, job, tally)
        await _write_manifest(app, job, job.input, tally, files)
        await _end(app, job, tally, _adds_up(job, tally, files))
    ended = await app.ledger.job(job_id)
    if ended and not ended.open:
        await _clean_up(app, job_id)


@dataclass
class _Tally:
    """What the settled chunks say of themselves, in input order."""

    completed: int = 0
    failed: int = 0
    tokens: int = 0
    output_tokens: int = 0
    cost_nanos: int = 0
    lines: int = 0
    results: list[list[Part]] = field(default_factory=list)  # one list a file
    errors: list[Part] = field(default_factory=list)

    @property
    def files(self) -> list[tuple[str, list[Part]]]:
        """The files to publish and the parts of each."""
        results = [(part_file(number), parts) for number, parts in enumerate(self.results, 1)]
        return [*results, (ERRORS_FILE, self.errors)]

    def add(self, chunk: Chunk, part_lines: int) -> None:
        self.completed += chunk.completed
        self.failed += chunk.failed
        self.tokens += chunk.tokens
        self.output_tokens += chunk.output_tokens
        self.cost_nanos += chunk.cost_nanos
        self.lines += chunk.line_count
        if chunk.errors:
            self.errors.append(chunk.errors)
        if chunk.results:
            if not self.results or sum(part.lines for part in self.results[-1]) + chunk.results.lines > part_lines:
                self.results.append([])
            self.results[-1].append(chunk.results)


async def _tally(app: App, job: Job, pinned: Input) -> _Tally:
    tally = _Tally()
    async for chunk in app.ledger.chunks(job.job_id):
        tally.add(chunk, pinned.part_lines)
    return tally


async def _publish(app: App, job: Job, tally: _Tally) -> list[FileEntry]:
    """Join the parts into the files the client sees, and count what is in them."""
    slots = asyncio.Semaphore(COMPOSES_AT_ONCE)

    async def publish(filename: str, parts: Sequence[Part]) -> FileEntry:
        target, names = f"{job.job_id}/{filename}", [part.name for part in parts]
        async with slots:
            try:
                await _join(app, target, names)
            except ObjectMissing:
                if await app.results.stat(target) is None:  # else it was joined before the part went
                    await app.results.create(target, _what_is_left(app, names))
            return await _entry(app, target, filename)

    published = await asyncio.gather(*[publish(*file) for file in tally.files], return_exceptions=True)
    if failed := [exc for exc in published if isinstance(exc, BaseException)]:
        raise failed[0]
    return [entry for entry in published if isinstance(entry, FileEntry)]


async def _entry(app: App, name: str, filename: str) -> FileEntry:
    """What is in a published file, read from it byte by byte."""
    info = await app.results.stat(name)
    if info is None:
        raise ObjectMissing(name)
    lines, size, sha256 = 0, 0, hashlib.sha256()
    async for block in app.results.read(name, generation=info.generation):
        lines, size = lines + block.count(b"\n"), size + len(block)
        sha256.update(block)
    return FileEntry(filename=filename, lines=lines, bytes=size, crc32c=info.crc32c, sha256=sha256.hexdigest())


def _adds_up(job: Job, tally: _Tally, files: Sequence[FileEntry]) -> bool:
    """Whether every line of the input is in the files: counted in them, said by the chunks, and found by the split."""
    claimed = [sum(part.lines for part in parts) for _, parts in tally.files]
    counted = [file.lines for file in files]
    return (
        counted == claimed
        and sum(counted[:-1]) == tally.completed
        and counted[-1] == tally.failed
        and sum(counted) == tally.lines == job.prompt_count
    )


async def _write_manifest(app: App, job: Job, pinned: Input, tally: _Tally, files: list[FileEntry]) -> None:
    """The same bytes at every run, so nothing in it may depend on the time or on how the job ends."""
    name = upload_object(job.job_id)
    manifest = Manifest(
        job_id=job.job_id,
        provider=job.provider,
        model=job.model,
        input=InputEntry(name=name, **pinned.model_dump(include=set(InputEntry.model_fields))),
        prompt_count=job.prompt_count,
        completed_count=tally.completed,
        failed_count=tally.failed,
        files=files,
    )
    await app.results.create(f"{job.job_id}/{MANIFEST_FILE}", manifest.model_dump_json(indent=1).encode() + b"\n")


async def _what_is_left(app: App, names: Sequence[str]) -> AsyncIterator[bytes]:
    """The parts that are still there, when one is not; the count will tell."""
    for name in names:
        try:
            async for block in app.results.read(name):
                yield block
        except ObjectMissing:
            logs.error("part_missing", part=name)


async def _join(app: App, target: str, names: Sequence[str]) -> None:
    """Compose any number of objects, MAX_COMPOSE at a time, through named steps that a second run finds again."""
    if not names:
        await app.results.create(target, b"")
        return
    level = 0
    while len(names) > MAX_COMPOSE:
        steps = []
        for first in range(0, len(names), MAX_COMPOSE):
            step = _step(target, level, first)
            await app.results.compose(step, names[first : first + MAX_COMPOSE])
            steps.append(step)
        names, level = steps, level + 1
    await app.results.compose(target, names)


async def _end(app: App, job: Job, tally: _Tally, adds_up: bool) -> None:
    def decide(job: Job) -> Job | None:
        if job.status is not Status.PROCESSING:
            return None
        completed = min(tally.completed, job.prompt_count)
        return job.ended(
            _problem(job, tally, adds_up),
            completed_count=completed,
            failed_count=job.prompt_count - completed,
            tokens_used=tally.tokens,
            output_tokens=tally.output_tokens,
            cost_nanos=tally.cost_nanos,
            result_parts=len(tally.results),
            completed_at=app.clock.now(),
        )

    ended = await app.ledger.change_job(job.job_id, decide)
    if ended:
        counts = {"completed": ended.completed_count, "failed": ended.failed_count}
        logs.info("job_ended", job_id=job.job_id, status=ended.status.value, **counts)


def _problem(job: Job, tally: _Tally, adds_up: bool) -> Problem | None:
    if not adds_up:
        return INCOMPLETE
    if job.stop:
        return job.stop
    if tally.completed:
        return None
    return NO_VALID_PROMPTS if job.invalid_count == job.prompt_count else ALL_FAILED


async def _clean_up(app: App, job_id: str) -> None:
    """Remove what only the work needed: segments, the chunks' parts and the steps of the joining."""
    await clear(app.work, f"{job_id}/")
    await clear(app.results, f"{job_id}/parts/")


def _step(target: str, level: int, first: int) -> str:
    job_id, _, filename = target.partition("/")
    return f"{job_id}/parts/{filename}.{level}.{first:08d}"
