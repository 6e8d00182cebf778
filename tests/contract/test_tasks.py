import asyncio

import pytest

from tests.contract.stores import OpenPost, Post
from tests.support.clock import HandClock

QUEUE = "queue:finalizer"
HOUR = 3600.0


async def done(post: Post) -> list[bytes]:
    """Do all that is due, and tell what it was."""
    claimed = await post.deliveries.claim(QUEUE, 100, 60.0)
    for delivery in claimed:
        await post.deliveries.ack(delivery)
    return [delivery.body for delivery in claimed]


async def test_a_task_without_a_time_is_due_at_once(post: Post) -> None:
    await post.tasks.enqueue("finalizer", b"body", name="t")

    assert await done(post) == [b"body"]


async def test_a_task_is_not_done_before_its_time(post: Post, clock: HandClock) -> None:
    await post.tasks.enqueue("finalizer", b"body", name="t", not_before=clock.now() + 30)

    clock.move(29.9)
    assert await done(post) == []
    clock.move(0.2)
    assert await done(post) == [b"body"]


async def test_a_time_that_is_past_is_now(post: Post, clock: HandClock) -> None:
    await post.tasks.enqueue("finalizer", b"body", name="t", not_before=clock.now() - HOUR)

    assert await done(post) == [b"body"]


async def test_a_time_may_be_thirty_days_ahead(post: Post, clock: HandClock) -> None:
    month = 30 * 24 * HOUR
    await post.tasks.enqueue("finalizer", b"body", name="t", not_before=clock.now() + month)

    clock.move(month - 1)
    assert await done(post) == []
    clock.move(1)
    assert await done(post) == [b"body"]


async def test_a_name_is_taken_once(post: Post, clock: HandClock) -> None:
    await post.tasks.enqueue("finalizer", b"first", name="t")

    await post.tasks.enqueue("finalizer", b"second", name="t")
    await post.tasks.enqueue("finalizer", b"third", name="t", not_before=clock.now() + 5)

    clock.move(10)
    assert await done(post) == [b"first"]


async def test_a_repeated_task_does_not_move_the_first(post: Post, clock: HandClock) -> None:
    await post.tasks.enqueue("finalizer", b"body", name="t", not_before=clock.now() + 30)

    await post.tasks.enqueue("finalizer", b"body", name="t")

    assert await done(post) == []


async def test_a_name_stays_taken_after_the_task_is_done(post: Post, clock: HandClock) -> None:
    await post.tasks.enqueue("finalizer", b"first", name="t")
    await done(post)

    clock.move(HOUR - 1)
    await post.tasks.enqueue("finalizer", b"second", name="t")

    assert await done(post) == []


async def test_a_name_of_a_late_task_stays_taken_from_its_time_on(post: Post, clock: HandClock) -> None:
    await post.tasks.enqueue("finalizer", b"first", name="t", not_before=clock.now() + 10 * HOUR)

    clock.move(10 * HOUR)
    assert await done(post) == [b"first"]
    clock.move(HOUR - 1)
    await post.tasks.enqueue("finalizer", b"second", name="t")

    assert await done(post) == []


async def test_other_names_are_other_tasks(post: Post) -> None:
    names = ["t", "T", "t-1", "t ", "\u00fc"]

    for name in names:
        await post.tasks.enqueue("finalizer", name.encode(), name=name)

    assert await done(post) == [name.encode() for name in names]


async def test_of_many_that_enqueue_one_name_one_does(open_post: OpenPost) -> None:
    posts = [open_post(), open_post()]

    await asyncio.gather(
        *(posts[number % 2].tasks.enqueue("finalizer", b"%d" % number, name="t") for number in range(20))
    )

    assert len(await done(posts[0])) == 1


async def test_a_name_stays_taken_over_a_restart(open_post: OpenPost) -> None:
    first = open_post()
    await first.tasks.enqueue("finalizer", b"first", name="t")
    await done(first)

    second = open_post()
    await second.tasks.enqueue("finalizer", b"second", name="t")

    assert await done(second) == []


@pytest.mark.parametrize("body", [b"", b"\x00\xff", b"x" * 100_000])
async def test_a_body_arrives_as_it_was_given(post: Post, body: bytes) -> None:
    await post.tasks.enqueue("finalizer", body, name="t")

    assert await done(post) == [body]
