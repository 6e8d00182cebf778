"""The admission of calls to a provider: the one place that decides whether a call may start."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from promptforge.context import AppContext, monotonic_time
from promptforge.domain.job import COST_LIMIT, COST_UNKNOWN
from promptforge.domain.timeouts import COST_UNKNOWN_SECONDS
from promptforge.errors import Unavailable
from promptforge.ports.provider import CallFailure, Completion
from promptforge.worker.attempts import ChunkAttempts
from promptforge.worker.circuit_breaker import CircuitBreaker
from promptforge.worker.cost_budget import CostBudget
from promptforge.worker.lease import ChunkLease
from promptforge.worker.stop_signal import StopSignal


class Slots(Protocol):
    """A bound on concurrent calls."""

    def slot(self) -> AbstractAsyncContextManager[None]:
        """Inside, one call may be in flight."""
        ...


@dataclass(frozen=True, slots=True)
class Permit:
    """An admitted call, which began at `began_at` on the monotonic clock."""

    breaker: CircuitBreaker
    began_at: float

    def record(self, reply: Completion | CallFailure) -> float:
        """Tell the circuit breaker the outcome.

        Returns the seconds that the call took.
        """
        now = monotonic_time()
        self.breaker.record(self.began_at, now, reply)
        return now - self.began_at


class Admission:
    """Admits the calls of one chunk, in the order circuit breaker, cost budget, call slot, lease."""

    def __init__(
        self,
        context: AppContext,
        stop: StopSignal,
        lease: ChunkLease,
        attempts: ChunkAttempts,
        budget: CostBudget,
        slots: Slots,
    ) -> None:
        self._context = context
        self._stop = stop
        self._lease = lease
        self._attempts = attempts
        self._budget = budget
        self._slots = slots

    @asynccontextmanager
    async def acquire(self, breaker: CircuitBreaker) -> AsyncIterator[Permit | None]:
        """Wait until a call may start.

        Yields None when no further call of the chunk may start.

        The wait for a slot takes time, so breaker and budget are checked again after it. Nothing is awaited between the
        last check and the call: a change that blocks many calls must not let them pass.
        """
        while await self._wait_until_admissible(breaker):
            async with self._slots.slot():
                if breaker.is_blocked(monotonic_time()):
                    continue
                with self._budget.reserve_call() as reserved:
                    if not reserved:
                        continue
                    with breaker.call():
                        if not await self._lease_is_valid():
                            continue
                        self._attempts.called = True
                        yield Permit(breaker, monotonic_time())
                        return
        yield None

    async def _wait_until_admissible(self, breaker: CircuitBreaker) -> bool:
        """Wait for breaker and budget without a slot.

        Returns False when no further call may start; the chunk is released during a long wait.
        """
        while not self._stop.is_set:
            if breaker.is_blocked(now := monotonic_time()):
                await self._wait_for_breaker(breaker, now)
            elif not await self._within_budget():
                if not self._stop.is_set:
                    await self._stop.stop_job(COST_LIMIT)
            elif not breaker.is_blocked(monotonic_time()):
                return True
        return False

    async def _wait_for_breaker(self, breaker: CircuitBreaker, now: float) -> None:
        if rejection := breaker.rejection(now):
            await self._stop.stop_job(rejection)
        elif (wait := breaker.blocked_until - now) > 0:
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
