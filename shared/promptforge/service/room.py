"""Where the provider calls of a process are under way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Room:
    """As many calls at once as there are places, or a single one that is suspected of killing us."""

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
