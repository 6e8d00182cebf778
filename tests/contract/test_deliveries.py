import asyncio

import pytest

from promptforge.adapters.local.queue import MAX_ATTEMPTS, MAX_BACKOFF_SECONDS, MIN_BACKOFF_SECONDS, Delivery
from tests.contract.stores import Messaging, OpenMessaging
from tests.harness.clock import ManualClock

SOURCE = "topic:chunks"
ACK_SECONDS = 60.0
LONG = 1000.0  # longer than any backoff between two attempts


async def claim(messaging: Messaging, limit: int = 100, source: str = SOURCE) -> list[Delivery]:
    return await messaging.queue.claim(source, limit, ACK_SECONDS)


async def bodies(messaging: Messaging, limit: int = 100, source: str = SOURCE) -> list[bytes]:
    return [delivery.body for delivery in await claim(messaging, limit, source)]


async def test_queue_without_messages_has_nothing_to_claim(messaging: Messaging) -> None:
    assert await claim(messaging) == []
    assert await messaging.queue.sources_due([SOURCE, "queue:worker"]) == []


@pytest.mark.parametrize("body", [b"", b"x", b"\x00\xff\n", b"m" * 1_000_000])
async def test_queue_delivers_message_as_published(messaging: Messaging, body: bytes) -> None:
    await messaging.topics.publish("chunks", [body])

    (delivery,) = await claim(messaging)
    assert (delivery.source, delivery.body, delivery.attempts) == (SOURCE, body, 1)


async def test_queue_delivers_oldest_first(messaging: Messaging) -> None:
    await messaging.topics.publish("chunks", [b"1", b"2"])
    await messaging.topics.publish("chunks", [b"3"])

    assert await bodies(messaging, limit=2) == [b"1", b"2"]
    assert await bodies(messaging, limit=2) == [b"3"]


async def test_queue_delivers_equal_messages_separately(messaging: Messaging) -> None:
    await messaging.topics.publish("chunks", [b"same", b"same"])

    assert await bodies(messaging) == [b"same", b"same"]


async def test_queue_publish_of_nothing_enqueues_nothing(messaging: Messaging) -> None:
    await messaging.topics.publish("chunks", [])

    assert await claim(messaging) == []


async def test_queue_keeps_topics_and_queues_of_one_name_apart(messaging: Messaging) -> None:
    await messaging.topics.publish("worker", [b"message"])
    await messaging.tasks.enqueue("worker", b"task", name="t")

    assert await bodies(messaging, source="queue:worker") == [b"task"]
    assert await bodies(messaging, source="topic:worker") == [b"message"]


async def test_queue_sources_due_lists_nonempty_sources(messaging: Messaging, clock: ManualClock) -> None:
    await messaging.topics.publish("chunks", [b"1", b"2"])
    await messaging.tasks.enqueue("worker", b"later", name="t", not_before=clock.now() + 10)
    sources = [SOURCE, "queue:worker", "topic:other"]

    assert await messaging.queue.sources_due(sources) == [SOURCE]
    clock.advance(10)
    assert set(await messaging.queue.sources_due(sources)) == {SOURCE, "queue:worker"}
    assert await messaging.queue.sources_due(["topic:other"]) == []


async def test_queue_claimed_message_is_invisible_until_ack_deadline(messaging: Messaging, clock: ManualClock) -> None:
    await messaging.topics.publish("chunks", [b"1"])
    await claim(messaging)

    clock.advance(ACK_SECONDS - 1)

    assert await claim(messaging) == []
    assert await messaging.queue.sources_due([SOURCE]) == []


async def test_queue_unacknowledged_message_becomes_visible_again(messaging: Messaging, clock: ManualClock) -> None:
    await messaging.topics.publish("chunks", [b"1"])
    (first,) = await claim(messaging)

    clock.advance(ACK_SECONDS)

    (second,) = await claim(messaging)
    assert (second.id, second.body, second.attempts) == (first.id, b"1", 2)


async def test_queue_acknowledged_message_never_returns(messaging: Messaging, clock: ManualClock) -> None:
    await messaging.topics.publish("chunks", [b"1", b"2"])
    first, _ = await claim(messaging)

    await messaging.queue.ack(first)
    await messaging.queue.ack(first)
    clock.advance(LONG)

    assert await bodies(messaging) == [b"2"]


async def test_queue_returned_message_becomes_visible_after_pause(messaging: Messaging, clock: ManualClock) -> None:
    await messaging.topics.publish("chunks", [b"1"])
    (delivery,) = await claim(messaging)

    assert await messaging.queue.nack(delivery) is False

    assert await claim(messaging) == []
    clock.advance(MIN_BACKOFF_SECONDS + 0.001)
    assert await bodies(messaging) == [b"1"]


async def test_queue_returned_message_keeps_precedence(messaging: Messaging, clock: ManualClock) -> None:
    await messaging.topics.publish("chunks", [b"1", b"2", b"3"])
    (delivery,) = await claim(messaging, limit=1)
    await messaging.queue.nack(delivery)

    assert await bodies(messaging, limit=1) == [b"2"]
    await messaging.topics.publish("chunks", [b"4"])
    clock.advance(MIN_BACKOFF_SECONDS + 0.001)
    assert await bodies(messaging, limit=2) == [b"1", b"3"]
    assert await bodies(messaging, limit=2) == [b"4"]


