"""The bound on concurrent provider calls of a process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class CallSlots:
    """Limit concurrent calls; `exclusive()` waits for idle and blocks new calls."""

    def __init__(self, max_in_flight: int) -> None:
        self._slots = asyncio.Semaphore(max_in_flight)
        self._calls = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._not_exclusive = asyncio.Event()
        self._not_exclusive.set()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Inside, one call may be in flight among others."""
        async with self._slots:
            await self._not_exclusive.wait()
            self._calls += 1
            self._idle.clear()
            try:
                yield
            finally:
                self._calls -= 1
                if not self._calls:
                    self._idle.set()

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator["ExclusiveSlot"]:
        """Inside, no other call is in flight.

        For one caller at a time.
        """
        self._not_exclusive.clear()
        try:
            await self._idle.wait()
            yield ExclusiveSlot()
        finally:
            self._not_exclusive.set()


class ExclusiveSlot:
    """The slot of a caller that has all slots."""

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Inside, the only call may be in flight."""
        yield
