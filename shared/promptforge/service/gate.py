"""What the calls of one process must mind: until when to leave a model alone, and whether one asks to be alone."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from promptforge.domain.retry import throttle_seconds


class Gate:
    """Shut by a throttled call, opened by time. Times are those of the event loop.

    Many calls in flight are throttled at once; only one that began after the gate was last shut makes the wait grow.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._shut_at = float("-inf")
        self._in_a_row = 0
        self.opens_at = float("-inf")

    def throttled(self, began_at: float, now: float, asked: float | None) -> None:
        """A call that began at `began_at` was told to wait, for `asked` seconds if it was said how long."""
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


class Room:
    """Where the calls of a process are under way: as many at once as there are places, or a single one that is
    suspected of killing us."""

    def __init__(self, places: int) -> None:
        self._places = asyncio.Semaphore(places)
        self._calls = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self._open = asyncio.Event()
        self._open.set()

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        """Inside, a call may be under way among others."""
        async with self._places:
            await self._open.wait()
            self._calls += 1
            self._empty.clear()
            try:
                yield
            finally:
                self._calls -= 1
                if not self._calls:
                    self._empty.set()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Inside, nothing else is under way. For one at a time."""
        self._open.clear()
        try:
            await self._empty.wait()
            yield
        finally:
            self._open.set()
