"""Why no further call of a chunk may start, and what happens to the chunk then."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from promptforge import logs
from promptforge.context import AppContext
from promptforge.domain.job import Job, JobError
from promptforge.domain.timeouts import STOP_POLL_SECONDS
from promptforge.errors import LeaseLost, PromptForgeError


@dataclass(frozen=True, slots=True)
class Release:
    """The chunk is released until `resume_at`; the client is told `waiting_for`."""

    resume_at: float = 0.0
    waiting_for: JobError | None = None


@dataclass(frozen=True, slots=True)
class JobStopped:
    """The job is stopped: prompts without an answer get this error."""

    error: JobError


class StopSignal:
    """Set once a reason is known.

    A stopped job outweighs a release; of two releases the later time counts.
    """

    def __init__(self, context: AppContext, job: Job, chunk: int, on_set: Callable[[], None]) -> None:
        self._context = context
        self._job = job
        self._chunk = chunk
        self._on_set = on_set
        self._event = asyncio.Event()
        self.reason: Release | JobStopped | None = None
        if job.stop_reason:
            self._set(JobStopped(job.stop_reason))

    @property
    def event(self) -> asyncio.Event:
        """The event that is set with the reason."""
        return self._event

    @property
    def is_set(self) -> bool:
        """Whether no further call may start."""
        return self._event.is_set()

    @property
    def job_error(self) -> JobError | None:
        """The error of a stopped job."""
        return self.reason.error if isinstance(self.reason, JobStopped) else None

    async def wait(self, seconds: float) -> bool:
        """Wait, at most until a reason is known.

        Returns whether one is.
        """
        try:
            await asyncio.wait_for(self._event.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def wait_for(self, waiting: Awaitable[None]) -> None:
        """Wait for something, at most until a reason is known."""
        tasks = [asyncio.ensure_future(waiting), asyncio.create_task(self._event.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()

    def release_at(self, resume_at: float = 0.0, waiting_for: JobError | None = None) -> None:
        """Release the chunk: it must not be processed before `resume_at`."""
        if isinstance(self.reason, JobStopped):
            return
        known = self.reason or Release()
        self._set(Release(max(known.resume_at, resume_at), waiting_for or known.waiting_for))

    async def stop_job(self, error: JobError) -> None:
        """Stop the job for every worker: no call of it can succeed."""
        if self.job_error is None:
            self._set(JobStopped(error))
            await self._context.jobs.stop(self._job.job_id, error)
            logs.error("job_stopped", job_id=self._job.job_id, provider=self._job.provider, code=error.code)

    async def watch_process(self) -> None:
        """Release the chunk when the process must end, or when this invocation has run long enough."""
        try:
            await asyncio.wait_for(self._context.stopping.wait(), self._context.settings.soft_deadline_seconds)
        except TimeoutError:
            logs.info("soft_deadline", job_id=self._job.job_id, chunk=self._chunk)
        self.release_at()

    async def poll_job(self) -> None:
        """Poll for a stop requested elsewhere.

        Raises LeaseLost when the job was deleted.
        """
        while self.job_error is None:
            await asyncio.sleep(STOP_POLL_SECONDS)
            try:
                job = await self._context.jobs.get_cached(self._job.job_id)
            except PromptForgeError as exc:
                logs.warning("stop_poll_failed", job_id=self._job.job_id, error=type(exc).__name__)
                continue
            if job is None:
                raise LeaseLost(self._job.job_id)
            if job.stop_reason:
                self._set(JobStopped(job.stop_reason))

    def _set(self, reason: Release | JobStopped) -> None:
        self.reason = reason
        self._event.set()
        self._on_set()
