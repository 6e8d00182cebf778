"""The ledger's page of what is to be erased: jobs that were deleted, and those whose time is over.

An erasure takes the place of the job's document in one commit. From then on the job is gone for everybody, and its
workers hold nothing any more.
"""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from promptforge.domain.job import Job
from promptforge.domain.tombstone import Tombstone
from promptforge.errors import Conflict, Unavailable
from promptforge.ports.documents import EXPIRE_FIELD, Delete, Document, Documents, Update, Write
from promptforge.state import spend_quotas
from promptforge.state.jobs import PAGE, chunks_path, job_of, job_path, pause

CHUNKS_A_COMMIT = 100
MAX_TRIES = 12


class TombstoneStore:
    """Jobs that end for good."""

    def __init__(self, documents: Documents, rng: random.Random) -> None:
        self._documents = documents
        self._rng = rng

    async def replace_job(
        self, job_id: str, until: float, due_at: float, agreed: Callable[[Job], bool]
    ) -> Tombstone | None:
        """Put an erasure in the job's place if that is `agreed`. Answers the one that stands there then, or None.
        Raises Unavailable if the job does not stand still for a moment."""
        for attempt in range(MAX_TRIES):
            document = await self._documents.get(job_path(job_id))
            if document is None:
                return None
            job = job_of(document)
            if job is None:
                return Tombstone.model_validate(document.data)
            if not agreed(job):
                return None
            erasure = Tombstone(due_at=due_at, delete_writes_until=until)
            writes: list[Write] = [Update(document.path, erasure.model_dump(mode="json"), document.version)]
            if job.open and job.started_processing_at is None:  # of any other open job calls may be under way
                writes += await spend_quotas.release_unused(self._documents, job)
            try:
                await self._documents.commit(writes)
            except Conflict:
                await pause(self._rng, attempt)
            else:
                return erasure
        raise Unavailable(job_id)

    async def list_due(self, before: float) -> AsyncIterator[tuple[str, float]]:
        """The ids of the jobs to be erased that are due, and since when, soonest first."""
        last: Document | None = None
        while True:
            page = await self._documents.query("jobs", {"open": False}, order_by="due_at", limit=PAGE, after=last)
            for last in page:
                if last.data["due_at"] > before:
                    return
                yield last.path.rpartition("/")[2], last.data["due_at"]
            if len(page) < PAGE:
                return

    async def delete_chunks(self, job_id: str) -> None:
        """Remove the documents of the job's chunks; whoever holds one then finds that it has lost it. Raises
        Unavailable if they are written all the time."""
        chunks, conflicts = chunks_path(job_id), 0
        while page := await self._documents.query(chunks, limit=CHUNKS_A_COMMIT):
            try:
                await self._documents.commit([Delete(document.path, document.version) for document in page])
            except Conflict:  # a holder wrote just now
                await pause(self._rng, conflicts)
                conflicts += 1
                if conflicts == MAX_TRIES:
                    raise Unavailable(job_id) from None

    async def defer(self, job_id: str, was_due_at: float, due_at: float) -> None:
        """Have a job that was seen to be due looked at again then."""
        await self._change(job_id, "due_at", was_due_at, lambda seen: _with(seen, due_at=due_at))

    async def reschedule(self, job_id: str, erasure: Tombstone, due_at: float) -> None:
        """Have the job looked at again then, whenever it was due: who has just looked knows best."""
        await self._change(
            job_id, "delete_writes_until", erasure.delete_writes_until, lambda seen: _with(seen, due_at=due_at)
        )

    async def retain_until(self, job_id: str, erasure: Tombstone, expire_at: float) -> None:
        """Have nothing more removed, and the id kept from being given again until then."""
        changes = {"due_at": expire_at, EXPIRE_FIELD: expire_at}
        await self._change(
            job_id, "delete_writes_until", erasure.delete_writes_until, lambda seen: _with(seen, **changes)
        )

    async def delete(self, job_id: str, erasure: Tombstone) -> None:
        """Remove the erasure: its id may be given again."""
        await self._change(
            job_id, "delete_writes_until", erasure.delete_writes_until, lambda seen: Delete(seen.path, seen.version)
        )

    async def _change(self, job_id: str, field: str, value: float, write: Callable[[Document], Write]) -> None:
        """Write what was seen if it is still there: another may have removed it, and the id may be another job's.
        Where another writes at the same moment, its word on it is as good as ours."""
        document = await self._documents.get(job_path(job_id))
        if document and not document.data["open"] and document.data.get(field) == value:
            with suppress(Conflict):
                await self._documents.commit([write(document)])


def _with(document: Document, **changes: float) -> Update:
    return Update(document.path, {**document.data, **changes}, document.version)
