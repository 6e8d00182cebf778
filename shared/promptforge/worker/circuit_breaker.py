"""What a process knows of a provider's model: until when to leave it alone, and whether its key is any good."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager

from promptforge.domain.job import JobError
from promptforge.domain.retry import FailureKind, throttle_seconds
from promptforge.ports.provider import CallFailure, Completion

PROBE_SECONDS = 5.0
REJECTION_SECONDS = 60.0


class CircuitBreaker:
    """Shut by a throttled call, opened by time. Times are those of the event loop.

    Many calls in flight are throttled at once; only one that began after the gate was last shut makes the wait grow.
    Until the provider has taken a call, they go one at a time: a key that is refused costs one call, not one for every
    slot. A call that takes long is good enough: to refuse a key is quick.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._blocked_at = float("-inf")
        self._in_a_row = 0
        self._confirmed = False
        self._probe: asyncio.Event | None = None
        self._rejection: tuple[float, JobError] | None = None
        self.blocked_until = float("-inf")
        self.block_reason: JobError | None = None

    def is_blocked(self, now: float) -> bool:
        """Whether no call may begin now."""
        return self.blocked_until > now or self._probe is not None or self.rejection(now) is not None

    def rejection(self, now: float) -> JobError | None:
        """Why no call would succeed now, if that is known. When it is forgotten, one call finds out anew."""
        if self._rejection and now >= self._rejection[0]:
            self._rejection, self._confirmed = None, False
        return self._rejection[1] if self._rejection else None

    @contextmanager
    def call(self) -> Iterator[None]:
        """Around each call, which begins while the gate is not shut."""
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
        """Wait while one call goes alone."""
        if self._probe:
            await self._probe.wait()

    def record(self, began_at: float, now: float, reply: Completion | CallFailure) -> None:
        """What came of a call that began at `began_at`."""
        if isinstance(reply, Completion):
            self._confirm()
            if began_at > self._blocked_at:
                self._in_a_row = 0
        elif reply.kind is FailureKind.ACCOUNT:
            self._rejection = (now + REJECTION_SECONDS, JobError(code=reply.code, message=reply.message))
        elif reply.kind in (FailureKind.THROTTLED, FailureKind.NOT_SENT):
            self._back_off(began_at, now, reply)
        else:
            self._confirm()

    def _back_off(self, began_at: float, now: float, failure: CallFailure) -> None:
        """A call was told to wait, or could not be sent."""
        self.block_reason = JobError(code=failure.code, message=failure.message)
        asked = failure.retry_after_seconds
        if began_at > self._blocked_at:
            self._in_a_row += 1
            self._blocked_at = now
        elif asked is None:
            return
        self.blocked_until = max(self.blocked_until, now + throttle_seconds(asked, self._in_a_row, self._rng))

    def _confirm(self) -> None:
        self._confirmed = True
        if self._probe:
            self._probe.set()
            self._probe = None
