"""Chunk documents: created by the splitter, claimed and written by workers, queried by everything else."""

import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from promptforge.domain.chunk import Chunk, ChunkRange
from promptforge.domain.job import JobTotals
from promptforge.domain.timeouts import TOTALS_CACHE_SECONDS
from promptforge.errors import Conflict, LeaseLost, Unavailable
from promptforge.ports.clock import Clock
from promptforge.ports.documents import Create, Documents, Update
from promptforge.state.cache import ExpiringCache
from promptforge.state.commit import read_pages, retry_on_conflict
from promptforge.state.jobs import job_path


def chunks_path(job_id: str) -> str:
    """Return the collection of a job's chunks."""
    return f"{job_path(job_id)}/chunks"


def chunk_path(job_id: str, number: int) -> str:
    """Return the path of a chunk."""
    return f"{chunks_path(job_id)}/{number:08d}"


@dataclass(frozen=True, slots=True)
class ClaimedChunk:
    """A leased chunk at the version that its holder wrote last."""

    job_id: str
    chunk: Chunk
    version: str


class ChunkStore:
    """Chunks by job id and number."""

    def __init__(self, documents: Documents, clock: Clock, rng: random.Random) -> None:
        self._documents = documents
        self._clock = clock
        self._rng = rng
        self._totals: ExpiringCache[JobTotals] = ExpiringCache(clock, TOTALS_CACHE_SECONDS)

    async def create_missing(
        self, job_id: str, ranges: Sequence[ChunkRange], due_at: float, expire_at: float | None = None
    ) -> None:
        """Store the chunks that do not exist.

        Two splitters may do so at once, with equal ranges.
        """
        missing = list(ranges)

        async def attempt() -> None:
            if not missing:
                return
            chunks = [Chunk(**range_.model_dump(), due_at=due_at, expire_at=expire_at) for range_ in missing]
            try:
                await self._documents.commit(
                    [Create(chunk_path(job_id, chunk.number), chunk.model_dump(mode="json")) for chunk in chunks]
                )
            except Conflict:
                missing[:] = [range_ for range_ in missing if not await self._exists(job_id, range_.number)]
                raise

        await retry_on_conflict(self._rng, attempt)

    async def claim(self, job_id: str, number: int, holder: str, lease_seconds: float) -> ClaimedChunk | Chunk | None:
        """Lease the chunk to `holder` under the next epoch.

        Returns the claim; or the chunk as it is, if it is completed, deferred or leased to another; or None if it does
        not exist. A lost answer may have been a success, which the next try recognises by the holder.
        """

        async def attempt() -> ClaimedChunk | Chunk | None:
            document = await self._documents.get(chunk_path(job_id, number))
            if document is None:
                return None
            chunk, now = Chunk.model_validate(document.data), self._clock.now()
            if chunk.open and chunk.holder == holder:
                return ClaimedChunk(job_id, chunk, document.version)
            if not chunk.can_claim(now):
                return chunk
            claimed = chunk.claimed(holder, now + lease_seconds)
            return ClaimedChunk(job_id, claimed, await self._write(job_id, claimed, document.version))

        return await retry_on_conflict(self._rng, attempt, retry_on=(Conflict, Unavailable))

    async def update(self, claim: ClaimedChunk, chunk: Chunk) -> ClaimedChunk:
        """Write a leased chunk.

        Raises LeaseLost, and writes nothing, if its epoch is over.
        """
        version = claim.version

        async def attempt() -> ClaimedChunk:
            nonlocal version
            try:
                return ClaimedChunk(claim.job_id, chunk, await self._write(claim.job_id, chunk, version))
            except Conflict:
                document = await self._documents.get(chunk_path(claim.job_id, chunk.number))
                if document is None or document.data["epoch"] != chunk.epoch:
                    raise LeaseLost(claim.job_id) from None
                version = document.version
                if not document.data["open"]:  # completed by this holder: a late heartbeat must not reopen it
                    if chunk.open:
                        raise LeaseLost(claim.job_id) from None
                    return ClaimedChunk(claim.job_id, Chunk.model_validate(document.data), version)
                raise

        return await retry_on_conflict(self._rng, attempt)

    async def reload(self, claim: ClaimedChunk) -> ClaimedChunk:
        """Return the claim at the current version of its chunk.

        Raises LeaseLost if its epoch is over.
        """
        document = await self._documents.get(chunk_path(claim.job_id, claim.chunk.number))
        if document is None or document.data["epoch"] != claim.chunk.epoch:
            raise LeaseLost(claim.job_id)
        return ClaimedChunk(claim.job_id, Chunk.model_validate(document.data), document.version)

    async def expire_lease(self, job_id: str, chunk: Chunk, due_at: float) -> bool:
        """Leave the chunk without a holder until `due_at`; a holder that it still has counts as crashed.

        Returns False if the chunk has changed since it was read.
        """
        document = await self._documents.get(chunk_path(job_id, chunk.number))
        if document is None or Chunk.model_validate(document.data) != chunk:
            return False
        try:
            await self._write(job_id, chunk.lease_expired(due_at), document.version)
        except Conflict:
            return False
        return True

    async def has_open(self, job_id: str) -> bool:
        """Return whether a chunk of the job is not completed."""
        return bool(await self._documents.query(chunks_path(job_id), {"open": True}, limit=1))

    async def list_open(self, job_id: str, due_before: float) -> AsyncIterator[Chunk]:
        """Yield the open chunks that are due, earliest first."""
        async for document in read_pages(self._documents, chunks_path(job_id), {"open": True}, "due_at"):
            chunk = Chunk.model_validate(document.data)
            if chunk.due_at > due_before:
                return
            yield chunk

    async def list_all(self, job_id: str) -> AsyncIterator[Chunk]:
        """Yield all chunks in input order."""
        async for document in read_pages(self._documents, chunks_path(job_id), {}, "number"):
            yield Chunk.model_validate(document.data)

    async def totals(self, job_id: str) -> JobTotals:
        """Return the counts of the chunks, added up at most TOTALS_CACHE_SECONDS ago, so that polling stays cheap."""

        async def load() -> JobTotals:
            return JobTotals(**await self._documents.sum(chunks_path(job_id), JobTotals._fields))

        return await self._totals.get(job_id, load)

    async def total_cost(self, job_id: str) -> int:
        """Return the current sum of `cost_nanos`."""
        return (await self._documents.sum(chunks_path(job_id), ["cost_nanos"]))["cost_nanos"]

    async def _exists(self, job_id: str, number: int) -> bool:
        return await self._documents.get(chunk_path(job_id, number)) is not None

    async def _write(self, job_id: str, chunk: Chunk, version: str) -> str:
        update = Update(chunk_path(job_id, chunk.number), chunk.model_dump(mode="json"), version)
        return (await self._documents.commit([update]))[0]
