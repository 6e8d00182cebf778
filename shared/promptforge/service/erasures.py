"""The ledger's page of what is to be erased: jobs that were deleted, and those whose time is over.

An erasure takes the place of the job's document in one commit. From then on the job is gone for everybody, and its
workers hold nothing any more.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from promptforge.domain.erasure import Erasure
from promptforge.domain.job import Job
from promptforge.errors import Conflict
from promptforge.ports.documents import Delete, Document, Documents, Update, Write
from promptforge.service import allowances
from promptforge.service.ledger import PAGE, chunks_path, job_of, job_path

CHUNKS_A_COMMIT = 100
MAX_TRIES = 20


class Erasures:
    """Jobs that end for good."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    async def begin(self, job_id: str, until: float, due_at: float, agreed: Callable[[Job], bool]) -> Erasure | None:
        """Put an erasure in the job's place if that is `agreed`. Answers the one that stands there then, or None."""
        for _ in range(MAX_TRIES):
            document = await self._documents.get(job_path(job_id))
            if document is None:
                return None
            job = job_of(document)
            if job is None:
                return Erasure.model_validate(document.data)
            if not agreed(job):
                return None
            erasure = Erasure(due_at=due_at, until=until)
            writes: list[Write] = [Update(document.path, erasure.model_dump(mode="json"), document.version)]
            if job.open and job.started_processing_at is None:  # of any other open job calls may be under way
                writes += await allowances.settled(self._documents, job)
            try:
                await self._documents.commit(writes)
            except Conflict:
                continue
            return erasure
        raise Conflict(job_id)

    async def due(self, before: float) -> AsyncIterator[tuple[str, float]]:
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

    async def drop_chunks(self, job_id: str) -> None:
        """Remove the documents of the job's chunks; whoever holds one then finds that it has lost it."""
        chunks, conflicts = chunks_path(job_id), 0
        while page := await self._documents.query(chunks, limit=CHUNKS_A_COMMIT):
            try:
                await self._documents.commit([Delete(document.path, document.version) for document in page])
            except Conflict:  # a holder wrote just now
                conflicts += 1
                if conflicts == MAX_TRIES:
                    raise

    async def look_again(self, job_id: str, due_at: float) -> None:
        """Have a job that is to be erased looked at then. Another's word on that is as good as ours."""
        await self._change(
            job_id, lambda document: Update(document.path, {**document.data, "due_at": due_at}, document.version)
        )

    async def end(self, job_id: str) -> None:
        """Remove the erasure: nothing of the job is left."""
        await self._change(job_id, lambda document: Delete(document.path, document.version))

    async def _change(self, job_id: str, write: Callable[[Document], Write]) -> None:
        document = await self._documents.get(job_path(job_id))
        if document and not document.data["open"]:
            with suppress(Conflict):
                await self._documents.commit([write(document)])
