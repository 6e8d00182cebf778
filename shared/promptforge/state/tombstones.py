"""Tombstones: the documents of deleted and expired jobs.

A tombstone replaces the job's document in one commit. From then on the job does not exist for any caller, and its
workers lose their leases.
"""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from promptforge.domain.job import Job
from promptforge.domain.tombstone import Tombstone
from promptforge.errors import Conflict
from promptforge.ports.documents import Delete, Document, Documents, Update, Write
from promptforge.state.chunks import chunks_path
from promptforge.state.commit import read_pages, retry_on_conflict
from promptforge.state.jobs import JOBS, job_path, parse_job
from promptforge.state.spend_quotas import SpendQuotaStore

CHUNKS_PER_COMMIT = 100
MAX_TRIES = 12


class TombstoneStore:
    """Tombstones by job id."""

    def __init__(self, documents: Documents, quotas: SpendQuotaStore, rng: random.Random) -> None:
        self._documents = documents
        self._quotas = quotas
        self._rng = rng

    async def replace_job(
        self, job_id: str, delete_writes_until: float, due_at: float, agreed: Callable[[Job], bool]
    ) -> Tombstone | None:
        """Put a tombstone in the job's place if `agreed` returns True.

        Returns the tombstone that is there then, or None. Raises Unavailable if the job is written all the time.
        """

        async def attempt() -> Tombstone | None:
            document = await self._documents.get(job_path(job_id))
            if document is None:
                return None
            job = parse_job(document)
            if job is None:
                return Tombstone.model_validate(document.data)
            if not agreed(job):
                return None
            tombstone = Tombstone(due_at=due_at, delete_writes_until=delete_writes_until)
            writes: list[Write] = [Update(document.path, tombstone.model_dump(mode="json"), document.version)]
            if job.open and job.started_processing_at is None:  # calls of any other unfinished job may be in flight
                writes += await self._quotas.release_unused(job)
            await self._documents.commit(writes)
            return tombstone

        return await retry_on_conflict(self._rng, attempt, max_tries=MAX_TRIES)

    async def list_due(self, due_before: float) -> AsyncIterator[tuple[str, float]]:
        """Yield the id and due time of every finished or deleted job that is due, earliest first."""
        async for document in read_pages(self._documents, JOBS, {"open": False}, "due_at"):
            if document.data["due_at"] > due_before:
                return
            yield document.path.rpartition("/")[2], document.data["due_at"]

    async def delete_chunks(self, job_id: str) -> None:
        """Delete the job's chunk documents; a holder then loses its lease.

        Raises Unavailable if they are written all the time.
        """

        async def attempt() -> bool:
            page = await self._documents.query(chunks_path(job_id), limit=CHUNKS_PER_COMMIT)
            if page:
                await self._documents.commit([Delete(document.path, document.version) for document in page])
            return bool(page)

        while await retry_on_conflict(self._rng, attempt, max_tries=MAX_TRIES):
            pass

    async def defer(self, job_id: str, was_due_at: float, due_at: float) -> None:
        """Make a job that was read as due at `was_due_at` due later."""
        await self._change(job_id, "due_at", was_due_at, lambda seen: _with_due_at(seen, due_at))

    async def reschedule(self, job_id: str, tombstone: Tombstone, due_at: float) -> None:
        """Make the tombstone due at that time, whatever its due time is now."""
        await self._change_tombstone(job_id, tombstone, lambda seen: seen.rescheduled(due_at))

    async def retain_until(self, job_id: str, tombstone: Tombstone, expire_at: float) -> None:
        """Keep the id from being assigned again until then; nothing is removed any more."""
        await self._change_tombstone(job_id, tombstone, lambda seen: seen.retained(expire_at))

    async def delete(self, job_id: str, tombstone: Tombstone) -> None:
        """Delete the tombstone: its id may be assigned again."""
        until = tombstone.delete_writes_until
        await self._change(job_id, "delete_writes_until", until, lambda seen: Delete(seen.path, seen.version))

    async def _change_tombstone(
        self, job_id: str, tombstone: Tombstone, change: Callable[[Tombstone], Tombstone]
    ) -> None:
        def write(document: Document) -> Write:
            changed = change(Tombstone.model_validate(document.data))
            return Update(document.path, changed.model_dump(mode="json"), document.version)

        await self._change(job_id, "delete_writes_until", tombstone.delete_writes_until, write)

    async def _change(self, job_id: str, field: str, value: float, write: Callable[[Document], Write]) -> None:
        """Write a document that still has the value that was read: the id may belong to another job by now.

        A conflict is ignored: the concurrent write is equivalent.
        """
        document = await self._documents.get(job_path(job_id))
        if document and not document.data["open"] and document.data.get(field) == value:
            with suppress(Conflict):
                await self._documents.commit([write(document)])


def _with_due_at(document: Document, due_at: float) -> Update:
    """A finished job or a tombstone: both have the field."""
    return Update(document.path, {**document.data, "due_at": due_at}, document.version)
