"""The admission of calls to a provider: the one place that decides whether a call may start."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from promptforge.context import monotonic_time
from promptforge.domain.job import COST_LIMIT, COST_UNKNOWN
from promptforge.domain.retry import FailureKind
from promptforge.domain.timeouts import COST_UNKNOWN_SECONDS
from promptforge.errors import Unavailable
from promptforge.ports.provider import CallFailure, Completion
from promptforge.worker.chunk_run import ChunkRun
from promptforge.worker.circuit_breaker import CircuitBreaker
from promptforge.worker.failure_run import FailureRun, PromptKey


class Slots(Protocol):
    """A bound on concurrent calls."""

    def slot(self) -> AbstractAsyncContextManager[None]:
        """Inside, one call may be in flight."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """The effect of a call on its circuit breaker.

    `failure_run` decides whether a failure belongs to its prompt. `overload` marks a timeout that the load caused.
    """

    breaker: CircuitBreaker
    seconds: float
    failure_run: FailureRun | None = None
    overload: bool = False


@dataclass(frozen=True, slots=True)
class Permit:
    """An admitted call, which began at `began_at` on the monotonic clock."""

    breaker: CircuitBreaker
    began_at: float

    def record(self, prompt: PromptKey, reply: Completion | CallFailure) -> Outcome:
        """Record the reply with the circuit breaker."""
        breaker, began_at, now = self.breaker, self.began_at, monotonic_time()
        failure_run, overload = None, False
        if isinstance(reply, Completion):
            breaker.succeeded(began_at, now)
        elif reply.kind in (FailureKind.THROTTLED, FailureKind.NOT_SENT):
            breaker.throttled(began_at, now, reply)
        elif reply.kind is FailureKind.PROVIDER:
            failure_run = breaker.faulted(prompt, began_at, now, reply)
        elif reply.kind is FailureKind.TIMEOUT:
            overload = breaker.timed_out(began_at, now, reply)
        elif reply.kind is FailureKind.ACCOUNT:
            failure_run = breaker.rejected_account(prompt, began_at, now, reply)
        elif reply.kind is FailureKind.PROMPT:
            breaker.rejected_prompt()
        return Outcome(breaker, now - began_at, failure_run, overload)


class Admission:
    """Admits the calls of one chunk.

    The order is circuit breaker, concurrency limits, cost budget, storage, call slot, lease.
    """

    def __init__(self, run: ChunkRun, slots: Slots) -> None:
        self._context = run.runtime.context
        self._stop = run.stop
        self._lease = run.lease
        self._attempts = run.attempts
        self._budget = run.budget
        self._storage = run.runtime.storage
        self._job_limit = run.runtime.job_limit(run.job)
        self._slots = slots

    @asynccontextmanager
    async def acquire(self, breaker: CircuitBreaker) -> AsyncIterator[Permit | None]:
        """Wait until a call may start.

        Yields None when no further call of the chunk may start.

        The wait for a slot takes time, so everything is checked again after it. Nothing is awaited between the last
        check and the call: a change that blocks many calls must not let them pass.
        """
        while await self._wait_until_admissible(breaker):
            async with self._slots.slot():
                if self._is_blocked(breaker):
                    continue
                with self._budget.reserve_call() as reserved:
                    if not reserved:
                        continue
                    with self._job_limit.call(), breaker.concurrency.call(), breaker.call():
                        if not await self._lease_is_valid():
                            continue
                        self._attempts.called = True
                        yield Permit(breaker, monotonic_time())
                        return
        yield None

    def _is_blocked(self, breaker: CircuitBreaker) -> bool:
        limits = (breaker.concurrency, self._job_limit)
        return (
            breaker.is_blocked(monotonic_time())
            or any(limit.is_reached for limit in limits)
            or not self._storage.is_healthy
        )

    async def _wait_until_admissible(self, breaker: CircuitBreaker) -> bool:
        """Wait without a slot.

        Returns False when no further call may start; the chunk is released for a long wait.
        """
        while not self._stop.is_set:
            if breaker.is_blocked(now := monotonic_time()):
                await self._wait_for_breaker(breaker, now)
            elif breaker.concurrency.is_reached:
                await self._stop.wait_for(breaker.concurrency.wait())
            elif self._job_limit.is_reached:
                await self._stop.wait_for(self._job_limit.wait())
            elif not self._storage.is_healthy:
                await self._stop.wait_for(self._storage.wait())
            elif not await self._within_budget():
                if not self._stop.is_set:
                    await self._stop.stop_job(COST_LIMIT)
            elif not self._is_blocked(breaker):
                return True
        return False

    async def _wait_for_breaker(self, breaker: CircuitBreaker, now: float) -> None:
        if (wait := breaker.blocked_until - now) > 0:
            if wait > self._context.settings.max_inline_wait_seconds:
                self._stop.release_at(self._context.clock.now() + wait, breaker.block_reason)
            await self._stop.wait(wait)
        else:
            await breaker.wait_for_probe()

    async def _within_budget(self) -> bool:
        """Wait until another call fits.

        Returns False when everything is spent; the chunk is released while the cost is unknown.
        """
        try:
            return await self._budget.wait(self._stop.event)
        except Unavailable:
            self._stop.release_at(self._context.clock.now() + COST_UNKNOWN_SECONDS, COST_UNKNOWN)
            return False

    async def _lease_is_valid(self) -> bool:
        if not self._stop.is_set:
            try:
                await self._lease.ensure_valid()
            except Unavailable:
                self._stop.release_at()
        return not self._stop.is_set
