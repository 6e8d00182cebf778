"""What a process knows of a provider's model: until when to leave it alone, and whether its key is any good."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from promptforge.domain.job import Problem
from promptforge.domain.retry import throttle_seconds
from promptforge.ports.provider import Failure

PROBE_SECONDS = 5.0
REFUSED_SECONDS = 60.0


class Gate:
    """Shut by a throttled call, opened by time. Times are those of the event loop.

    Many calls in flight are throttled at once; only one that began after the gate was last shut makes the wait grow.
    The first call of all goes through alone: a key that is refused costs that one call, not one for every slot.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._shut_at = float("-inf")
        self._in_a_row = 0
        self._probing = False
        self._probed = asyncio.Event()
        self._refusal: tuple[float, Problem] | None = None
        self.opens_at = float("-inf")
        self.why: Problem | None = None

    def throttled(self, began_at: float, now: float, failure: Failure) -> None:
        """A call that began at `began_at` was told to wait, or could not be sent."""
        self.why = Problem(code=failure.code, message=failure.message)
        asked = failure.wait_seconds
        if began_at > self._shut_at:
            self._in_a_row += 1
            self._shut_at = now
        elif asked is None:
            return
        self.opens_at = max(self.opens_at, now + throttle_seconds(asked, self._in_a_row, self._rng))

    def answered(self, began_at: float) -> None:
        """A call that began at `began_at` went through."""
        if began_at > self._shut_at:
            self._in_a_row = 0

    def refused(self, now: float, problem: Problem) -> None:
        """The provider refuses the key or the account: nobody needs to hear that again for a while."""
        self._refusal = (now + REFUSED_SECONDS, problem)

    def refusal(self, now: float) -> Problem | None:
        """Why no call would succeed now, if that is known. When it is forgotten, one call finds out anew."""
        if self._refusal and now >= self._refusal[0]:
            self._refusal, self._probing, self._probed = None, False, asyncio.Event()
        return self._refusal[1] if self._refusal else None

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Inside, a call may be made, if nothing forbids it by then: the first goes alone, the others wait for it, but
        not for long."""
        if self._probing:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._probed.wait(), PROBE_SECONDS)
            yield
            return
        self._probing, probed = True, self._probed
        try:
            yield
        finally:
            probed.set()
