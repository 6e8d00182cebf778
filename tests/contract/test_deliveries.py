import asyncio

import pytest

from promptforge.adapters.local.queue import MAX_ATTEMPTS, MAX_BACKOFF_SECONDS, MIN_BACKOFF_SECONDS, Delivery
from tests.contract.stores import OpenPost, Post
from tests.harness.clock import HandClock

SOURCE = "topic:chunks"
ACK_SECONDS = 60.0
LONG = 1000.0  # longer than any pause between two tries


async def claim(post: Post, limit: int = 100, source: str = SOURCE) -> list[Delivery]:
    return await post.deliveries.claim(source, limit, ACK_SECONDS)


async def bodies(post: Post, limit: int = 100, source: str = SOURCE) -> list[bytes]:
    return [delivery.body for delivery in await claim(post, limit, source)]


async def test_queue_without_messages_has_nothing_to_claim(post: Post) -> None:
    assert await claim(post) == []
    assert await post.deliveries.sources_due([SOURCE, "queue:worker"]) == []


@pytest.mark.parametrize("body", [b"", b"x", b"\x00\xff\n", b"m" * 1_000_000])
async def test_queue_delivers_message_as_published(post: Post, body: bytes) -> None:
    await post.topics.publish("chunks", [body])

    (delivery,) = await claim(post)
    assert (delivery.source, delivery.body, delivery.attempts) == (SOURCE, body, 1)


async def test_queue_delivers_oldest_first(post: Post) -> None:
    await post.topics.publish("chunks", [b"1", b"2"])
    await post.topics.publish("chunks", [b"3"])

    assert await bodies(post, limit=2) == [b"1", b"2"]
    assert await bodies(post, limit=2) == [b"3"]


async def test_queue_delivers_equal_messages_separately(post: Post) -> None:
    await post.topics.publish("chunks", [b"same", b"same"])

    assert await bodies(post) == [b"same", b"same"]


async def test_queue_publish_of_nothing_enqueues_nothing(post: Post) -> None:
    await post.topics.publish("chunks", [])

    assert await claim(post) == []


async def test_queue_keeps_topics_and_queues_of_one_name_apart(post: Post) -> None:
    await post.topics.publish("worker", [b"message"])
    await post.tasks.enqueue("worker", b"task", name="t")

    assert await bodies(post, source="queue:worker") == [b"task"]
    assert await bodies(post, source="topic:worker") == [b"message"]


async def test_queue_sources_due_lists_nonempty_sources(post: Post, clock: HandClock) -> None:
    await post.topics.publish("chunks", [b"1", b"2"])
    await post.tasks.enqueue("worker", b"later", name="t", not_before=clock.now() + 10)
    sources = [SOURCE, "queue:worker", "topic:other"]

    assert await post.deliveries.sources_due(sources) == [SOURCE]
    clock.move(10)
    assert set(await post.deliveries.sources_due(sources)) == {SOURCE, "queue:worker"}
    assert await post.deliveries.sources_due(["topic:other"]) == []


async def test_queue_claimed_message_is_invisible_until_ack_deadline(post: Post, clock: HandClock) -> None:
    await post.topics.publish("chunks", [b"1"])
    await claim(post)

    clock.move(ACK_SECONDS - 1)

    assert await claim(post) == []
    assert await post.deliveries.sources_due([SOURCE]) == []


async def test_queue_unacknowledged_message_becomes_visible_again(post: Post, clock: HandClock) -> None:
    await post.topics.publish("chunks", [b"1"])
    (first,) = await claim(post)

    clock.move(ACK_SECONDS)

    (second,) = await claim(post)
    assert (second.id, second.body, second.attempts) == (first.id, b"1", 2)


async def test_queue_acknowledged_message_never_returns(post: Post, clock: HandClock) -> None:
    await post.topics.publish("chunks", [b"1", b"2"])
    first, _ = await claim(post)

    await post.deliveries.ack(first)
    await post.deliveries.ack(first)
    clock.move(LONG)

    assert await bodies(post) == [b"2"]


async def test_queue_returned_message_becomes_visible_after_pause(post: Post, clock: HandClock) -> None:
    await post.topics.publish("chunks", [b"1"])
    (delivery,) = await claim(post)

    assert await post.deliveries.nack(delivery) is False

    assert await claim(post) == []
    clock.move(MIN_BACKOFF_SECONDS + 0.001)
    assert await bodies(post) == [b"1"]


async def test_queue_returned_message_keeps_precedence(post: Post, clock: HandClock) -> None:
    await post.topics.publish("chunks", [b"1", b"2", b"3"])
    (delivery,) = await claim(post, limit=1)
    await post.deliveries.nack(delivery)

    assert await bodies(post, limit=1) == [b"2"]
    await post.topics.publish("chunks", [b"4"])
    clock.move(MIN_BACKOFF_SECONDS + 0.001)
    assert await bodies(post, limit=2) == [b"1", b"3"]
    assert await bodies(post, limit=2) == [b"4"]


