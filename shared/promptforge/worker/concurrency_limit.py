"""The limit of concurrent calls to one model, reduced by timeouts under load."""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

GROWTH = 0.25
"""After this share of the limit's own number in successes the limit grows by one: four times the limit."""

MAX_LONE_TIMEOUTS = 6
"""A server that keeps abandoned calls in its queue may need this many timeouts of a lone call to become idle."""


class ConcurrencyLimit:
    """At most `limit` calls in flight.

    A timeout while several calls are in flight says that the server is slower than they need. The limit is reduced
    once for all calls that began before: to half of it, and to half of the answers that came during the call. Each
    success lets it grow slowly. Times are those of the event loop.
    """

    def __init__(self, max_in_flight: int) -> None:
        self._max = float(max_in_flight)
        self._limit = self._max
        self._in_flight = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._answered_at: deque[float] = deque(maxlen=max_in_flight)
        self._reduced_at = float("-inf")
        self.lone_timeouts = 0

    @property
    def is_reached(self) -> bool:
        """Whether no further call may start now."""
        return self._in_flight >= int(self._limit)

    async def wait(self) -> None:
        """Wait until a further call may start.

        Without a call in between, another caller may be first.
        """
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        await turn

    @contextmanager
    def call(self) -> Iterator[None]:
        """Surround each call."""
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1
            self._wake()

    def succeeded(self, now: float) -> None:
        """Record an answer."""
        self.lone_timeouts = 0
        self._answered_at.append(now)
        if self._limit < self._max:
            self._limit = min(self._max, self._limit + GROWTH / self._limit)
            self._wake()

    def is_overload(self, began_at: float, now: float) -> bool:
        """Record a timeout.

        Returns whether the load caused it, rather than the prompt.
        """
        if self._in_flight > 1 or began_at < self._reduced_at:
            if began_at >= self._reduced_at:
                answered = sum(at >= began_at for at in self._answered_at)
                self._limit = max(1.0, min(self._limit, self._in_flight, answered) / 2)
                self._reduced_at = now
                self.lone_timeouts = 1
            return True
        if 0 < self.lone_timeouts < MAX_LONE_TIMEOUTS:
            self.lone_timeouts += 1
            return True
        return False

    def _wake(self) -> None:
        free = int(self._limit) - self._in_flight
        while free > 0 and self._waiting:
            free -= self._release(self._waiting.popleft())

    def _release(self, turn: asyncio.Future[None]) -> int:
        if turn.done():
            return 0
        turn.set_result(None)
        return 1
