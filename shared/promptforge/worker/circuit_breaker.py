"""A circuit breaker for one model of a provider: blocked until when, and whether the key is accepted."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager

from promptforge.domain.job import JobError
from promptforge.domain.retry import FailureKind, throttle_seconds
from promptforge.domain.timeouts import PROBE_SECONDS, REJECTION_SECONDS
from promptforge.ports.provider import CallFailure, Completion


class CircuitBreaker:
    """Blocked by a throttled call, open to calls again after a time.

    Times are those of the event loop.

    One throttling hits many calls in flight; only a call that began after the last block makes the wait grow. Until one
    call succeeds, calls run one at a time: a rejected key costs one call, not one for each slot. A call still running
    after PROBE_SECONDS counts as accepted, because key errors return quickly.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._blocked_at = float("-inf")
        self._throttles_in_a_row = 0
        self._confirmed = False
        self._probe: asyncio.Event | None = None
        self._rejection: tuple[float, JobError] | None = None
        self.blocked_until = float("-inf")
        self.block_reason: JobError | None = None

    def is_blocked(self, now: float) -> bool:
        """Whether no call may start now."""
        return self.blocked_until > now or self._probe is not None or self.rejection(now) is not None

    def rejection(self, now: float) -> JobError | None:
        """Return the error of the account, if it is known.

        After REJECTION_SECONDS one call tests the key again.
        """
        if self._rejection and now >= self._rejection[0]:
            self._rejection, self._confirmed = None, False
        return self._rejection[1] if self._rejection else None

    @contextmanager
    def call(self) -> Iterator[None]:
        """Surround each call.

        It starts while the breaker is not blocked.
        """
        if self._confirmed:
            yield
            return
        probe = self._probe = asyncio.Event()
        timer = asyncio.get_running_loop().call_later(PROBE_SECONDS, self._confirm)
        try:
            yield
        finally:
            timer.cancel()
            probe.set()
            self._probe = None if self._probe is probe else self._probe

    async def wait_for_probe(self) -> None:
        """Wait while the first call runs alone."""
        if self._probe:
            await self._probe.wait()

    def record(self, began_at: float, now: float, reply: Completion | CallFailure) -> None:
        """Record the outcome of a call that began at `began_at`."""
        if isinstance(reply, Completion):
            self._confirm()
            if began_at > self._blocked_at:
                self._throttles_in_a_row = 0
        elif reply.kind is FailureKind.ACCOUNT:
            self._rejection = (now + REJECTION_SECONDS, JobError(code=reply.code, message=reply.message))
        elif reply.kind in (FailureKind.THROTTLED, FailureKind.NOT_SENT):
            self._back_off(began_at, now, reply)
        else:
            self._confirm()

    def _back_off(self, began_at: float, now: float, failure: CallFailure) -> None:
        """Block after a call that was throttled or could not be sent."""
        self.block_reason = JobError(code=failure.code, message=failure.message)
        retry_after = failure.retry_after_seconds
        if began_at > self._blocked_at:
            self._throttles_in_a_row += 1
            self._blocked_at = now
        elif retry_after is None:
            return
        wait = throttle_seconds(retry_after, self._throttles_in_a_row, self._rng)
        self.blocked_until = max(self.blocked_until, now + wait)

    def _confirm(self) -> None:
        self._confirmed = True
        if self._probe:
            self._probe.set()
            self._probe = None
