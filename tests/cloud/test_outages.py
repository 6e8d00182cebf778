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

GIVEN_UP_SECONDS = 10
BACK_SECONDS = 10


@pytest.fixture
async def cut(firestore: Firestore) -> AsyncIterator[FlakyProxy]:
    async with FlakyProxy(firestore.address) as cut:
        yield cut


@pytest.fixture
async def documents(cut: FlakyProxy, project: str) -> AsyncIterator[FirestoreDocuments]:
    documents = FirestoreDocuments(project, "(default)", BilledOperations(), cut.address)
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


async def given_up(*calls: Awaitable[object]) -> None:
    """Every one of the calls says Unavailable, and soon."""
    async with asyncio.timeout(GIVEN_UP_SECONDS):
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * len(calls)


async def back(call: Callable[[], Awaitable[object]]) -> None:
    """Wait until a call is answered again."""
    async with asyncio.timeout(BACK_SECONDS):
        while True:
            try:
                await call()
            except Unavailable:
                continue
            return


async def goes_on(documents: FirestoreDocuments) -> None:
    await back(lambda: documents.get("jobs/1"))
    document = await documents.get("jobs/1")
    assert document is not None
    await documents.commit([Update("jobs/1", {"n": 2}, document.version)])
    assert await documents.sum("jobs", ["n"]) == {"n": 2}


async def test_firestore_frozen_raises_unavailable_quickly(documents: FirestoreDocuments, firestore: Firestore) -> None:
    firestore.suspend()
    try:
        await given_up(*reads(documents), documents.commit([Create("jobs/unknown", {})]))
    finally:
        firestore.resume()

    await goes_on(documents)


async def test_firestore_refusing_raises_unavailable_quickly(documents: FirestoreDocuments, cut: FlakyProxy) -> None:
    cut.refuse_connections()
    cut.drop_connections()
    await given_up(*reads(documents), documents.commit([Create("jobs/never", {})]))
    await cut.restore()

    await goes_on(documents)
    assert await documents.get("jobs/never") is None


async def test_firestore_read_survives_short_cut(documents: FirestoreDocuments, cut: FlakyProxy) -> None:
    for _ in range(5):
        cut.drop_connections()
        document = await documents.get("jobs/1")
        assert document is not None


async def test_firestore_commit_without_answer_raises_unavailable_quickly(
    documents: FirestoreDocuments, cut: FlakyProxy
) -> None:
    cut.discard_responses()
    await given_up(documents.commit([Create("jobs/2", {"n": 0})]))
    await cut.restore()

    await goes_on(documents)
    assert await documents.get("jobs/2") is not None


async def test_publish_without_answer_raises_unavailable_and_next_succeeds(pubsub: Pubsub, project: str) -> None:
    operations = BilledOperations()
    async with FlakyProxy(pubsub.address) as cut, Subscriber(pubsub.address, project, ["chunks"]) as subscriber:
        topics = PubsubTopics(project, "", operations, cut.address)
        await topics.publish("chunks", [b"before"])
        cut.refuse_connections()
        cut.drop_connections()
        await given_up(topics.publish("chunks", [b"lost"]))
        await cut.restore()
        await back(lambda: topics.publish("chunks", [b"after"]))
        cut.discard_responses()
        await given_up(topics.publish("chunks", [b"unknown"]))
        await cut.restore()
        await back(lambda: topics.publish("chunks", [b"last"]))

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
