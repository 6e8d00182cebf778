"""The limit of concurrent calls: reduced by timeouts under load, and grown again by successes."""

import asyncio
from contextlib import ExitStack

import pytest

from promptforge.worker.concurrency_limit import MAX_LONE_TIMEOUTS, ConcurrencyLimit


def free_calls(limit: ConcurrencyLimit) -> int:
    """Return how many further calls may start now."""
    with ExitStack() as running:
        calls = 0
        while not limit.is_reached:
            running.enter_context(limit.call())
            calls += 1
    return calls


def time_out(limit: ConcurrencyLimit, calls: int, began_at: float = 0.0, now: float = 10.0) -> list[bool]:
    """Let this number of calls time out together.

    Returns whether each one counts as overload.
    """
    with ExitStack() as running:
        for _ in range(calls):
            running.enter_context(limit.call())
        return [limit.is_overload(began_at, now) for _ in range(calls)]


def test_concurrency_limit_when_new_admits_its_maximum() -> None:
    assert free_calls(ConcurrencyLimit(8)) == 8


def test_concurrency_limit_timeouts_of_calls_together_reduce_it_once() -> None:
    limit = ConcurrencyLimit(16)
    for _ in range(16):
        limit.succeeded(5.0)

    assert all(time_out(limit, 16))
    assert free_calls(limit) == 8


def test_concurrency_limit_is_reduced_to_half_of_the_answers_during_the_call() -> None:
    limit = ConcurrencyLimit(16)
    for answered_at in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0):
        limit.succeeded(answered_at)

    assert all(time_out(limit, 16, began_at=2.5))
    assert free_calls(limit) == 2


@pytest.mark.parametrize("calls", [2, 16])
def test_concurrency_limit_without_an_answer_during_the_call_is_reduced_to_one(calls: int) -> None:
    limit = ConcurrencyLimit(16)

    assert all(time_out(limit, calls))
    assert free_calls(limit) == 1


def test_concurrency_limit_timeout_of_an_older_call_alone_is_overload_and_reduces_nothing() -> None:
    limit = ConcurrencyLimit(16)
    for _ in range(16):
        limit.succeeded(5.0)
    time_out(limit, 16)

    assert time_out(limit, 1, began_at=1.0, now=11.0) == [True]
    assert free_calls(limit) == 8


def test_concurrency_limit_timeout_of_a_lone_call_is_no_overload() -> None:
    limit = ConcurrencyLimit(16)

    assert time_out(limit, 1) == [False]
    assert free_calls(limit) == 16


def test_concurrency_limit_after_overload_excuses_a_bounded_number_of_lone_timeouts() -> None:
    limit = ConcurrencyLimit(16)
    time_out(limit, 2)
    times = [float(number) for number in range(20, 40)]
    excused = [time_out(limit, 1, began_at, began_at + 0.5) == [True] for began_at in times]

    assert excused.index(False) == MAX_LONE_TIMEOUTS - 1
    assert not any(excused[MAX_LONE_TIMEOUTS - 1 :])


def test_concurrency_limit_success_ends_the_excuse_of_lone_timeouts() -> None:
    limit = ConcurrencyLimit(16)
    time_out(limit, 2)
    limit.succeeded(15.0)

    assert time_out(limit, 1, began_at=20.0, now=30.0) == [False]


def test_concurrency_limit_grows_by_one_for_four_times_its_number_in_successes() -> None:
    limit = ConcurrencyLimit(4)
    time_out(limit, 4)
    grown = []
    for now in range(11, 100):
        limit.succeeded(float(now))
        grown.append(free_calls(limit))

    assert grown == sorted(grown)
    assert grown.index(2) + 1 == pytest.approx(4 * 1.5, abs=1)
    assert grown.index(3) + 1 == pytest.approx(4 * 1.5 + 4 * 2.5, abs=1)
    assert grown[-1] == 4


async def test_concurrency_limit_end_of_a_call_admits_one_waiting_caller() -> None:
    limit = ConcurrencyLimit(1)
    with limit.call():
        waiting = [asyncio.create_task(limit.wait()) for _ in range(2)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    assert [task.done() for task in waiting] == [True, False]

    with limit.call():
        pass
    await asyncio.wait_for(waiting[1], 20)


async def test_concurrency_limit_cancelled_caller_does_not_take_the_turn_of_the_next() -> None:
    limit = ConcurrencyLimit(1)
    with limit.call():
        cancelled, next_one = (asyncio.create_task(limit.wait()) for _ in range(2))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.sleep(0)

    await asyncio.wait_for(next_one, 20)
    assert cancelled.cancelled()


async def test_concurrency_limit_that_grows_admits_a_waiting_caller() -> None:
    limit = ConcurrencyLimit(4)
    time_out(limit, 2)
    with limit.call():
        waiting = asyncio.create_task(limit.wait())
        await asyncio.sleep(0)
        assert not waiting.done()
        for now in range(11, 20):
            limit.succeeded(float(now))

        await asyncio.wait_for(waiting, 20)
