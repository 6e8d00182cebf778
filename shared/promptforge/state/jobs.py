"""Job documents: created, read, changed and queried.

A tombstone in a job's place means that there is no job.
"""

import random
from collections.abc import AsyncIterator, Callable, Sequence

from promptforge import logs
from promptforge.domain.job import Job, JobError
from promptforge.domain.timeouts import JOB_CACHE_SECONDS, WAITING_NOTE_INTERVAL_SECONDS
from promptforge.errors import Conflict
from promptforge.ports.clock import Clock
from promptforge.ports.documents import Create, Document, Documents, Update, Write
from promptforge.state.cache import ExpiringCache
from promptforge.state.commit import read_pages, retry_on_conflict
from promptforge.state.spend_quotas import SpendQuotaStore

JOBS = "jobs"


def job_path(job_id: str) -> str:
    """Return the path of a job, or of the tombstone in its place."""
    return f"{JOBS}/{job_id}"


def parse_job(document: Document) -> Job | None:
    """Return the job of a document, or None for a tombstone."""
    return None if document.data.get("tombstone") else Job.model_validate(document.data)


class JobStore:
    """Jobs by id."""

    def __init__(self, documents: Documents, quotas: SpendQuotaStore, clock: Clock, rng: random.Random) -> None:
        self._documents = documents
        self._quotas = quotas
        self._rng = rng
        self._cache: ExpiringCache[Job | None] = ExpiringCache(clock, JOB_CACHE_SECONDS)

    async def create(self, job: Job, also: Sequence[Write] = ()) -> Job | None:
        """Store a new job, and the other writes with it.

        Returns the job that exists under its id, or None if that is a tombstone. Raises Conflict if a document of the
        other writes has changed.
        """
        try:
            await self._documents.commit([Create(job_path(job.job_id), job.model_dump(mode="json")), *also])
        except Conflict:
            document = await self._documents.get(job_path(job.job_id))
            if document is None:
                raise
            return parse_job(document)
        return job

    async def get(self, job_id: str) -> Job | None:
        """Return the job, or None if it does not exist or was deleted."""
        document = await self._documents.get(job_path(job_id))
        return parse_job(document) if document else None

    async def get_cached(self, job_id: str) -> Job | None:
        """Return the job as it was at most JOB_CACHE_SECONDS ago, so that many chunks cost one read."""
        return await self._cache.get(job_id, lambda: self.get(job_id))

    async def exists(self, job_id: str) -> bool:
        """Return whether the id is taken, by a job or a tombstone."""
        return await self._documents.get(job_path(job_id)) is not None

    async def update(self, job_id: str, decide: Callable[[Job], Job | None]) -> Job | None:
        """Replace the job by what `decide` returns; None leaves it as it is.

        `decide` may run several times.

        A job that finishes releases the unused part of its daily quota in the same commit. Returns the job as it is
        then, or None if it does not exist. Raises Unavailable when it is changed elsewhere all the time.
        """

        async def attempt() -> Job | None:
            document = await self._documents.get(job_path(job_id))
            job = parse_job(document) if document else None
            if document is None or job is None:
                return None
            decided = decide(job)
            if decided is None:
                return job
            writes: list[Write] = [Update(document.path, decided.model_dump(mode="json"), document.version)]
            if job.open and not decided.open:
                writes += await self._quotas.release_unused(decided)
            await self._documents.commit(writes)
            return decided

        return await retry_on_conflict(self._rng, attempt)

    async def stop(self, job_id: str, reason: JobError) -> None:
        """Set the reason that stops the job's calls.

        The first reason stays.
        """
        await self.update(job_id, lambda job: None if job.stop_reason or not job.open else job.stopped(reason))

    async def set_waiting(self, job_id: str, reason: JobError, resume_at: float) -> None:
        """Record why the job waits, for a while longer than until `resume_at`.

        A repeated reason is not written more often than every WAITING_NOTE_INTERVAL_SECONDS. A new one is logged.
        """
        until, is_new = resume_at + 2 * WAITING_NOTE_INTERVAL_SECONDS, False

        def decide(job: Job) -> Job | None:
            nonlocal is_new
            is_new = job.open and job.waiting != reason
            known = job.waiting == reason and until - job.waiting_until < WAITING_NOTE_INTERVAL_SECONDS
            return None if known or not job.open else job.waiting_for(reason, until)

        await self.update(job_id, decide)
        if is_new:
            logs.warning("job_waiting", job_id=job_id, code=reason.code, message=reason.message)

    async def reschedule(self, job_id: str, due_at: float) -> None:
        """Let the sweeper look at the job at that time, unless it has finished."""
        await self.update(job_id, lambda job: job.rescheduled(due_at) if job.open else None)

    async def count_active(self, client: str) -> int:
        """Return how many jobs of the client have not finished."""
        return await self._documents.count(JOBS, {"client": client, "open": True})

    async def list_due(self, due_before: float) -> AsyncIterator[Job]:
        """Yield the unfinished jobs that are due, earliest first."""
        async for document in read_pages(self._documents, JOBS, {"open": True}, "due_at"):
            job = Job.model_validate(document.data)
            if job.due_at > due_before:
                return
            yield job