async def test_queue_backoff_grows_until_dead_letter(messaging: Messaging, clock: ManualClock) -> None:
    await messaging.topics.publish("chunks", [b"poison"])

    for attempt in range(1, MAX_ATTEMPTS):
        (delivery,) = await claim(messaging)
        assert delivery.attempts == attempt
        assert await messaging.queue.nack(delivery) is False
        pause = min(MIN_BACKOFF_SECONDS * 2 ** (attempt - 1), MAX_BACKOFF_SECONDS)
        clock.advance(pause - 0.01)
        assert await claim(messaging) == []
        clock.advance(0.02)

    (last,) = await claim(messaging)
    assert last.attempts == MAX_ATTEMPTS
    assert await messaging.queue.nack(last) is True
    clock.advance(LONG)
    assert await claim(messaging) == []
    assert await messaging.queue.sources_due([SOURCE]) == []
    await messaging.queue.make_visible()
    assert await claim(messaging) == []


async def test_queue_dead_letter_does_not_block_others(messaging: Messaging, clock: ManualClock) -> None:
    await messaging.topics.publish("chunks", [b"poison"])
    for _ in range(MAX_ATTEMPTS):
        (delivery,) = await claim(messaging)
        await messaging.queue.nack(delivery)
        clock.advance(LONG)

    await messaging.topics.publish("chunks", [b"good"])

    assert await bodies(messaging) == [b"good"]


async def test_queue_make_visible_makes_claimed_messages_due(messaging: Messaging) -> None:
    await messaging.topics.publish("chunks", [b"1", b"2", b"3"])
    acknowledged, returned, _ = await claim(messaging)
    await messaging.queue.ack(acknowledged)
    await messaging.queue.nack(returned)

    await messaging.queue.make_visible()

    assert await bodies(messaging) == [b"2", b"3"]


async def test_queue_make_visible_keeps_delay_of_unclaimed_tasks(messaging: Messaging, clock: ManualClock) -> None:
    await messaging.tasks.enqueue("worker", b"later", name="t", not_before=clock.now() + 10)

    await messaging.queue.make_visible()

    assert await bodies(messaging, source="queue:worker") == []


async def test_queue_two_consumers_share_messages_without_duplicates(open_messaging: OpenMessaging) -> None:
    sides = [open_messaging(), open_messaging()]
    published = [b"%d" % number for number in range(60)]
    await sides[0].topics.publish("chunks", published)

    claimed = await asyncio.gather(*(bodies(sides[number % 2], limit=7) for number in range(10)))

    assert sorted(body for batch in claimed for body in batch) == sorted(published)


async def test_queue_content_survives_its_process(open_messaging: OpenMessaging, clock: ManualClock) -> None:
    first = open_messaging()
    await first.topics.publish("chunks", [b"claimed", b"waiting"])
    await first.tasks.enqueue("worker", b"later", name="t", not_before=clock.now() + 10)
    await claim(first, limit=1)

    second = open_messaging()

    assert await bodies(second) == [b"waiting"]
    await second.queue.make_visible()
    assert (await bodies(second))[0] == b"claimed"
    clock.advance(10)
    assert await bodies(second, source="queue:worker") == [b"later"]


async def test_queue_stale_nack_does_not_affect_new_claim(messaging: Messaging, clock: ManualClock) -> None:
    await messaging.topics.publish("chunks", [b"m"])
    (stale,) = await claim(messaging)
    clock.advance(ACK_SECONDS + 1)
    await claim(messaging)

    await messaging.queue.nack(stale)
    clock.advance(ACK_SECONDS / 2)

    assert await bodies(messaging) == []


PAUSED_JOB, OTHER_JOB = (b'{"v":1,"job_id":"%s"}' % name for name in (b"paused", b"other"))


async def test_queue_paused_deliveries_wait_until_their_job_is_resumed(messaging: Messaging) -> None:
    await messaging.topics.publish("chunks", [PAUSED_JOB, OTHER_JOB])
    await messaging.tasks.enqueue("sweeper", b"sweep", name="s")
    await messaging.queue.pause([SOURCE])
    await messaging.queue.pause([SOURCE])

    assert await bodies(messaging) == []
    assert await bodies(messaging, source="queue:sweeper") == [b"sweep"]
    await messaging.queue.resume("other")
    assert await bodies(messaging) == [OTHER_JOB]
    await messaging.queue.resume("paused")
    assert await bodies(messaging) == [PAUSED_JOB]


async def test_queue_paused_claim_is_no_attempt(messaging: Messaging) -> None:
    await messaging.topics.publish("chunks", [PAUSED_JOB])
    (delivery,) = await claim(messaging)
    await messaging.queue.pause_claimed(delivery)

    assert await claim(messaging) == []
    await messaging.queue.resume("paused")
    (again,) = await claim(messaging)
    assert (again.id, again.attempts) == (delivery.id, 1)


async def test_queue_paused_deliveries_are_visible_to_the_next_engine(messaging: Messaging, clock: ManualClock) -> None:
    await messaging.topics.publish("chunks", [PAUSED_JOB])
    await messaging.tasks.enqueue("worker", OTHER_JOB, name="t", not_before=clock.now() + LONG)
    await messaging.queue.pause([SOURCE, "queue:worker"])
    await messaging.queue.make_visible()

    assert await bodies(messaging) == [PAUSED_JOB]
    assert await bodies(messaging, source="queue:worker") == []
    clock.advance(LONG)
    assert await bodies(messaging, source="queue:worker") == [OTHER_JOB]
