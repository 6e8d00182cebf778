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


class TaskAdapter(Protocol):
    """The enqueuing and the receiving side of tasks."""

    async def open(self) -> Tasks:
        """Open the queues anew, as another process does."""
        ...

    async def done(self, queue: str) -> list[bytes]:
        """Complete every due task and return the bodies."""
        ...


class SqliteTaskAdapter:
    """Tasks in SQLite, which the test claims and acknowledges."""

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


class CloudTaskAdapter:
    """Tasks that the fake server dispatches to a receiver, which accepts all of them."""

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
async def sqlite_task_adapter(folder: Path, clock: Clock) -> AsyncIterator[TaskAdapter]:
    async with AsyncExitStack() as stack:
        yield SqliteTaskAdapter(folder, clock, stack)


@asynccontextmanager
async def cloud_task_adapter(folder: Path, clock: Clock) -> AsyncIterator[CloudTaskAdapter]:
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
        yield CloudTaskAdapter(server, address, target, received, stack)


async def make_queues(server: FakeCloudTasks, target: Target) -> None:
    """Create the queues as Terraform does."""
    for name in QUEUES:
        queue = tasks_v2.Queue(name=f"{target.location}/queues/{target.prefix}{name}")
        await server.create_queue(tasks_v2.CreateQueueRequest(parent=target.location, queue=queue))


ADAPTERS: dict[str, Callable[[Path, Clock], AbstractAsyncContextManager[TaskAdapter]]] = {
    "sqlite": sqlite_task_adapter,
    "cloud-tasks": cloud_task_adapter,
}
