"""The adapters of the task suite: the port, and the receiving side, which a test drives."""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Protocol

from aiohttp import web
from google.cloud import tasks_v2

from promptforge.adapters.gcp.billing import BilledOperations
from promptforge.adapters.gcp.tasks import CloudTasks, Target
from promptforge.adapters.local.database import Database
from promptforge.adapters.local.queue import SqliteQueue, SqliteTasks
from promptforge.ports.clock import Clock
from promptforge.ports.tasks import Tasks
from tests.fakes.cloud_tasks import FakeCloudTasks, fake_cloud_tasks
from tests.harness.loopback import serve_app

LOCATION = "projects/demo/locations/here"
QUEUES = ("splitter", "worker", "finalizer", "sweeper", "eraser")


class TaskBench(Protocol):
    """Tasks at both ends."""

    async def open(self) -> Tasks:
        """The queues anew, as another process opens them."""
        ...

    async def done(self, queue: str) -> list[bytes]:
        """Do all that is due, and tell what it was."""
        ...


class SqliteBench:
    """Claimed and acknowledged by hand."""

    def __init__(self, folder: Path, clock: Clock, stack: AsyncExitStack) -> None:
        self._path = folder / "state.db"
        self._clock = clock
        self._stack = stack

    async def open(self) -> Tasks:
        return SqliteTasks(self._database(), self._clock)

    async def done(self, queue: str) -> list[bytes]:
        deliveries = SqliteQueue(self._database(), self._clock)
        claimed = await deliveries.claim(f"queue:{queue}", 100, 60.0)
        for delivery in claimed:
            await deliveries.ack(delivery)
        return [delivery.body for delivery in claimed]

    def _database(self) -> Database:
        database = Database(self._path)
        self._stack.callback(database.close)
        return database


class CloudBench:
    """Dispatched by the server to a receiver that takes everything."""

    def __init__(
        self,
        server: FakeCloudTasks,
        address: str,
        target: Target,
        received: dict[str, list[bytes]],
        stack: AsyncExitStack,
    ) -> None:
        self.operations = BilledOperations()
        self.address = address
        self.target = target
        self._server = server
        self._received = received
        self._stack = stack

    async def open(self) -> Tasks:
        tasks = CloudTasks(self.target, self.operations, self.address)
        self._stack.push_async_callback(tasks.close)
        return tasks

    async def done(self, queue: str) -> list[bytes]:
        await self._server.deliver_due()
        return self._received.pop(queue, [])


@asynccontextmanager
async def sqlite_bench(folder: Path, clock: Clock) -> AsyncIterator[TaskBench]:
    async with AsyncExitStack() as stack:
        yield SqliteBench(folder, clock, stack)


@asynccontextmanager
async def cloud_bench(folder: Path, clock: Clock) -> AsyncIterator[CloudBench]:
    async with AsyncExitStack() as stack:
        server, address = await stack.enter_async_context(fake_cloud_tasks(clock))
        received = defaultdict[str, list[bytes]](list)

        async def take(request: web.Request) -> web.Response:
            received[request.match_info["function"]].append(await request.read())
            return web.Response(status=204)

        app = web.Application()
        app.router.add_post("/{function}", take)
        url = await stack.enter_async_context(serve_app(app))
        target = Target(LOCATION, "pf-", lambda function: f"{url}/{function}", "tasks@demo")
        await make_queues(server, target)
        yield CloudBench(server, address, target, received, stack)


async def make_queues(server: FakeCloudTasks, target: Target) -> None:
    """Create the queues as Terraform does."""
    for name in QUEUES:
        queue = tasks_v2.Queue(name=f"{target.location}/queues/{target.prefix}{name}")
        await server.create_queue(tasks_v2.CreateQueueRequest(parent=target.location, queue=queue))


BENCHES: dict[str, Callable[[Path, Clock], AbstractAsyncContextManager[TaskBench]]] = {
    "sqlite": sqlite_bench,
    "cloud-tasks": cloud_bench,
}
