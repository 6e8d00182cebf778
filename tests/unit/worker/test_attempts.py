"""The attempts of a chunk: failures by line, and the cost that a write stores."""

import asyncio

from promptforge.domain.chunk import Chunk
from promptforge.worker.attempts import ChunkAttempts
from promptforge.worker.cost_budget import CostBudget


def budget_of(limit: int, stored: list[int]) -> CostBudget:
    """Return a budget that reads the last stored total, at each check."""
    times = iter(range(0, 10**6, 10))

    async def total() -> int:
        return stored[-1]

    return CostBudget(limit, total, lambda: float(next(times)))


def chunk(**fields: object) -> Chunk:
    place = {"number": 7, "start": 0, "end": 9, "first_line": 1, "last_line": 3, "line_count": 3, "due_at": 0.0}
    return Chunk.model_validate({**place, **fields})


def test_attempts_continue_with_the_failures_of_earlier_holders() -> None:
    attempts = ChunkAttempts(chunk(attempt_failures={2: 2}), budget_of(10, [0]))

    assert (attempts.failed(1), attempts.failed(2)) == (0, 2)
    assert (attempts.record_failure(2), attempts.record_failure(3)) == (3, 1)
    attempts.discard(2)
    attempts.discard(1)
    assert attempts.failures == {3: 1}


def test_attempts_failures_are_a_copy() -> None:
    attempts = ChunkAttempts(chunk(attempt_failures={2: 2}), budget_of(10, [0]))
    attempts.failures.clear()

    assert attempts.failures == {2: 2}


def test_attempts_cost_is_unstored_until_its_write_is_confirmed() -> None:
    attempts = ChunkAttempts(chunk(cost_nanos=4), budget_of(100, [4]))
    assert (attempts.has_unstored_cost, attempts.write_started()) == (False, 4)
    attempts.add_cost(3)
    assert attempts.has_unstored_cost
    cost = attempts.write_started()
    attempts.add_cost(1)
    attempts.write_finished(cost)

    assert (cost, attempts.has_unstored_cost, attempts.write_started()) == (7, True, 8)


async def fits(budget: CostBudget) -> bool:
    """Return whether another call fits into the limit."""
    async with asyncio.timeout(2):
        return await budget.wait(asyncio.Event())


async def test_attempts_confirmed_writes_count_each_cost_once() -> None:
    stored = [0]
    budget = budget_of(10, stored)
    attempts = ChunkAttempts(chunk(), budget)
    for amount in (4, 3):
        attempts.add_cost(amount)
        cost = attempts.write_started()
        stored.append(cost)
        attempts.write_finished(cost)
        assert await fits(budget)
    attempts.add_cost(3)

    assert stored == [0, 4, 7]
    assert not await fits(budget)


async def test_attempts_closed_with_an_unconfirmed_write_trust_the_stored_cost() -> None:
    stored = [0]
    budget = budget_of(10, stored)
    attempts = ChunkAttempts(chunk(), budget)
    attempts.add_cost(4)
    attempts.write_finished(attempts.write_started())
    attempts.add_cost(5)
    stored.append(attempts.write_started())
    waiting = asyncio.create_task(budget.wait(asyncio.Event()))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    attempts.close()

    assert await asyncio.wait_for(waiting, 2)
    budget.add_spent(1)
    assert not await fits(budget)