async def test_queue_backoff_grows_until_dead_letter(post: Post, clock: HandClock) -> None:
    await post.topics.publish("chunks", [b"poison"])

    for attempt in range(1, MAX_ATTEMPTS):
        (delivery,) = await claim(post)
        assert delivery.attempts == attempt
        assert await post.deliveries.nack(delivery) is False
        pause = min(MIN_BACKOFF_SECONDS * 2 ** (attempt - 1), MAX_BACKOFF_SECONDS)
        clock.move(pause - 0.01)
        assert await claim(post) == []
        clock.move(0.02)

    (last,) = await claim(post)
    assert last.attempts == MAX_ATTEMPTS
    assert await post.deliveries.nack(last) is True
    clock.move(LONG)
    assert await claim(post) == []
    assert await post.deliveries.sources_due([SOURCE]) == []
    await post.deliveries.make_visible()
    assert await claim(post) == []


async def test_queue_dead_letter_does_not_block_others(post: Post, clock: HandClock) -> None:
    await post.topics.publish("chunks", [b"poison"])
    for _ in range(MAX_ATTEMPTS):
        (delivery,) = await claim(post)
        await post.deliveries.nack(delivery)
        clock.move(LONG)

    await post.topics.publish("chunks", [b"good"])

    assert await bodies(post) == [b"good"]


async def test_queue_make_visible_makes_claimed_messages_due(post: Post) -> None:
    await post.topics.publish("chunks", [b"1", b"2", b"3"])
    done, put_back, _ = await claim(post)
    await post.deliveries.ack(done)
    await post.deliveries.nack(put_back)

    await post.deliveries.make_visible()

    assert await bodies(post) == [b"2", b"3"]


async def test_queue_make_visible_keeps_delay_of_unclaimed_tasks(post: Post, clock: HandClock) -> None:
    await post.tasks.enqueue("worker", b"later", name="t", not_before=clock.now() + 10)

    await post.deliveries.make_visible()

    assert await bodies(post, source="queue:worker") == []


async def test_queue_two_consumers_share_messages_without_duplicates(open_post: OpenPost) -> None:
    posts = [open_post(), open_post()]
    published = [b"%d" % number for number in range(60)]
    await posts[0].topics.publish("chunks", published)

    claimed = await asyncio.gather(*(bodies(posts[number % 2], limit=7) for number in range(10)))

    assert sorted(body for batch in claimed for body in batch) == sorted(published)


async def test_queue_content_survives_its_process(open_post: OpenPost, clock: HandClock) -> None:
    first = open_post()
    await first.topics.publish("chunks", [b"claimed", b"waiting"])
    await first.tasks.enqueue("worker", b"later", name="t", not_before=clock.now() + 10)
    await claim(first, limit=1)

    second = open_post()

    assert await bodies(second) == [b"waiting"]
    await second.deliveries.make_visible()
    assert (await bodies(second))[0] == b"claimed"
    clock.move(10)
    assert await bodies(second, source="queue:worker") == [b"later"]


async def test_queue_stale_nack_does_not_affect_new_claim(post: Post, clock: HandClock) -> None:
    await post.topics.publish("chunks", [b"m"])
    (stale,) = await claim(post)
    clock.move(ACK_SECONDS + 1)
    await claim(post)

    await post.deliveries.nack(stale)
    clock.move(ACK_SECONDS / 2)

    assert await bodies(post) == []


PAUSED_JOB, OTHER_JOB = (b'{"v":1,"job_id":"%s"}' % name for name in (b"paused", b"other"))


async def test_queue_paused_deliveries_wait_until_their_job_is_resumed(post: Post) -> None:
    await post.topics.publish("chunks", [PAUSED_JOB, OTHER_JOB])
    await post.tasks.enqueue("sweeper", b"sweep", name="s")
    await post.deliveries.pause([SOURCE])
    await post.deliveries.pause([SOURCE])

    assert await bodies(post) == []
    assert await bodies(post, source="queue:sweeper") == [b"sweep"]
    await post.deliveries.resume("other")
    assert await bodies(post) == [OTHER_JOB]
    await post.deliveries.resume("paused")
    assert await bodies(post) == [PAUSED_JOB]


async def test_queue_paused_claim_is_no_attempt(post: Post) -> None:
    await post.topics.publish("chunks", [PAUSED_JOB])
    (delivery,) = await claim(post)
    await post.deliveries.pause_claimed(delivery)

    assert await claim(post) == []
    await post.deliveries.resume("paused")
    (again,) = await claim(post)
    assert (again.id, again.attempts) == (delivery.id, 1)


async def test_queue_paused_deliveries_are_visible_to_the_next_engine(post: Post, clock: HandClock) -> None:
    await post.topics.publish("chunks", [PAUSED_JOB])
    await post.tasks.enqueue("worker", OTHER_JOB, name="t", not_before=clock.now() + LONG)
    await post.deliveries.pause([SOURCE, "queue:worker"])
    await post.deliveries.make_visible()

    assert await bodies(post) == [PAUSED_JOB]
    assert await bodies(post, source="queue:worker") == []
    clock.move(LONG)
    assert await bodies(post, source="queue:worker") == [OTHER_JOB]
