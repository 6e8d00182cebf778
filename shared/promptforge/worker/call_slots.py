"""Where the provider calls of a process are under way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class CallSlots:
    """As many calls at once as there are places, or a single one that is suspected of killing us."""

    def __init__(self, places: int) -> None:
        self._slots = asyncio.Semaphore(places)
        self._calls = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._not_exclusive = asyncio.Event()
        self._not_exclusive.set()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Inside, a call may be under way among others."""
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
    async def exclusive(self) -> AsyncIterator[None]:
        """Inside, nothing else is under way. For one at a time."""
        self._not_exclusive.clear()
        try:
            await self._idle.wait()
            yield
        finally:
            self._not_exclusive.set()
