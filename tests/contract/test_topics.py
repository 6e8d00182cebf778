"""Published messages reach subscribers: each at least once, unchanged, in any order."""

from collections import Counter

import pytest

from tests.contract.stores import TopicAdapter

LARGE = 9_000_000


@pytest.mark.parametrize("body", [b"x", b"\x00\xff\n", '{"job_id":"ü"}'.encode(), b"m" * LARGE])
async def test_topic_delivers_message_as_published(topic_adapter: TopicAdapter, body: bytes) -> None:
    await topic_adapter.topics.publish("chunks", [body])

    assert set(await topic_adapter.receive("chunks", 1)) == {body}


async def test_topic_delivers_every_message_of_a_publish(topic_adapter: TopicAdapter) -> None:
    published = {b"%d" % number for number in range(2500)}

    await topic_adapter.topics.publish("chunks", sorted(published))

    received: set[bytes] = set()
    while received < published:
        received.update(await topic_adapter.receive("chunks", 1))
    assert received == published


async def test_topic_splits_oversized_publish(topic_adapter: TopicAdapter) -> None:
    published = {bytes([number]) * (LARGE // 2 + 1) for number in range(3)}

    await topic_adapter.topics.publish("chunks", sorted(published))

    assert set(await topic_adapter.receive("chunks", 3)) == published


async def test_topic_delivers_equal_messages_separately(topic_adapter: TopicAdapter) -> None:
    await topic_adapter.topics.publish("chunks", [b"same", b"same"])

    received = await topic_adapter.receive("chunks", 2)
    assert Counter(received)[b"same"] >= 2


async def test_topic_publish_of_nothing_sends_nothing(topic_adapter: TopicAdapter) -> None:
    await topic_adapter.topics.publish("chunks", [])

    await topic_adapter.topics.publish("chunks", [b"something"])
    assert set(await topic_adapter.receive("chunks", 1)) == {b"something"}


async def test_topics_are_separate(topic_adapter: TopicAdapter) -> None:
    await topic_adapter.topics.publish("others", [b"other"])
    await topic_adapter.topics.publish("chunks", [b"chunk"])

    assert set(await topic_adapter.receive("chunks", 1)) == {b"chunk"}
    assert set(await topic_adapter.receive("others", 1)) == {b"other"}


async def test_topic_delivers_later_messages(topic_adapter: TopicAdapter) -> None:
    await topic_adapter.topics.publish("chunks", [b"first"])
    assert set(await topic_adapter.receive("chunks", 1)) == {b"first"}

    await topic_adapter.topics.publish("chunks", [b"second"])

    assert b"second" in await topic_adapter.receive("chunks", 1)
