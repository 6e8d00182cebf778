"""What a process knows of a provider's model: until when to leave it alone, and whether its key is any good."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager

from promptforge.domain.job import Problem
from promptforge.domain.retry import FailureKind, throttle_seconds
from promptforge.ports.provider import Answer, Failure

PROBE_SECONDS = 5.0
REFUSED_SECONDS = 60.0


class Gate:
    """Shut by a throttled call, opened by time. Times are those of the event loop.

    Many calls in flight are throttled at once; only one that began after the gate was last shut makes the wait grow.
    Until the provider has taken a call, they go one at a time: a key that is refused costs one call, not one for every
    slot. A call that takes long is good enough: to refuse a key is quick.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._shut_at = float("-inf")
        self._in_a_row = 0
        self._proven = False
        self._probe: asyncio.Event | None = None
        self._refusal: tuple[float, Problem] | None = None
        self.opens_at = float("-inf")
        self.why: Problem | None = None

    def shut(self, now: float) -> bool:
        """Whether no call may begin now."""
        return self.opens_at > now or self._probe is not None or self.refusal(now) is not None

    def refusal(self, now: float) -> Problem | None:
        """Why no call would succeed now, if that is known. When it is forgotten, one call finds out anew."""
        if self._refusal and now >= self._refusal[0]:
            self._refusal, self._proven = None, False
        return self._refusal[1] if self._refusal else None

    @contextmanager
    def call(self) -> Iterator[None]:
        """Around each call, which begins while the gate is not shut."""
        if self._proven:
            yield
            return
        probe = self._probe = asyncio.Event()
        timer = asyncio.get_running_loop().call_later(PROBE_SECONDS, self._prove)
        try:
            yield
        finally:
            timer.cancel()
            probe.set()
            self._probe = None if self._probe is probe else self._probe

    async def probed(self) -> None:
        """Wait while one call goes alone."""
        if self._probe:
            await self._probe.wait()

    def heard(self, began_at: float, now: float, reply: Answer | Failure) -> None:
        """What came of a call that began at `began_at`."""
        if isinstance(reply, Answer):
            self._prove()
            if began_at > self._shut_at:
                self._in_a_row = 0
        elif reply.kind is FailureKind.ACCOUNT:
            self._refusal = (now + REFUSED_SECONDS, Problem(code=reply.code, message=reply.message))
        elif reply.kind in (FailureKind.THROTTLED, FailureKind.NOT_SENT):
            self._throttled(began_at, now, reply)
        else:
            self._prove()

    def _throttled(self, began_at: float, now: float, failure: Failure) -> None:
        """A call was told to wait, or could not be sent."""
        self.why = Problem(code=failure.code, message=failure.message)
        asked = failure.wait_seconds
        if began_at > self._shut_at:
            self._in_a_row += 1
            self._shut_at = now
        elif asked is None:
            return
        self.opens_at = max(self.opens_at, now + throttle_seconds(asked, self._in_a_row, self._rng))

    def _prove(self) -> None:
        self._proven = True
        if self._probe:
            self._probe.set()
            self._probe = None
