"""Published messages reach subscribers: each at least once, unchanged, in any order."""

from collections import Counter

import pytest

from tests.contract.stores import Feed

LARGE = 9_000_000


@pytest.mark.parametrize("body", [b"x", b"\x00\xff\n", '{"job_id":"ü"}'.encode(), b"m" * LARGE])
async def test_topic_delivers_message_as_published(feed: Feed, body: bytes) -> None:
    await feed.topics.publish("chunks", [body])

    assert set(await feed.receive("chunks", 1)) == {body}


async def test_topic_delivers_every_message_of_a_publish(feed: Feed) -> None:
    published = {b"%d" % number for number in range(2500)}

    await feed.topics.publish("chunks", sorted(published))

    received: set[bytes] = set()
    while received < published:
        received.update(await feed.receive("chunks", 1))
    assert received == published


async def test_topic_splits_oversized_publish(feed: Feed) -> None:
    published = {bytes([number]) * (LARGE // 2 + 1) for number in range(3)}

    await feed.topics.publish("chunks", sorted(published))

    assert set(await feed.receive("chunks", 3)) == published


async def test_topic_delivers_equal_messages_separately(feed: Feed) -> None:
    await feed.topics.publish("chunks", [b"same", b"same"])

    received = await feed.receive("chunks", 2)
    assert Counter(received)[b"same"] >= 2


async def test_topic_publish_of_nothing_sends_nothing(feed: Feed) -> None:
    await feed.topics.publish("chunks", [])

    await feed.topics.publish("chunks", [b"something"])
    assert set(await feed.receive("chunks", 1)) == {b"something"}


async def test_topics_are_separate(feed: Feed) -> None:
    await feed.topics.publish("others", [b"other"])
    await feed.topics.publish("chunks", [b"chunk"])

    assert set(await feed.receive("chunks", 1)) == {b"chunk"}
    assert set(await feed.receive("others", 1)) == {b"other"}


async def test_topic_delivers_later_messages(feed: Feed) -> None:
    await feed.topics.publish("chunks", [b"first"])
    assert set(await feed.receive("chunks", 1)) == {b"first"}

    await feed.topics.publish("chunks", [b"second"])

    assert b"second" in await feed.receive("chunks", 1)
