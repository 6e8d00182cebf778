"""What one process knows of the money that a job with a limit has cost, and whether another call may be made."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

LOOK_SECONDS = 2.0


class Purse:
    """One for each job of a process; `limit` is None for one that may cost whatever it does. All amounts are
    nano-dollars; `now` is of a clock that never jumps.

    What the process itself spends it knows at once. What others spend it reads in the sum over the chunks, to which
    everybody adds with each flush; so that may be a flush and a look old. A call under way is taken to cost as much as
    the dearest so far, and until one has told its cost they go one at a time.

    A sum that is read while a write of our own is under way, or its answer lost, may hold what we still count as not
    written. Such a sum may hold calls back, but never says that everything is spent.
    """

    def __init__(self, limit: int | None, total: Callable[[], Awaitable[int]], now: Callable[[], float]) -> None:
        self._limit = limit
        self._total = total
        self._now = now
        self._looking = asyncio.Lock()
        self._looked_at = float("-inf")
        self._known = 0  # what the chunks said at the last look
        self._before = 0  # how much of that was surely our own
        self._sure = False  # whether no more of it was
        self._written = 0
        self._spent = 0
        self._writing: set[int] = set()
        self._writes = 0
        self._under_way = 0
        self._dearest: int | None = None
        self._news = asyncio.Event()

    async def enough(self, halted: asyncio.Event) -> bool:
        """Wait until another call is within the limit, as far as is known now. False when everything is spent, or when
        it is `halted`, to which `stir` belongs. Raises Unavailable while nothing can be known."""
        while not halted.is_set():
            if self._limit is not None:
                await self._look()
            if self._within():
                return True
            if not self._under_way:
                if self._sure:
                    return False
                self._looked_at = float("-inf")
                if not self._writing:
                    continue
            await self._news.wait()
        return False

    @contextmanager
    def call(self) -> Iterator[bool]:
        """Around each call, and around telling what it cost: whether it is still within the limit and may begin."""
        within = self._within()
        self._under_way += within
        try:
            yield within
        finally:
            if within:
                self._under_way -= 1
                self.stir()

    def stir(self) -> None:
        """Have whoever waits look again at how things stand."""
        self._news.set()
        self._news = asyncio.Event()

    def spend(self, amount: int) -> None:
        """A call of this process has cost so much."""
        self._spent += amount
        self._dearest = max(self._dearest or 0, amount)

    def writing(self, chunk: int) -> None:
        """What was spent on the chunk begins to be written there."""
        self._writing.add(chunk)
        self._writes += 1

    def wrote(self, chunk: int, amount: int) -> None:
        """So much more of what was spent on the chunk stands there now."""
        self._writing.discard(chunk)
        self._written += amount
        self.stir()

    def let_go(self, chunk: int, amount: int) -> None:
        """The chunk is held no longer, and so much was not heard to be written. Where a write was begun nobody will
        ever know: then what the chunk says is believed."""
        if chunk in self._writing:
            self.wrote(chunk, amount)

    def _within(self) -> bool:
        if self._limit is None:
            return True
        cost = self._known + self._spent - self._before
        if self._dearest is None:
            return cost < self._limit and not self._under_way
        return cost + self._under_way * self._dearest < self._limit

    async def _look(self) -> None:
        async with self._looking:
            now = self._now()
            if now - self._looked_at >= LOOK_SECONDS:
                before, writes, still = self._written, self._writes, not self._writing
                self._known, self._before, self._looked_at = await self._total(), before, now
                self._sure = still and self._writes == writes
