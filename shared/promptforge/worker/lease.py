"""A held chunk: the lease kept alive, answers flushed, and the two ways to let go: settle it or give it back."""

import asyncio
from types import TracebackType
from typing import Self

from promptforge import logs
from promptforge.context import AppContext, loop_time
from promptforge.domain.chunk import CLOCK_SKEW_SECONDS, Chunk, ChunkPart, Segment
from promptforge.domain.commands import ProcessChunk
from promptforge.domain.formats.native import Metadata, error_line
from promptforge.domain.job import Job, JobError
from promptforge.errors import LeaseLost, PromptForgeError, Unavailable
from promptforge.state.jobs import ClaimedChunk
from promptforge.worker.output import AnswerBuffer

STOP_POLL_SECONDS = 2.0
COST_UNKNOWN_SECONDS = 10.0
COST_UNKNOWN = JobError(code="cost_unknown", message="What the job has cost so far cannot be told at the moment.")


async def schedule_chunk(app: AppContext, job_id: str, chunk: Chunk) -> None:
    """Have a task knock when the chunk can next be claimed: when it was given back until a time, at that time, else at
    the end of the lease that runs. However many ask for it, there is one task: with more, each would make the next."""
    message = ProcessChunk(job_id=job_id, chunk=chunk.number).encode()
    if chunk.holder is None:
        name, moment = f"resume-{job_id}-{chunk.number}-{chunk.epoch}", chunk.resume_at
    else:  # not a moment too early by another machine's clock
        name, moment = f"recheck-{job_id}-{chunk.number}-{chunk.due_at:.0f}", chunk.due_at + CLOCK_SKEW_SECONDS
    await app.tasks.enqueue("worker", message, name=name, not_before=moment)


