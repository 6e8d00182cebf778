"""The cloud adapters during and after an outage of Google's services."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from promptforge.adapters.gcp.billing import BilledOperation, BilledOperations
from promptforge.adapters.gcp.documents import FirestoreDocuments
from promptforge.adapters.gcp.topics import PubsubTopics
from promptforge.errors import Unavailable
from promptforge.ports.documents import Create, Update
from tests.fakes.flaky_proxy import FlakyProxy
from tests.fakes.pubsub_subscriber import Subscriber
from tests.harness.emulators import Firestore, Pubsub

pytestmark = pytest.mark.cloud

UNAVAILABLE_SECONDS = 10
RECOVERY_SECONDS = 10


@pytest.fixture
async def proxy(firestore: Firestore) -> AsyncIterator[FlakyProxy]:
    async with FlakyProxy(firestore.address) as proxy:
        yield proxy


@pytest.fixture
async def documents(proxy: FlakyProxy, project: str) -> AsyncIterator[FirestoreDocuments]:
    documents = FirestoreDocuments(project, "(default)", BilledOperations(), proxy.address)
    await documents.commit([Create("jobs/1", {"n": 1})])
    yield documents
    await documents.close()


def reads(documents: FirestoreDocuments) -> list[Awaitable[object]]:
    return [
        documents.get("jobs/1"),
        documents.query("jobs", limit=1),
        documents.count("jobs"),
        documents.sum("jobs", ["n"]),
    ]


async def assert_unavailable(*calls: Awaitable[object]) -> None:
    """Check that every call raises Unavailable in time."""
    async with asyncio.timeout(UNAVAILABLE_SECONDS):
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * len(calls)


async def wait_until_available(call: Callable[[], Awaitable[object]]) -> None:
    """Repeat a call until it succeeds."""
    async with asyncio.timeout(RECOVERY_SECONDS):
        while True:
            try:
                await call()
            except Unavailable:
                continue
            return


async def assert_recovered(documents: FirestoreDocuments) -> None:
    await wait_until_available(lambda: documents.get("jobs/1"))
    document = await documents.get("jobs/1")
    assert document is not None
    await documents.commit([Update("jobs/1", {"n": 2}, document.version)])
    assert await documents.sum("jobs", ["n"]) == {"n": 2}


async def test_firestore_frozen_raises_unavailable_quickly(documents: FirestoreDocuments, firestore: Firestore) -> None:
    firestore.suspend()
    try:
        await assert_unavailable(*reads(documents), documents.commit([Create("jobs/unknown", {})]))
    finally:
        firestore.resume()

    await assert_recovered(documents)


async def test_firestore_refusing_raises_unavailable_quickly(documents: FirestoreDocuments, proxy: FlakyProxy) -> None:
    proxy.refuse_connections()
    proxy.drop_connections()
    await assert_unavailable(*reads(documents), documents.commit([Create("jobs/never", {})]))
    await proxy.restore()

    await assert_recovered(documents)
    assert await documents.get("jobs/never") is None


async def test_firestore_read_survives_short_cut(documents: FirestoreDocuments, proxy: FlakyProxy) -> None:
    for _ in range(5):
        proxy.drop_connections()
        document = await documents.get("jobs/1")
        assert document is not None


async def test_firestore_commit_without_answer_raises_unavailable_quickly(
    documents: FirestoreDocuments, proxy: FlakyProxy
) -> None:
    proxy.discard_responses()
    await assert_unavailable(documents.commit([Create("jobs/2", {"n": 0})]))
    await proxy.restore()

    await assert_recovered(documents)
    assert await documents.get("jobs/2") is not None


async def test_publish_without_answer_raises_unavailable_and_next_succeeds(pubsub: Pubsub, project: str) -> None:
    operations = BilledOperations()
    async with FlakyProxy(pubsub.address) as proxy, Subscriber(pubsub.address, project, ["chunks"]) as subscriber:
        topics = PubsubTopics(project, "", operations, proxy.address)
        await topics.publish("chunks", [b"before"])
        proxy.refuse_connections()
        proxy.drop_connections()
        await assert_unavailable(topics.publish("chunks", [b"lost"]))
        await proxy.restore()
        await wait_until_available(lambda: topics.publish("chunks", [b"after"]))
        proxy.discard_responses()
        await assert_unavailable(topics.publish("chunks", [b"unknown"]))
        await proxy.restore()
        await wait_until_available(lambda: topics.publish("chunks", [b"last"]))

        found: set[bytes] = set()
        while b"last" not in found:
            found.update(await subscriber.receive("chunks", 1))
        await topics.close()
    assert found >= {b"before", b"after"}
    assert b"lost" not in found
    assert operations.counts[BilledOperation.PUBLISHED_MESSAGE] == 3


async def test_publish_to_missing_topic_raises_unavailable(pubsub: Pubsub, project: str) -> None:
    topics = PubsubTopics(project, "", BilledOperations(), pubsub.address)
    with pytest.raises(Unavailable):
        await topics.publish("nowhere", [b"m"])
    await topics.close()


async def test_publish_of_fifty_thousand_messages_is_fast(pubsub: Pubsub, project: str) -> None:
    messages = [b'{"v":1,"job_id":"job_%032d","chunk":%d}' % (0, number) for number in range(50_000)]
    operations = BilledOperations()
    topics = PubsubTopics(project, "", operations, pubsub.address)
    async with Subscriber(pubsub.address, project, ["chunks"]):
        began = time.perf_counter()
        await topics.publish("chunks", messages)
        took = time.perf_counter() - began
    await topics.close()
    assert took < 10
    assert operations.counts[BilledOperation.PUBLISHED_MESSAGE] == 50_000
