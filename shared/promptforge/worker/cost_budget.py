"""The cost budget of a job in one process: whether another call fits into the job's cost limit."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from promptforge.domain.timeouts import TOTAL_REFRESH_SECONDS


class CostBudget:
    """One for each job of a process.

    Amounts are nano-dollars; `limit` is None for a job without a limit; `now` is a clock that never jumps.

    The process knows its own spending at once. It reads the spending of others from the sum over the chunks, which is
    as old as their last flush and the last refresh. A call in flight is estimated at the highest cost so far; until the
    first cost is known, calls run one at a time.

    A total that is read during an own write may include it twice. It can delay calls, but it cannot stop the job.
    """

    def __init__(self, limit: int | None, total: Callable[[], Awaitable[int]], now: Callable[[], float]) -> None:
        self._limit = limit
        self._total = total
        self._now = now
        self._refresh_lock = asyncio.Lock()
        self._refreshed_at = float("-inf")
        self._persisted_total = 0  # the sum over the chunks at the last refresh
        self._own_persisted = 0  # the part of it that this process surely wrote
        self._total_is_exact = False  # whether it contains nothing else of this process
        self._written = 0
        self._spent = 0
        self._unconfirmed: set[int] = set()
        self._write_count = 0
        self._in_flight = 0
        self._max_call_cost: int | None = None
        self._changed = asyncio.Event()

    async def wait(self, stopped: asyncio.Event) -> bool:
        """Wait until another call fits into the limit, as far as it is known now.

        Returns False when everything is spent, or when `stopped` is set; its setter calls `notify`. Raises Unavailable
        while the total cannot be read.
        """
        while not stopped.is_set():
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
        """Surround a call and the count of its cost.

        Yields whether the call fits and may start.
        """
        if not self._fits():
            yield False
            return
        self._in_flight += 1
        try:
            yield True
        finally:
            self._in_flight -= 1
            self.notify()

    def notify(self) -> None:
        """Make every waiter check again."""
        self._changed.set()
        self._changed = asyncio.Event()

    def add_spent(self, amount: int) -> None:
        """Count the cost of a call of this process."""
        self._spent += amount
        self._max_call_cost = max(self._max_call_cost or 0, amount)

    def write_started(self, chunk: int) -> None:
        """Register that the cost of a chunk is being written."""
        self._unconfirmed.add(chunk)
        self._write_count += 1

    def write_finished(self, chunk: int, amount: int) -> None:
        """Confirm that `amount` more of the cost of a chunk is written."""
        self._unconfirmed.discard(chunk)
        self._written += amount
        self.notify()

    def drop_chunk(self, chunk: int, amount: int) -> None:
        """Leave a chunk with `amount` of its cost unconfirmed.

        A started write whose outcome is unknown counts as written: the chunk's document is trusted.
        """
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
                own, writes, exact = self._written, self._write_count, not self._unconfirmed
                self._persisted_total, self._own_persisted, self._refreshed_at = await self._total(), own, now
                self._total_is_exact = exact and self._write_count == writes
