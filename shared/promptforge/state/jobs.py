"""The only one that knows where jobs and chunks lie, and the only place where they change; erasures.py ends them.

Every change is: read, decide, commit if nothing moved; on a conflict read and decide again. A decision recognises
its own earlier commit, so a commit whose answer was lost does no harm.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from promptforge.domain.chunk import Chunk, ChunkRange
from promptforge.domain.job import Job, JobError
from promptforge.errors import Conflict, LeaseLost, Unavailable
from promptforge.ports.clock import Clock
from promptforge.ports.documents import Create, Document, Documents, Update, Write
from promptforge.state import spend_quotas

T = TypeVar("T")

MAX_TRIES = 40
PAGE = 200
TOTALS_CACHE_SECONDS = 1.0
TOTAL_FIELDS = ("completed", "failed", "tokens", "output_tokens", "cost_nanos")
JOB_CACHE_SECONDS = 1.5
WAITING_NOTE_INTERVAL_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class ClaimedChunk:
    """A chunk that is held, at the version its holder last wrote."""

    job_id: str
    chunk: Chunk
    version: str


class Ledger:
    """Jobs and chunks, read and changed."""

    def __init__(self, documents: Documents, clock: Clock, rng: random.Random) -> None:
        self._documents = documents
        self._clock = clock
        self._rng = rng
        self._progress: dict[str, tuple[float, dict[str, int]]] = {}
        self._recent: dict[str, tuple[float, Job | None]] = {}

    # Jobs

    async def create_job(self, job: Job, also: Sequence[Write] = ()) -> Job | None:
        """Store a new job. Answers the one that is already there under its id, or None if that is being erased. Raises
        Conflict if what is `also` to be written is not as it was."""
        try:
            await self._documents.commit([Create(job_path(job.job_id), job.model_dump(mode="json")), *also])
        except Conflict:
            document = await self._documents.get(job_path(job.job_id))
            if document is None:
                raise
            return job_of(document)
        return job

    async def get(self, job_id: str) -> Job | None:
        """The job, or None if there is none or it is being erased."""
        document = await self._documents.get(job_path(job_id))
        return job_of(document) if document else None

    async def exists(self, job_id: str) -> bool:
        """Whether the id is that of a job, or of one that is being erased."""
        return await self._documents.get(job_path(job_id)) is not None

    async def update_job(self, job_id: str, decide: Callable[[Job], Job | None]) -> Job | None:
        """Put the job that `decide` makes of it in its place; None from it leaves the job alone. Answers the job
        as it then stands, or None if there is none. `decide` may run several times."""
        for attempt in range(MAX_TRIES):
            document = await self._documents.get(job_path(job_id))
            job = job_of(document) if document else None
            if document is None or job is None:
                return None
            decided = decide(job)
            if decided is None:
                return job
            try:
                writes: list[Write] = [Update(document.path, decided.model_dump(mode="json"), document.version)]
                if job.open and not decided.open:
                    writes += await spend_quotas.release_unused(self._documents, decided)
                await self._documents.commit(writes)
            except Conflict:
                await pause(self._rng, attempt)
            else:
                return decided
        raise Conflict(job_id)

    async def stop_job(self, job_id: str, problem: JobError) -> None:
        """Have the job's workers call no more; the first problem stays."""

        def decide(job: Job) -> Job | None:
            return None if job.stop_reason or not job.open else job.model_copy(update={"stop_reason": problem})

        await self.update_job(job_id, decide)

    async def set_waiting(self, job_id: str, problem: JobError, resume_at: float) -> None:
        """Let the client know what its job waits for, until it has gone on for a while; not more often than it is
        news."""
        until = resume_at + 2 * WAITING_NOTE_INTERVAL_SECONDS

        def decide(job: Job) -> Job | None:
            known = job.waiting == problem and until - job.waiting_until < WAITING_NOTE_INTERVAL_SECONDS
            changes = {"waiting": problem, "waiting_until": until}
            return None if known or not job.open else job.model_copy(update=changes)

        await self.update_job(job_id, decide)

    async def get_cached(self, job_id: str) -> Job | None:
        """The job as it was at most RECENT_SECONDS ago, however many chunks of it ask."""
        now = self._clock.now()
        asked_at, job = self._recent.get(job_id, (float("-inf"), None))
        if not 0 <= now - asked_at < JOB_CACHE_SECONDS:
            job = await self.get(job_id)
            _keep(self._recent, job_id, (now, job))
        return job

    async def count_active(self, client: str) -> int:
        """How many jobs of the client are in no final status."""
        return await self._documents.count("jobs", {"client": client, "open": True})

    async def list_due_jobs(self, due_before: float) -> AsyncIterator[Job]:
        """Jobs not in a final status that are due, soonest first."""
        async for document in self._pages("jobs", {"open": True}, "due_at"):
            job = Job.model_validate(document.data)
            if job.due_at > due_before:
                return
            yield job

    # Chunks

    async def create_chunks(
        self, job_id: str, cuts: Sequence[ChunkRange], due_at: float, expire_at: float | None = None
    ) -> None:
        """Store the chunks that are not there yet. Two splitters may do so at once: they cut alike."""
        for attempt in range(MAX_TRIES):
            missing = [cut for cut in cuts if attempt == 0 or not await self._has_chunk(job_id, cut.number)]
            if not missing:
                return
            chunks = [Chunk(**cut.model_dump(), due_at=due_at, expire_at=expire_at) for cut in missing]
            try:
                await self._documents.commit(
                    [Create(_chunk_path(job_id, chunk.number), chunk.model_dump(mode="json")) for chunk in chunks]
                )
            except Conflict:
                await pause(self._rng, attempt)
            else:
                return
        raise Conflict(job_id)

    async def claim(self, job_id: str, number: int, holder: str, lease_seconds: float) -> ClaimedChunk | Chunk | None:
        """Take the chunk under the next epoch. Answers the Claim, or the chunk as it stands if it is settled, waits
        for its time, or another's lease runs, or None if there is no such chunk."""
        for attempt in range(MAX_TRIES):
            document = await self._documents.get(_chunk_path(job_id, number))
            if document is None:
                return None
            chunk, now = Chunk.model_validate(document.data), self._clock.now()
            if chunk.open and chunk.holder == holder:
                return ClaimedChunk(job_id, chunk, document.version)
            if not chunk.can_claim(now):
                return chunk
            held = {"epoch": chunk.epoch + 1, "holder": holder, "due_at": now + lease_seconds}
            taken = chunk.with_crashed_holder().model_copy(update=held)
            try:
                version = await self._write_chunk(job_id, taken, document.version)
            except (Conflict, Unavailable):  # a lost answer may have been a yes: the next look tells
                await pause(self._rng, attempt)
            else:
                return ClaimedChunk(job_id, taken, version)
        raise Conflict(job_id)

    async def update_chunk(self, claim: ClaimedChunk, **changes: object) -> ClaimedChunk:
        """Write a held chunk. Raises LeaseLost, and writes nothing, if another has claimed it."""
        changed, version = claim.chunk.model_copy(update=changes), claim.version
        for attempt in range(MAX_TRIES):
            try:
                return ClaimedChunk(claim.job_id, changed, await self._write_chunk(claim.job_id, changed, version))
            except Conflict:
                document = await self._documents.get(_chunk_path(claim.job_id, changed.number))
                if document is None or document.data["epoch"] != changed.epoch:
                    raise LeaseLost(claim.job_id) from None
                version = document.version
                if not document.data["open"]:  # settled by this very holder: nothing may open it again
                    if changed.open:
                        raise LeaseLost(claim.job_id) from None
                    return ClaimedChunk(claim.job_id, Chunk.model_validate(document.data), version)
                await pause(self._rng, attempt)
        raise Conflict(claim.job_id)

    async def has_open(self, job_id: str) -> bool:
        """Whether any chunk of the job is not settled."""
        return bool(await self._documents.query(chunks_path(job_id), {"open": True}, limit=1))

    async def list_open(self, job_id: str, due_before: float) -> AsyncIterator[Chunk]:
        """Unsettled chunks that are due, soonest first."""
        async for document in self._pages(chunks_path(job_id), {"open": True}, "due_at"):
            chunk = Chunk.model_validate(document.data)
            if chunk.due_at > due_before:
                return
            yield chunk

    async def expire_lease(self, job_id: str, chunk: Chunk, due_at: float) -> bool:
        """Leave a chunk without a holder until `due_at`; a holder that it still has counts as dead. False if the chunk
        is not as it was seen any more."""
        document = await self._documents.get(_chunk_path(job_id, chunk.number))
        if document is None or Chunk.model_validate(document.data) != chunk:
            return False
        try:
            left = chunk.with_crashed_holder().model_copy(update={"holder": None, "due_at": due_at, "resume_at": 0.0})
            await self._write_chunk(job_id, left, document.version)
        except Conflict:
            return False
        return True

    async def list_all(self, job_id: str) -> AsyncIterator[Chunk]:
        """All chunks in input order."""
        async for document in self._pages(chunks_path(job_id), {}, "number"):
            yield Chunk.model_validate(document.data)

    async def totals(self, job_id: str) -> dict[str, int]:
        """What is in SUMS, summed over the chunks; up to PROGRESS_SECONDS old, however often it is asked for, so that
        polling does not slow the work."""
        now = self._clock.now()
        asked_at, sums = self._progress.get(job_id, (float("-inf"), {}))
        if not 0 <= now - asked_at < TOTALS_CACHE_SECONDS:
            sums = await self._documents.sum(chunks_path(job_id), TOTAL_FIELDS)
            _keep(self._progress, job_id, (now, sums))
        return sums

    async def total_cost(self, job_id: str) -> int:
        """`cost_nanos` summed over the chunks, as of now."""
        return (await self._documents.sum(chunks_path(job_id), ["cost_nanos"]))["cost_nanos"]

    # Inside

    async def _pages(
        self, collection: str, where: dict[str, str | int | float | bool | None], order_by: str
    ) -> AsyncIterator[Document]:
        last: Document | None = None
        while True:
            page = await self._documents.query(collection, where, order_by=order_by, limit=PAGE, after=last)
            for document in page:
                yield document
            if len(page) < PAGE:
                return
            last = page[-1]

    async def _has_chunk(self, job_id: str, number: int) -> bool:
        return await self._documents.get(_chunk_path(job_id, number)) is not None

    async def _write_chunk(self, job_id: str, chunk: Chunk, version: str) -> str:
        update = Update(_chunk_path(job_id, chunk.number), chunk.model_dump(mode="json"), version)
        return (await self._documents.commit([update]))[0]


async def pause(rng: random.Random, attempt: int) -> None:
    """Let the others go first, for longer each time: who met a conflict is about to read and decide again."""
    await asyncio.sleep(rng.uniform(0, 0.01 * 2 ** min(attempt, 6)))


def _keep(cache: dict[str, T], job_id: str, value: T) -> None:
    """Remember an answer for a while; a cache that grows large begins anew."""
    if len(cache) >= PAGE:
        cache.clear()
    cache[job_id] = value


def job_of(document: Document) -> Job | None:
    """The job that a document of `jobs` is; None for an erasure in its place."""
    return None if document.data.get("tombstone") else Job.model_validate(document.data)


def job_path(job_id: str) -> str:
    """Where a job, or the erasure in its place, lies."""
    return f"jobs/{job_id}"


def chunks_path(job_id: str) -> str:
    """The collection of a job's chunks."""
    return f"jobs/{job_id}/chunks"


def _chunk_path(job_id: str, number: int) -> str:
    return f"{chunks_path(job_id)}/{number:08d}"
