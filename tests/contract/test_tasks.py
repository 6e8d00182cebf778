import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from promptforge.ports.tasks import Tasks
from tests.contract.task_adapters import BENCHES, TaskBench
from tests.harness.clock import ManualClock

QUEUE = "finalizer"
HOUR = 3600.0


@pytest.fixture(params=sorted(BENCHES))
async def bench(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> AsyncIterator[TaskBench]:
    async with BENCHES[request.param](tmp_path, clock) as bench:
        yield bench


@pytest.fixture
async def tasks(bench: TaskBench) -> Tasks:
    return await bench.open()


async def test_task_without_time_is_due_at_once(bench: TaskBench, tasks: Tasks) -> None:
    await tasks.enqueue(QUEUE, b"body", name="t")

    assert await bench.done(QUEUE) == [b"body"]


async def test_task_is_not_delivered_before_its_time(bench: TaskBench, tasks: Tasks, clock: ManualClock) -> None:
    await tasks.enqueue(QUEUE, b"body", name="t", not_before=clock.now() + 30)

    clock.advance(29.9)
    assert await bench.done(QUEUE) == []
    clock.advance(0.2)
    assert await bench.done(QUEUE) == [b"body"]


async def test_task_with_past_time_is_due_now(bench: TaskBench, tasks: Tasks, clock: ManualClock) -> None:
    await tasks.enqueue(QUEUE, b"body", name="t", not_before=clock.now() - HOUR)

    assert await bench.done(QUEUE) == [b"body"]


async def test_task_time_may_be_thirty_days_ahead(bench: TaskBench, tasks: Tasks, clock: ManualClock) -> None:
    month = 30 * 24 * HOUR
    await tasks.enqueue(QUEUE, b"body", name="t", not_before=clock.now() + month)

    clock.advance(month - 1)
    assert await bench.done(QUEUE) == []
    clock.advance(1)
    assert await bench.done(QUEUE) == [b"body"]


async def test_task_name_is_taken_once(bench: TaskBench, tasks: Tasks, clock: ManualClock) -> None:
    await tasks.enqueue(QUEUE, b"first", name="t")

    await tasks.enqueue(QUEUE, b"second", name="t")
    await tasks.enqueue(QUEUE, b"third", name="t", not_before=clock.now() + 5)

    clock.advance(10)
    assert await bench.done(QUEUE) == [b"first"]


async def test_task_repeated_enqueue_keeps_first_time(bench: TaskBench, tasks: Tasks, clock: ManualClock) -> None:
    await tasks.enqueue(QUEUE, b"body", name="t", not_before=clock.now() + 30)

    await tasks.enqueue(QUEUE, b"body", name="t")

    assert await bench.done(QUEUE) == []


async def test_task_name_stays_taken_after_delivery(bench: TaskBench, tasks: Tasks, clock: ManualClock) -> None:
    await tasks.enqueue(QUEUE, b"first", name="t")
    await bench.done(QUEUE)

    clock.advance(HOUR - 1)
    await tasks.enqueue(QUEUE, b"second", name="t")

    assert await bench.done(QUEUE) == []


async def test_task_name_of_delayed_task_stays_taken_after_its_time(
    bench: TaskBench, tasks: Tasks, clock: ManualClock
) -> None:
    await tasks.enqueue(QUEUE, b"first", name="t", not_before=clock.now() + 10 * HOUR)

    clock.advance(10 * HOUR)
    assert await bench.done(QUEUE) == [b"first"]
    clock.advance(HOUR - 1)
    await tasks.enqueue(QUEUE, b"second", name="t")

    assert await bench.done(QUEUE) == []


async def test_task_with_other_name_is_separate(bench: TaskBench, tasks: Tasks) -> None:
    names = ["t", "T", "t-1", "t ", "\u00fc"]

    for name in names:
        await tasks.enqueue(QUEUE, name.encode(), name=name)

    assert sorted(await bench.done(QUEUE)) == sorted(name.encode() for name in names)


async def test_task_concurrent_enqueues_of_one_name_make_one_task(bench: TaskBench) -> None:
    opened = [await bench.open(), await bench.open()]

    await asyncio.gather(*(opened[number % 2].enqueue(QUEUE, b"%d" % number, name="t") for number in range(20)))

    assert len(await bench.done(QUEUE)) == 1


async def test_task_name_stays_taken_after_restart(bench: TaskBench) -> None:
    first = await bench.open()
    await first.enqueue(QUEUE, b"first", name="t")
    assert await bench.done(QUEUE) == [b"first"]

    second = await bench.open()
    await second.enqueue(QUEUE, b"second", name="t")

    assert await bench.done(QUEUE) == []


@pytest.mark.parametrize("body", [b"", b"\x00\xff", b"x" * 100_000])
async def test_task_body_arrives_unchanged(bench: TaskBench, tasks: Tasks, body: bytes) -> None:
    await tasks.enqueue(QUEUE, body, name="t")

    assert await bench.done(QUEUE) == [body]
