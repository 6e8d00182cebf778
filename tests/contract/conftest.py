"""The adapters that the suites run on.

A new adapter is one more parameter of a fixture. The fixtures close each adapter that they open.
"""

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest

from promptforge.adapters.gcp.billing import BilledOperations
from promptforge.adapters.gcp.documents import FirestoreDocuments
from promptforge.adapters.gcp.topics import PubsubTopics
from promptforge.adapters.local.database import Database
from promptforge.adapters.local.documents import SqliteDocuments
from promptforge.adapters.local.queue import SqliteQueue, SqliteTasks, SqliteTopics
from promptforge.ports.documents import Documents
from promptforge.ports.objects import Objects
from tests.contract.object_stores import FAKE_GCS_GAPS, Store, emulated, files, strict
from tests.contract.provider_adapters import (
    ADAPTERS,
    ANTHROPIC,
    GEMINI,
    MISTRAL,
    OPENAI,
    PROVIDER_APIS,
    HttpAdapter,
    ProviderAdapter,
    ProviderApi,
)
from tests.contract.provider_server import ProviderServer
from tests.contract.stores import (
    Messaging,
    OpenDatabase,
    OpenDocuments,
    OpenMessaging,
    OpenObjects,
    TopicAdapter,
    claimed,
)
from tests.fakes.gcs_emulator import GcsEmulator, gcs_emulator
from tests.fakes.pubsub_subscriber import Subscriber
from tests.harness.clock import ManualClock
from tests.harness.emulators import Firestore, Pubsub


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def open_database(tmp_path: Path) -> Iterator[OpenDatabase]:
    opened: list[Database] = []

    def open_again() -> Database:
        opened.append(Database(tmp_path / "state.db"))
        return opened[-1]

    yield open_again
    for database in opened:
        database.close()


@pytest.fixture(params=["sqlite", pytest.param("firestore", marks=pytest.mark.cloud)])
async def open_documents(
    request: pytest.FixtureRequest, open_database: OpenDatabase, project: str
) -> AsyncIterator[OpenDocuments]:
    """Open the same store anew at each call, as another process does."""
    opened: list[FirestoreDocuments] = []

    def firestore() -> Documents:
        emulator: Firestore = request.getfixturevalue("firestore")
        opened.append(FirestoreDocuments(project, "(default)", BilledOperations(), emulator.address))
        return opened[-1]

    makers: dict[str, OpenDocuments] = {"sqlite": lambda: SqliteDocuments(open_database()), "firestore": firestore}
    yield makers[request.param]
    for documents in opened:
        await documents.close()


@pytest.fixture
def documents(open_documents: OpenDocuments) -> Documents:
    return open_documents()


@pytest.fixture(scope="session")
def gcs_server() -> Iterator[GcsEmulator]:
    with gcs_emulator() as server:
        yield server


@pytest.fixture(params=["files", "strict", pytest.param("fake-gcs", marks=pytest.mark.cloud)])
async def store(
    request: pytest.FixtureRequest, open_database: OpenDatabase, clock: ManualClock, tmp_path: Path
) -> AsyncIterator[Store]:
    if request.param == "fake-gcs" and (gap := FAKE_GCS_GAPS.get(request.node.originalname)):
        request.applymarker(pytest.mark.xfail(strict=True, reason=gap))
    makers: dict[str, Callable[[], AbstractAsyncContextManager[Store]]] = {
        "files": lambda: files(tmp_path, open_database, clock),
        "strict": lambda: strict(clock),
        "fake-gcs": lambda: emulated(request.getfixturevalue("gcs_server"), clock),
    }
    async with makers[request.param]() as store:
        yield store


@pytest.fixture
def open_objects(store: Store) -> OpenObjects:
    """Open the bucket of that name anew at each call."""
    return store.open


@pytest.fixture
def objects(open_objects: OpenObjects) -> Objects:
    return open_objects("bucket")


@pytest.fixture(params=["sqlite"])
def open_messaging(request: pytest.FixtureRequest, open_database: OpenDatabase, clock: ManualClock) -> OpenMessaging:
    """Open the same topics and queues anew at each call."""

    def sqlite() -> Messaging:
        database = open_database()
        return Messaging(SqliteTopics(database), SqliteTasks(database, clock), SqliteQueue(database, clock))

    makers: dict[str, OpenMessaging] = {"sqlite": sqlite}
    return makers[request.param]


@pytest.fixture
def messaging(open_messaging: OpenMessaging) -> Messaging:
    return open_messaging()


@pytest.fixture(params=["sqlite", pytest.param("pubsub", marks=pytest.mark.cloud)])
async def topic_adapter(
    request: pytest.FixtureRequest, open_database: OpenDatabase, clock: ManualClock, project: str
) -> AsyncIterator[TopicAdapter]:
    if request.param == "sqlite":
        database = open_database()
        yield TopicAdapter(SqliteTopics(database), partial(claimed, SqliteQueue(database, clock)))
        return
    emulator: Pubsub = request.getfixturevalue("pubsub")
    topics = PubsubTopics(project, "test-", BilledOperations(), emulator.address)
    async with Subscriber(emulator.address, project, ["test-chunks", "test-others"]) as subscriber:
        yield TopicAdapter(topics, lambda topic, count: subscriber.receive(f"test-{topic}", count))
    await topics.close()


@pytest.fixture
async def server() -> AsyncIterator[ProviderServer]:
    server = ProviderServer()
    await server.start()
    yield server
    await server.close()


@pytest.fixture
def log_fields() -> Iterator[list[dict[str, object]]]:
    """The fields of every line that is logged."""
    logger, lines = logging.getLogger("promptforge"), []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.fields)  # type: ignore[attr-defined]

    handler = Collector()
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


@pytest.fixture(params=sorted(ADAPTERS))
async def adapter(request: pytest.FixtureRequest, server: ProviderServer) -> AsyncIterator[ProviderAdapter]:
    adapter: ProviderAdapter = ADAPTERS[request.param](server)
    yield adapter
    await adapter.close()


@pytest.fixture(params=sorted(PROVIDER_APIS))
async def http_adapter(request: pytest.FixtureRequest, server: ProviderServer) -> AsyncIterator[HttpAdapter]:
    """Each provider that is called over HTTP."""
    async for adapter in opened(PROVIDER_APIS[request.param], server):
        yield adapter


async def opened(api: ProviderApi, server: ProviderServer) -> AsyncIterator[HttpAdapter]:
    adapter = HttpAdapter(api, server)
    yield adapter
    await adapter.close()


@pytest.fixture
async def openai(server: ProviderServer) -> AsyncIterator[HttpAdapter]:
    async for adapter in opened(OPENAI, server):
        yield adapter


@pytest.fixture
async def anthropic(server: ProviderServer) -> AsyncIterator[HttpAdapter]:
    async for adapter in opened(ANTHROPIC, server):
        yield adapter


@pytest.fixture
async def gemini(server: ProviderServer) -> AsyncIterator[HttpAdapter]:
    async for adapter in opened(GEMINI, server):
        yield adapter


@pytest.fixture
async def mistral(server: ProviderServer) -> AsyncIterator[HttpAdapter]:
    async for adapter in opened(MISTRAL, server):
        yield adapter
