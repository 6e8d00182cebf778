"""What one process knows of the money that a job with a limit has cost, and whether another call may be made."""

import asyncio
from collections.abc import Awaitable, Callable

LOOK_SECONDS = 2.0


class Purse:
    """One for each job of a process. All amounts are nano-dollars.

    What the process itself spends it knows at once. What others spend it reads in the sum over the chunks, to which
    everybody adds with each flush; so that may be a flush and a look old.
    """

    def __init__(self, limit: int, total: Callable[[], Awaitable[int]]) -> None:
        self._limit = limit
        self._total = total
        self._looking = asyncio.Lock()
        self._looked_at = float("-inf")
        self._known = 0  # what the chunks said at the last look
        self._before = 0  # how much of that was surely our own
        self._written = 0
        self._spent = 0

    def spend(self, amount: int) -> None:
        """A call of this process has cost so much."""
        self._spent += amount

    def wrote(self, amount: int) -> None:
        """So much of what this process spent stands in the chunks now."""
        self._written += amount

    async def empty(self) -> bool:
        """Whether everything is spent, by what is known now. Raises Unavailable while that cannot be told."""
        async with self._looking:
            now = asyncio.get_running_loop().time()
            if now - self._looked_at >= LOOK_SECONDS:
                before = self._written
                self._known, self._before, self._looked_at = await self._total(), before, now
        return self._known + self._spent - self._before >= self._limit
