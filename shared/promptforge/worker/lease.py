"""The lease on a claimed chunk: every write is made under its epoch, and a heartbeat renews it."""

import asyncio
from collections.abc import Callable

from promptforge import logs
from promptforge.context import AppContext, monotonic_time
from promptforge.domain.chunk import Chunk
from promptforge.errors import LeaseLost, PromptForgeError
from promptforge.state.chunks import ClaimedChunk
from promptforge.worker.attempts import ChunkAttempts


class ChunkLease:
    """A leased chunk.

    Every method that writes raises LeaseLost when another holder has claimed the chunk, or when the job is gone.
    """

    def __init__(self, context: AppContext, claim: ClaimedChunk, attempts: ChunkAttempts) -> None:
        self._context = context
        self._claim = claim
        self._attempts = attempts
        self._lock = asyncio.Lock()
        self._outcome_unknown = False
        self._renewed_at = monotonic_time()

    @property
    def job_id(self) -> str:
        """The id of the chunk's job."""
        return self._claim.job_id

    @property
    def chunk(self) -> Chunk:
        """The chunk as this holder last wrote it."""
        return self._claim.chunk

    def next_end(self) -> float:
        """Return when a lease that is renewed now expires."""
        return self._context.clock.now() + self._context.settings.lease_seconds

    async def update(self, change: Callable[[Chunk], Chunk]) -> None:
        """Write the chunk that `change` returns, with the attempts so far."""
        async with self._lock:
            if self._outcome_unknown:  # a lost answer may have been a success: keep what it stored
                self._claim = await self._context.chunks.reload(self._claim)
                if not self.chunk.open:  # completed by the write whose answer was lost: it must not change any more
                    self._attempts.write_finished(self.chunk.cost_nanos)
                    return
            self._outcome_unknown = True
            cost = self._attempts.write_started()
            chunk = change(self.chunk).with_calls(self._attempts.failures, cost)
            self._claim = await self._context.chunks.update(self._claim, chunk)
            self._outcome_unknown = False
            self._renewed_at = monotonic_time()
            self._attempts.write_finished(cost)

    async def renew(self) -> None:
        """Renew the lease."""
        await self.update(lambda chunk: chunk.renewed(self.next_end()))

    async def ensure_valid(self) -> None:
        """Renew a lease that is over.

        A process that was suspended must not call the provider under such a lease.
        """
        if self._context.clock.now() >= self.chunk.due_at:
            await self.renew()

    async def heartbeat(self) -> None:
        """Renew the lease in time, forever.

        A failed write is tried again: without heartbeats the lease expires.
        """
        settings = self._context.settings
        while True:
            wait = self._renewed_at + settings.heartbeat_seconds - monotonic_time()
            if wait > 0:
                await asyncio.sleep(wait)
                continue
            try:
                await self.renew()
            except LeaseLost:
                raise
            except Exception as exc:
                logs.warning("heartbeat_failed", job_id=self.job_id, error=type(exc).__name__)
                await asyncio.sleep(min(settings.flush_seconds, settings.heartbeat_seconds))

    async def release(self, resume_at: float) -> None:
        """Release the chunk and schedule a task that claims it again, now or at `resume_at`."""
        now = self._context.clock.now()
        resume_at = max(resume_at, now)
        due_at = resume_at + self._context.settings.lease_seconds
        await self.update(lambda chunk: chunk.released(resume_at, due_at, progressed=self._attempts.called))
        await self._context.queues.schedule_chunk(self.job_id, self.chunk)
        logs.info("chunk_released", job_id=self.job_id, chunk=self.chunk.number, seconds=resume_at - now)

    async def release_after_error(self, exc: BaseException) -> None:
        """Release the chunk after an error, so that the redelivery need not wait for the lease.

        A fault of the platform or a cancellation does not count against the chunk.
        """
        unexpected = isinstance(exc, Exception) and not isinstance(exc, PromptForgeError)
        await self.update(lambda chunk: chunk.released_after_error(self._context.clock.now(), unexpected))
