"""The cost budget of a job in one process: the cost that it knows, and when another call may start."""

import asyncio
from contextlib import ExitStack

import pytest

from promptforge.domain.timeouts import TOTAL_REFRESH_SECONDS
from promptforge.errors import Unavailable
from promptforge.worker.cost_budget import CostBudget
from tests.harness.clock import ManualClock

CHUNK = 7


class Chunks:
    """The stored cost of the chunks, a budget that reads it, and the clock of the budget."""

    def __init__(self, limit: int | None) -> None:
        self.total = 0
        self.reads = 0
        self.unavailable = False
        self.reading = asyncio.Event()
        self.replying = asyncio.Event()
        self.replying.set()
        self.clock = ManualClock()
        self.stopped = asyncio.Event()
        self.budget = CostBudget(limit, self.read_total, self.clock.now)

    async def read_total(self) -> int:
        self.reads += 1
        if self.unavailable:
            raise Unavailable("documents", "timeout")
        total = self.total
        self.reading.set()
        await self.replying.wait()
        return total

    async def fits(self) -> bool:
        async with asyncio.timeout(10):
            return await self.budget.wait(self.stopped)

    def call(self, amount: int) -> None:
        with self.budget.reserve_call() as fits:
            assert fits
            self.budget.add_spent(amount)

    def write(self, amount: int) -> None:
        self.budget.write_started(CHUNK)
        self.total += amount
        self.budget.write_finished(CHUNK, amount)


async def test_cost_budget_counts_own_calls_at_once_and_once() -> None:
    chunks = Chunks(10)
    for _ in range(3):
        assert await chunks.fits()
        chunks.call(3)
    chunks.write(9)  # the stored cost is not counted twice
    chunks.clock.advance(TOTAL_REFRESH_SECONDS)
    assert await chunks.fits()
    chunks.call(1)
    assert not await chunks.fits()


async def test_cost_budget_reads_cost_of_others_once_a_refresh() -> None:
    chunks = Chunks(10)
    assert all(await asyncio.gather(*[chunks.fits() for _ in range(20)]))
    chunks.total = 10
    assert await chunks.fits()
    chunks.clock.advance(TOTAL_REFRESH_SECONDS)

    assert not any(await asyncio.gather(*[chunks.fits() for _ in range(20)]))
    assert chunks.reads == 2


async def test_cost_budget_with_unreadable_total_admits_no_call() -> None:
    chunks = Chunks(10)
    chunks.unavailable = True
    for _ in range(2):
        with pytest.raises(Unavailable):
            await chunks.fits()
    chunks.unavailable = False
    assert await chunks.fits()


async def test_cost_budget_before_a_known_cost_admits_one_call_at_a_time() -> None:
    chunks = Chunks(100)
    with chunks.budget.reserve_call() as first, chunks.budget.reserve_call() as second:
        assert (first, second) == (True, False)
    with chunks.budget.reserve_call() as still_unknown, chunks.budget.reserve_call() as second:
        assert (still_unknown, second) == (True, False)
    chunks.call(1)
    with ExitStack() as stack:
        assert all(stack.enter_context(chunks.budget.reserve_call()) for _ in range(50))


async def test_cost_budget_estimates_calls_in_flight_at_the_highest_cost() -> None:
    chunks = Chunks(10)
    chunks.call(1)
    chunks.call(3)
    with ExitStack() as stack:
        assert [stack.enter_context(chunks.budget.reserve_call()) for _ in range(4)] == [True, True, False, False]
        waiting = asyncio.create_task(chunks.fits())
        await asyncio.sleep(0)
        assert not waiting.done()
    assert await waiting


async def test_cost_budget_wait_ends_when_stopped() -> None:
    chunks = Chunks(10)
    with chunks.budget.reserve_call():
        waiting = asyncio.create_task(chunks.fits())
        await asyncio.sleep(0)
        chunks.stopped.set()
        chunks.budget.notify()
        assert not await waiting


async def test_cost_budget_without_limit_neither_waits_nor_reads() -> None:
    chunks = Chunks(None)
    with ExitStack() as stack:
        assert all(stack.enter_context(chunks.budget.reserve_call()) for _ in range(5))
        chunks.budget.add_spent(10**12)
        assert await chunks.fits()
    assert chunks.reads == 0


async def before_a_slow_refresh() -> Chunks:
    """Return a budget with three unwritten calls, whose next read gets no reply until `replying` is set."""
    chunks = Chunks(10)
    assert await chunks.fits()
    for _ in range(3):
        chunks.call(3)
    chunks.clock.advance(TOTAL_REFRESH_SECONDS)
    chunks.replying.clear()
    chunks.reading.clear()
    return chunks


async def test_cost_budget_write_during_a_refresh_does_not_end_the_job() -> None:
    chunks = await before_a_slow_refresh()
    chunks.budget.write_started(CHUNK)
    chunks.total = 9
    waiting = asyncio.create_task(chunks.fits())
    await chunks.reading.wait()
    chunks.replying.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    chunks.budget.write_finished(CHUNK, 9)

    assert await waiting
    chunks.call(1)
    assert not await chunks.fits()


async def test_cost_budget_write_within_a_refresh_does_not_end_the_job() -> None:
    chunks = await before_a_slow_refresh()
    chunks.total = 9
    waiting = asyncio.create_task(chunks.fits())
    await chunks.reading.wait()
    chunks.budget.write_started(CHUNK)
    chunks.budget.write_finished(CHUNK, 9)
    chunks.replying.set()

    assert await waiting


async def test_cost_budget_write_without_reply_counts_as_stored_when_chunk_is_dropped() -> None:
    chunks = Chunks(10)
    for _ in range(3):
        assert await chunks.fits()
        chunks.call(3)
    chunks.budget.write_started(CHUNK)
    chunks.total = 9
    chunks.clock.advance(TOTAL_REFRESH_SECONDS)
    waiting = asyncio.create_task(chunks.fits())
    await chunks.reading.wait()
    assert not waiting.done()
    chunks.budget.drop_chunk(CHUNK, 9)

    assert await waiting
    chunks.budget.drop_chunk(CHUNK, 1)  # no write was started: this cost is not stored
    chunks.call(1)
    assert not await chunks.fits()
