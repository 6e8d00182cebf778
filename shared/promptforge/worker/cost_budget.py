"""What one process knows of the money that a job with a limit has cost, and whether another call may be made."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

TOTAL_REFRESH_SECONDS = 2.0


class CostBudget:
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
        self._refresh_lock = asyncio.Lock()
        self._refreshed_at = float("-inf")
        self._persisted_total = 0  # what the chunks said at the last look
        self._own_persisted = 0  # how much of that was surely our own
        self._total_is_exact = False  # whether no more of it was
        self._written = 0
        self._spent = 0
        self._unconfirmed: set[int] = set()
        self._writes = 0
        self._in_flight = 0
        self._max_call_cost: int | None = None
        self._changed = asyncio.Event()

    async def wait(self, halted: asyncio.Event) -> bool:
        """Wait until another call is within the limit, as far as is known now. False when everything is spent, or when
        it is `halted`, to which `stir` belongs. Raises Unavailable while nothing can be known."""
        while not halted.is_set():
            if self._limit is not None:
                await self._refresh()
            if self._fits():
                return True
            if not self._in_flight:
                if self._total_is_exact:
                    return False
                self._refreshed_at = float("-inf")
                if not self._unconfirmed:
                    continue
            await self._changed.wait()
        return False

    @contextmanager
    def reserve_call(self) -> Iterator[bool]:
        """Around each call, and around telling what it cost: whether it is still within the limit and may begin."""
        within = self._fits()
        self._in_flight += within
        try:
            yield within
        finally:
            if within:
                self._in_flight -= 1
                self.notify()

    def notify(self) -> None:
        """Have whoever waits look again at how things stand."""
        self._changed.set()
        self._changed = asyncio.Event()

    def add_spent(self, amount: int) -> None:
        """A call of this process has cost so much."""
        self._spent += amount
        self._max_call_cost = max(self._max_call_cost or 0, amount)

    def write_started(self, chunk: int) -> None:
        """What was spent on the chunk begins to be written there."""
        self._unconfirmed.add(chunk)
        self._writes += 1

    def write_finished(self, chunk: int, amount: int) -> None:
        """So much more of what was spent on the chunk stands there now."""
        self._unconfirmed.discard(chunk)
        self._written += amount
        self.notify()

    def drop_chunk(self, chunk: int, amount: int) -> None:
        """The chunk is held no longer, and so much was not heard to be written. Where a write was begun nobody will
        ever know: then what the chunk says is believed."""
        if chunk in self._unconfirmed:
            self.write_finished(chunk, amount)

    def _fits(self) -> bool:
        if self._limit is None:
            return True
        cost = self._persisted_total + self._spent - self._own_persisted
        if self._max_call_cost is None:
            return cost < self._limit and not self._in_flight
        return cost + self._in_flight * self._max_call_cost < self._limit

    async def _refresh(self) -> None:
        async with self._refresh_lock:
            now = self._now()
            if now - self._refreshed_at >= TOTAL_REFRESH_SECONDS:
                before, writes, still = self._written, self._writes, not self._unconfirmed
                self._persisted_total, self._own_persisted, self._refreshed_at = await self._total(), before, now
                self._total_is_exact = still and self._writes == writes