class ChunkLease:
    """Use as an async context: inside, a background beat renews the lease and flushes what waits too long.

    `ending` is set when the chunk is to be let go: the process stops, the time is used up, the provider asks for a
    long wait (`resume_at`, a time of day) or the lease is lost. `lost` tells that another has the chunk, or that its
    job is gone; whichever write finds that raises LeaseLost. `stop` is what the job was stopped with, if it was. No
    call begins any more once the hold is ending or the job stopped.
    """

    def __init__(self, app: AppContext, job: Job, claim: ClaimedChunk) -> None:
        self._app = app
        self._job = job
        self._claim = claim
        self._writing = asyncio.Lock()
        self._segments = 0
        self._called = False
        self.lost = False
        self._background: list[asyncio.Task[None]] = []
        self._renewed_at = float("-inf")
        self.failures = dict(claim.chunk.attempt_failures)
        self._cost = claim.chunk.cost_nanos
        self.purse = app.cost_budget(job)
        self.answers = AnswerBuffer(app.work)
        self.ending = asyncio.Event()
        self.stop = job.stop_reason
        self._halted = asyncio.Event()
        if job.stop_reason:
            self._halted.set()
        self.resume_at = 0.0
        self._why: JobError | None = None

    @property
    def chunk(self) -> Chunk:
        """The chunk as this holder last wrote it."""
        return self._claim.chunk

    async def __aenter__(self) -> Self:
        self._background = [asyncio.create_task(work()) for work in (self._beat, self._watch, self._heed)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        if exc is not None and not isinstance(exc, LeaseLost):
            await self._let_go_quietly(exc)
        self.purse.drop_chunk(self.chunk.number, self._cost - self.chunk.cost_nanos)

    def end(self, resume_at: float = 0.0, why: JobError | None = None) -> None:
        """Let the chunk go; it is not to be worked on before `resume_at`, and `why` is for the client to know."""
        self.resume_at = max(self.resume_at, resume_at)
        self._why = why or self._why
        self.ending.set()
        self._halt()

    def halt(self, problem: JobError) -> None:
        """The job is stopped: what is not answered yet is to be answered with the problem."""
        self.stop = problem
        self._halt()

    def fail(
        self, line: int, prompt_id: str | None, code: str, message: str, attempts: int, metadata: Metadata = None
    ) -> None:
        """Answer a line with an error."""
        self.answers.add(line, False, 0, error_line(prompt_id, code, message, attempts, line, metadata))

    def unreadable(self, problem: JobError) -> None:
        """The input is gone: answer what is left of the chunk with that. Where blank lines stood is gone with it."""
        chunk = self.chunk
        left = [line for line in range(chunk.first_line, chunk.last_line + 1) if line not in self.answers]
        for line in left[: chunk.line_count - len(self.answers)]:
            self.fail(line, None, problem.code, problem.message, self.failures.get(line, 0))

    @property
    def halted(self) -> bool:
        """Whether no call may begin any more."""
        return self._halted.is_set()

    async def halted_within(self, seconds: float) -> bool:
        """Wait, unless no call may begin any more; whether that is so."""
        try:
            await asyncio.wait_for(self._halted.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def may_call(self) -> bool:
        """Whether a call may begin now. A process that slept past its lease renews it before it pays."""
        if self._app.clock.now() >= self.chunk.due_at and not self.halted:
            try:
                await self._renew()
            except Unavailable:
                self.end()
        self._called |= not self.halted
        return not self.halted

    def pay(self, amount: int) -> None:
        """A call has cost so many nano-dollars, whatever becomes of its answer."""
        self._cost += amount
        self.purse.add_spent(amount)

    async def affordable(self) -> bool:
        """Wait until another call is within what the job may cost; False when everything is spent, or when no call may
        begin any more. While that cannot be told the chunk is let go."""
        try:
            return await self.purse.wait(self._halted)
        except Unavailable:
            self.end(resume_at=self._app.clock.now() + COST_UNKNOWN_SECONDS, why=COST_UNKNOWN)
            return False

    async def go_alone(self, line: int) -> None:
        """Write down which prompt is asked while nothing else is under way, for whoever comes after our death."""
        deaths = self.chunk.isolated_crash_count if self.chunk.isolated_line == line else 0
        async with self._writing:
            await self._amend(
                isolated_line=line, isolated_call_active=True, isolated_crash_count=deaths, due_at=self._lease_end()
            )

    async def flush_if_full(self) -> None:
        """Flush when enough answers are at risk. If that cannot be done now, the beat tries again."""
        answers, settings = self.answers, self._app.settings
        if answers.unflushed < settings.flush_count and answers.unflushed_bytes < settings.flush_bytes:
            return
        try:
            await self.flush()
        except Unavailable:
            logs.warning("flush_failed", job_id=self._job.job_id, chunk=self.chunk.number)

    async def flush(self) -> None:
        """Make every answer so far safe. A segment counts once the chunk names it, which an old epoch cannot do."""
        async with self._writing:
            lines, segment = self.answers.segment()
            counts = self.answers.counts
            if not lines:
                return
            name = f"{self._job.job_id}/{self.chunk.number:08d}/{self.chunk.epoch:06d}-{self._segments:06d}"
            self._segments += 1
            info = await self._app.work.create(name, segment)
            flushed = [*self.chunk.segments, Segment(name=name, size=info.size)]
            try:
                deaths = self.chunk.crashes_after_progress
                cleared = {
                    "crash_count": deaths,
                    "isolated_line": None,
                    "isolated_call_active": False,
                    "isolated_crash_count": 0,
                }
                await self._amend(segments=flushed, **counts, **cleared, due_at=self._lease_end())
            except LeaseLost:
                await self._app.work.delete(name)
                raise
            self.answers.mark_flushed(name, lines)

    async def settle(self) -> None:
        """Write the chunk's ordered parts and close it. Parts of an older epoch are never named, so never seen."""
        counts = self.answers.counts
        results = await self._part("results", counts["completed"])
        errors = await self._part("errors", counts["failed"])
        try:
            async with self._writing:
                await self._amend(open=False, results=results, errors=errors, **counts)
        except LeaseLost:
            for part in filter(None, (results, errors)):
                await self._app.results.delete(part.name)
            raise
        logs.info("chunk_completed", job_id=self._job.job_id, chunk=self.chunk.number, **counts)

    async def give_back(self) -> None:
        """Flush, end the lease, and have a task knock again: now, or when the provider will hear us again."""
        await self.flush()
        chunk, now = self.chunk, self._app.clock.now()
        resume_at = max(self.resume_at, now)
        deaths = (
            chunk.crashes_after_progress if self._called else chunk.crash_count
        )  # to call and live to tell is progress
        due_at = resume_at + self._app.settings.lease_seconds
        async with self._writing:
            await self._amend(
                holder=None, resume_at=resume_at, due_at=due_at, crash_count=deaths, isolated_call_active=False
            )
        if self._why and resume_at > now:
            await self._app.ledger.set_waiting(self._job.job_id, self._why, resume_at)
        await schedule_chunk(self._app, self._job.job_id, self.chunk)
        logs.info("chunk_released", job_id=self._job.job_id, chunk=chunk.number, seconds=resume_at - now)

    async def _part(self, kind: str, lines: int) -> ChunkPart | None:
        if lines == 0:
            return None
        name = f"{self._job.job_id}/parts/{self.chunk.number:08d}-{self.chunk.epoch:06d}.{kind}"
        await self._app.results.create(name, self.answers.in_order(kind == "results"))
        return ChunkPart(name=name, lines=lines)

    async def _amend(self, **changes: object) -> None:
        failures = {line: count for line, count in self.failures.items() if line not in self.answers}
        before, cost = self.chunk.cost_nanos, self._cost
        if cost > before:
            self.purse.write_started(self.chunk.number)
        try:
            self._claim = await self._app.ledger.update_chunk(
                self._claim, attempt_failures=failures, cost_nanos=cost, **changes
            )
        except LeaseLost:
            self._lose()
            raise
        self._renewed_at = loop_time()
        self.purse.write_finished(self.chunk.number, cost - before)

    def _halt(self) -> None:
        self._halted.set()
        self.purse.notify()

    def _lose(self) -> None:
        """Another has the chunk, or nobody is to have it any more."""
        self.lost = True
        self.end()

    def _lease_end(self) -> float:
        return self._app.clock.now() + self._app.settings.lease_seconds

    async def _renew(self) -> None:
        async with self._writing:
            await self._amend(due_at=self._lease_end())

    async def _beat(self) -> None:
        """Renew on time whether or not answers come, and let no answer stay at risk for long."""
        settings = self._app.settings
        self._renewed_at = loop_time()
        while not self.lost:
            await asyncio.sleep(min(settings.flush_seconds, settings.heartbeat_seconds))
            try:
                await self.flush()
                unknown = self._cost > self.chunk.cost_nanos  # of answers that were of no use
                if unknown or loop_time() - self._renewed_at >= settings.heartbeat_seconds:
                    await self._renew()
            except LeaseLost:
                return
            except Exception as exc:  # whatever it was: a beat that stops loses the lease
                logs.warning("heartbeat_failed", job_id=self._job.job_id, error=type(exc).__name__)

    async def _watch(self) -> None:
        """End when the process is told to stop, or when this invocation has run long enough."""
        try:
            await asyncio.wait_for(self._app.stopping.wait(), self._app.settings.soft_deadline_seconds)
        except TimeoutError:
            logs.info("soft_deadline", job_id=self._job.job_id, chunk=self.chunk.number)
        self.end()

    async def _heed(self) -> None:
        """Hear it soon when the job is stopped elsewhere, or is gone."""
        while self.stop is None and not self.lost:
            await asyncio.sleep(STOP_POLL_SECONDS)
            try:
                job = await self._app.ledger.get_cached(self._job.job_id)
            except PromptForgeError as exc:
                logs.warning("stop_poll_failed", job_id=self._job.job_id, error=type(exc).__name__)
            else:
                if job is None:
                    self._lose()
                elif job.stop_reason:
                    self.halt(job.stop_reason)

    async def _let_go_quietly(self, exc: BaseException) -> None:
        """After a fault: end the lease if that can be done, so that the retry need not wait for it. What the platform
        did, or a cancellation, is not held against the chunk."""
        unforeseen = isinstance(exc, Exception) and not isinstance(exc, PromptForgeError)
        try:
            await self.flush()
            async with self._writing:
                await self._amend(
                    holder=None, due_at=self._app.clock.now(), error_count=self.chunk.error_count + unforeseen
                )
        except PromptForgeError as exc:
            logs.warning("release_failed", job_id=self._job.job_id, error=type(exc).__name__)
