import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from promptforge.ports.tasks import Tasks
from tests.contract.task_adapters import ADAPTERS, TaskAdapter
from tests.harness.clock import ManualClock

QUEUE = "finalizer"
HOUR = 3600.0


@pytest.fixture(params=sorted(ADAPTERS))
async def adapter(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> AsyncIterator[TaskAdapter]:
    async with ADAPTERS[request.param](tmp_path, clock) as adapter:
        yield adapter


@pytest.fixture
async def tasks(adapter: TaskAdapter) -> Tasks:
    return await adapter.open()


async def test_task_without_time_is_due_at_once(adapter: TaskAdapter, tasks: Tasks) -> None:
    await tasks.enqueue(QUEUE, b"body", name="t")

    assert await adapter.done(QUEUE) == [b"body"]


async def test_task_is_not_delivered_before_its_time(adapter: TaskAdapter, tasks: Tasks, clock: ManualClock) -> None:
    await tasks.enqueue(QUEUE, b"body", name="t", not_before=clock.now() + 30)

    clock.advance(29.9)
    assert await adapter.done(QUEUE) == []
    clock.advance(0.2)
    assert await adapter.done(QUEUE) == [b"body"]


async def test_task_with_past_time_is_due_now(adapter: TaskAdapter, tasks: Tasks, clock: ManualClock) -> None:
    await tasks.enqueue(QUEUE, b"body", name="t", not_before=clock.now() - HOUR)

    assert await adapter.done(QUEUE) == [b"body"]


async def test_task_time_may_be_thirty_days_ahead(adapter: TaskAdapter, tasks: Tasks, clock: ManualClock) -> None:
    month = 30 * 24 * HOUR
    await tasks.enqueue(QUEUE, b"body", name="t", not_before=clock.now() + month)

    clock.advance(month - 1)
    assert await adapter.done(QUEUE) == []
    clock.advance(1)
    assert await adapter.done(QUEUE) == [b"body"]


async def test_task_name_is_taken_once(adapter: TaskAdapter, tasks: Tasks, clock: ManualClock) -> None:
    await tasks.enqueue(QUEUE, b"first", name="t")

    await tasks.enqueue(QUEUE, b"second", name="t")
    await tasks.enqueue(QUEUE, b"third", name="t", not_before=clock.now() + 5)

    clock.advance(10)
    assert await adapter.done(QUEUE) == [b"first"]


async def test_task_repeated_enqueue_keeps_first_time(adapter: TaskAdapter, tasks: Tasks, clock: ManualClock) -> None:
    await tasks.enqueue(QUEUE, b"body", name="t", not_before=clock.now() + 30)

    await tasks.enqueue(QUEUE, b"body", name="t")

    assert await adapter.done(QUEUE) == []


async def test_task_name_stays_taken_after_delivery(adapter: TaskAdapter, tasks: Tasks, clock: ManualClock) -> None:
    await tasks.enqueue(QUEUE, b"first", name="t")
    await adapter.done(QUEUE)

    clock.advance(HOUR - 1)
    await tasks.enqueue(QUEUE, b"second", name="t")

    assert await adapter.done(QUEUE) == []


async def test_task_name_of_delayed_task_stays_taken_after_its_time(
    adapter: TaskAdapter, tasks: Tasks, clock: ManualClock
) -> None:
    await tasks.enqueue(QUEUE, b"first", name="t", not_before=clock.now() + 10 * HOUR)

    clock.advance(10 * HOUR)
    assert await adapter.done(QUEUE) == [b"first"]
    clock.advance(HOUR - 1)
    await tasks.enqueue(QUEUE, b"second", name="t")

    assert await adapter.done(QUEUE) == []


async def test_task_with_other_name_is_separate(adapter: TaskAdapter, tasks: Tasks) -> None:
    names = ["t", "T", "t-1", "t ", "\u00fc"]

    for name in names:
        await tasks.enqueue(QUEUE, name.encode(), name=name)

    assert sorted(await adapter.done(QUEUE)) == sorted(name.encode() for name in names)


async def test_task_concurrent_enqueues_of_one_name_make_one_task(adapter: TaskAdapter) -> None:
    opened = [await adapter.open(), await adapter.open()]

    await asyncio.gather(*(opened[number % 2].enqueue(QUEUE, b"%d" % number, name="t") for number in range(20)))

    assert len(await adapter.done(QUEUE)) == 1


async def test_task_name_stays_taken_after_restart(adapter: TaskAdapter) -> None:
    first = await adapter.open()
    await first.enqueue(QUEUE, b"first", name="t")
    assert await adapter.done(QUEUE) == [b"first"]

    second = await adapter.open()
    await second.enqueue(QUEUE, b"second", name="t")

    assert await adapter.done(QUEUE) == []


@pytest.mark.parametrize("body", [b"", b"\x00\xff", b"x" * 100_000])
async def test_task_body_arrives_unchanged(adapter: TaskAdapter, tasks: Tasks, body: bytes) -> None:
    await tasks.enqueue(QUEUE, body, name="t")

    assert await adapter.done(QUEUE) == [body]
