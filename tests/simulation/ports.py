"""The fault layer: a wrapper around every port of an instance, over the real local adapters."""

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from promptforge.errors import Conflict, Unavailable
from promptforge.ports.documents import Document, Documents, Scalar, Version, Write
from promptforge.ports.objects import ObjectInfo, Objects
from promptforge.ports.tasks import Tasks
from promptforge.ports.topics import Topics
from tests.simulation.faults import STEP_PROBABILITY

if TYPE_CHECKING:
    from tests.simulation.instances import Instance

T = TypeVar("T")


async def _call(instance: "Instance", point: str, operation: Callable[[], Awaitable[T]]) -> T:
    """Call a store with every fault that may occur before and after the operation."""
    simulator = instance.simulator
    await instance.step(f"{point} before")
    await simulator.pause(point)
    if simulator.in_outage(point):
        simulator.record_fault("outage", f"{instance.name} {point}")
        raise Unavailable("simulation", "outage")
    if simulator.draws("unavailable", STEP_PROBABILITY):
        simulator.record_fault("unavailable", f"{instance.name} {point}")
        raise Unavailable("simulation", "unavailable")
    await instance.step(f"{point} sent")
    value = await operation()
    await instance.step(f"{point} done")
    if simulator.draws("response_lost", STEP_PROBABILITY):
        simulator.record_fault("response_lost", f"{instance.name} {point}")
        raise Unavailable("simulation", "response_lost")
    return value


class FaultyDocuments:
    """The documents port.

    It reports every commit that takes effect to the invariant checker.
    """

    def __init__(self, instance: "Instance", inner: Documents) -> None:
        self._instance = instance
        self._inner = inner

    async def get(self, path: str) -> Document | None:
        return await _call(self._instance, f"get {path}", lambda: self._inner.get(path))

    async def commit(self, writes: Sequence[Write]) -> list[Version]:
        async def commit() -> list[Version]:
            try:
                versions = await self._inner.commit(writes)
            except Conflict:
                self._instance.simulator.conflicts += 1
                raise
            self._instance.simulator.checker.committed(self._instance, writes)
            return versions

        return await _call(self._instance, f"commit {writes[0].path}", commit)

    async def query(
        self,
        collection: str,
        where: Mapping[str, Scalar] | None = None,
        *,
        order_by: str | None = None,
        limit: int,
        after: Document | None = None,
    ) -> list[Document]:
        async def query() -> list[Document]:
            return await self._inner.query(collection, where, order_by=order_by, limit=limit, after=after)

        return await _call(self._instance, f"query {collection}", query)

    async def count(self, collection: str, where: Mapping[str, Scalar] | None = None) -> int:
        return await _call(self._instance, f"count {collection}", lambda: self._inner.count(collection, where))

    async def sum(self, collection: str, fields: Sequence[str]) -> dict[str, int]:
        return await _call(self._instance, f"sum {collection}", lambda: self._inner.sum(collection, fields))


class FaultyObjects:
    """The objects port of one bucket.

    It reports every created object to the invariant checker.
    """

    def __init__(self, instance: "Instance", inner: Objects, bucket: str) -> None:
        self._instance = instance
        self._inner = inner
        self._bucket = bucket

    def _point(self, verb: str, name: str) -> str:
        return f"{verb} {self._bucket}/{name}"

    async def stat(self, name: str) -> ObjectInfo | None:
        return await _call(self._instance, self._point("stat", name), lambda: self._inner.stat(name))

    async def read(
        self, name: str, *, generation: int | None = None, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        async def read() -> list[bytes]:
            blocks = self._inner.read(name, generation=generation, start=start, end=end)
            return [block async for block in blocks]

        for block in await _call(self._instance, self._point("read", name), read):
            yield block

    async def create(self, name: str, data: bytes | AsyncIterable[bytes]) -> ObjectInfo:
        content = data if isinstance(data, bytes) else b"".join([block async for block in data])

        async def create() -> ObjectInfo:
            info = await self._inner.create(name, content)
            self._instance.simulator.checker.object_created(self._instance, self._bucket, name, content)
            return info

        return await _call(self._instance, self._point("create", name), create)

    async def compose(self, name: str, sources: Sequence[str]) -> ObjectInfo:
        return await _call(self._instance, self._point("compose", name), lambda: self._inner.compose(name, sources))

    async def list(self, prefix: str) -> AsyncIterator[str]:
        async def names() -> list[str]:
            return [name async for name in self._inner.list(prefix)]

        for name in await _call(self._instance, self._point("list", prefix), names):
            yield name

    async def delete(self, name: str) -> None:
        await _call(self._instance, self._point("delete", name), lambda: self._inner.delete(name))

    async def upload_url(self, name: str, expires_at: float) -> str:
        return await self._inner.upload_url(name, expires_at)

    async def download_url(self, name: str, filename: str, expires_at: float) -> str:
        return await self._inner.download_url(name, filename, expires_at)


class FaultyTopics:
    """The topics port."""

    def __init__(self, instance: "Instance", inner: Topics) -> None:
        self._instance = instance
        self._inner = inner

    async def publish(self, topic: str, messages: Sequence[bytes]) -> None:
        simulator = self._instance.simulator

        async def publish() -> None:
            if simulator.draws("half_published", STEP_PROBABILITY * 10):
                simulator.record_fault("half_published", self._instance.name)
                await self._inner.publish(topic, messages[: len(messages) // 2])
                raise Unavailable("simulation", "half_published")
            await self._inner.publish(topic, messages)

        await _call(self._instance, f"publish {topic}", publish)
        simulator.platform.wake()


class FaultyTasks:
    """The tasks port."""

    def __init__(self, instance: "Instance", inner: Tasks) -> None:
        self._instance = instance
        self._inner = inner

    async def enqueue(self, queue: str, body: bytes, *, name: str, not_before: float = 0.0) -> None:
        async def enqueue() -> None:
            await self._inner.enqueue(queue, body, name=name, not_before=not_before)

        await _call(self._instance, f"enqueue {queue} {name}", enqueue)
        self._instance.simulator.platform.wake()
