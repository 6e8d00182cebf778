"""What a process knows of the money of a job, and when it lets another call begin."""

import asyncio
from contextlib import ExitStack

import pytest

from promptforge.domain.timeouts import TOTAL_REFRESH_SECONDS
from promptforge.errors import Unavailable
from promptforge.worker.cost_budget import CostBudget
from tests.harness.clock import HandClock

CHUNK = 7


class Chunks:
    """What the chunks say was spent, a purse that looks at them, and its clock."""

    def __init__(self, limit: int | None) -> None:
        self.total = 0
        self.looks = 0
        self.out_of_reach = False
        self.asked = asyncio.Event()
        self.answering = asyncio.Event()
        self.answering.set()
        self.clock = HandClock()
        self.halted = asyncio.Event()
        self.purse = CostBudget(limit, self.ask, self.clock.now)

    async def ask(self) -> int:
        self.looks += 1
        if self.out_of_reach:
            raise Unavailable
        total = self.total
        self.asked.set()
        await self.answering.wait()
        return total

    async def enough(self) -> bool:
        async with asyncio.timeout(10):
            return await self.purse.wait(self.halted)

    def call(self, amount: int) -> None:
        with self.purse.reserve_call() as within:
            assert within
            self.purse.add_spent(amount)

    def write(self, amount: int) -> None:
        self.purse.write_started(CHUNK)
        self.total += amount
        self.purse.write_finished(CHUNK, amount)


async def test_own_spending_is_known_at_once_and_counted_once() -> None:
    chunks = Chunks(10)
    for _ in range(3):
        assert await chunks.enough()
        chunks.call(3)
    chunks.write(9)  # as it stands in the chunks, it is not spent a second time
    chunks.clock.move(TOTAL_REFRESH_SECONDS)
    assert await chunks.enough()
    chunks.call(1)
    assert not await chunks.enough()


async def test_what_others_spend_is_known_after_the_next_look_and_many_look_once() -> None:
    chunks = Chunks(10)
    assert all(await asyncio.gather(*[chunks.enough() for _ in range(20)]))
    chunks.total = 10
    assert await chunks.enough()
    chunks.clock.move(TOTAL_REFRESH_SECONDS)

    assert not any(await asyncio.gather(*[chunks.enough() for _ in range(20)]))
    assert chunks.looks == 2


async def test_who_cannot_look_does_not_spend() -> None:
    chunks = Chunks(10)
    chunks.out_of_reach = True
    for _ in range(2):
        with pytest.raises(Unavailable):
            await chunks.enough()
    chunks.out_of_reach = False
    assert await chunks.enough()


async def test_until_a_call_has_told_its_cost_they_go_one_at_a_time() -> None:
    chunks = Chunks(100)
    with chunks.purse.reserve_call() as first, chunks.purse.reserve_call() as second:
        assert (first, second) == (True, False)
    with chunks.purse.reserve_call() as still_unknown, chunks.purse.reserve_call() as second:
        assert (still_unknown, second) == (True, False)
    chunks.call(1)
    with ExitStack() as stack:
        assert all(stack.enter_context(chunks.purse.reserve_call()) for _ in range(50))


async def test_calls_under_way_are_taken_to_cost_as_much_as_the_dearest_so_far() -> None:
    chunks = Chunks(10)
    chunks.call(1)
    chunks.call(3)
    with ExitStack() as stack:
        assert [stack.enter_context(chunks.purse.reserve_call()) for _ in range(4)] == [True, True, False, False]
        waiting = asyncio.create_task(chunks.enough())
        await asyncio.sleep(0)
        assert not waiting.done()
    assert await waiting


async def test_who_waits_for_money_hears_that_no_call_may_begin_any_more() -> None:
    chunks = Chunks(10)
    with chunks.purse.reserve_call():
        waiting = asyncio.create_task(chunks.enough())
        await asyncio.sleep(0)
        chunks.halted.set()
        chunks.purse.notify()
        assert not await waiting


async def test_a_job_without_a_limit_neither_waits_nor_looks() -> None:
    chunks = Chunks(None)
    with ExitStack() as stack:
        assert all(stack.enter_context(chunks.purse.reserve_call()) for _ in range(5))
        chunks.purse.add_spent(10**12)
        assert await chunks.enough()
    assert chunks.looks == 0


async def test_what_is_written_while_somebody_looks_does_not_end_a_job() -> None:
    chunks = Chunks(10)
    assert await chunks.enough()
    for _ in range(3):
        chunks.call(3)
    chunks.clock.move(TOTAL_REFRESH_SECONDS)
    chunks.answering.clear()
    chunks.asked.clear()
    chunks.purse.write_started(CHUNK)
    chunks.total = 9
    looking = asyncio.create_task(chunks.enough())
    await chunks.asked.wait()
    chunks.answering.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not looking.done()
    chunks.purse.write_finished(CHUNK, 9)

    assert await looking
    chunks.call(1)
    assert not await chunks.enough()


async def test_a_write_that_began_and_ended_during_the_look_does_not_end_a_job_either() -> None:
    chunks = Chunks(10)
    assert await chunks.enough()
    for _ in range(3):
        chunks.call(3)
    chunks.clock.move(TOTAL_REFRESH_SECONDS)
    chunks.answering.clear()
    chunks.asked.clear()
    chunks.total = 9
    looking = asyncio.create_task(chunks.enough())
    await chunks.asked.wait()
    chunks.purse.write_started(CHUNK)
    chunks.purse.write_finished(CHUNK, 9)
    chunks.answering.set()

    assert await looking


async def test_a_write_whose_answer_was_lost_is_believed_to_the_chunk_when_that_is_let_go() -> None:
    chunks = Chunks(10)
    for _ in range(3):
        assert await chunks.enough()
        chunks.call(3)
    chunks.purse.write_started(CHUNK)
    chunks.total = 9
    chunks.clock.move(TOTAL_REFRESH_SECONDS)
    waiting = asyncio.create_task(chunks.enough())
    await chunks.asked.wait()
    assert not waiting.done()
    chunks.purse.drop_chunk(CHUNK, 9)

    assert await waiting
    chunks.purse.drop_chunk(CHUNK, 1)  # nothing was begun to be written: that is surely spent besides
    chunks.call(1)
    assert not await chunks.enough()
