"""What the suite of tasks runs on: the port, and the other end, where a test does what is due."""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Protocol

from aiohttp import web
from google.cloud import tasks_v2

from promptforge.adapters.gcp.operations import Operations
from promptforge.adapters.gcp.tasks import CloudTasks
from promptforge.adapters.local.database import Database
from promptforge.adapters.local.deliveries import SqliteDeliveries, SqliteTasks
from promptforge.ports.clock import Clock
from promptforge.ports.tasks import Tasks
from promptforge.settings import Settings
from tests.support.cloud_tasks import TaskServer, task_server

QUEUES = ("splitter", "worker", "finalizer", "sweeper")


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
        deliveries = SqliteDeliveries(self._database(), self._clock)
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

    def __init__(self, server: TaskServer, settings: Settings, stack: AsyncExitStack) -> None:
        self.operations = Operations()
        self.server = server
        self.settings = settings
        self.received: dict[str, list[bytes]] = defaultdict(list)
        self._stack = stack

    async def open(self) -> Tasks:
        tasks = CloudTasks(self.settings, self.operations)
        self._stack.push_async_callback(tasks.close)
        return tasks

    async def done(self, queue: str) -> list[bytes]:
        await self.server.bring()
        return self.received.pop(queue, [])

    async def take(self, request: web.Request) -> web.Response:
        """Where the tasks of every queue arrive."""
        self.received[request.match_info["function"]].append(await request.read())
        return web.Response(status=204)


@asynccontextmanager
async def sqlite_bench(folder: Path, clock: Clock) -> AsyncIterator[TaskBench]:
    async with AsyncExitStack() as stack:
        yield SqliteBench(folder, clock, stack)


@asynccontextmanager
async def cloud_bench(folder: Path, clock: Clock) -> AsyncIterator[CloudBench]:
    async with AsyncExitStack() as stack:
        server, address = await stack.enter_async_context(task_server(clock))
        app = web.Application(client_max_size=2 * 1024 * 1024)
        runner = web.AppRunner(app, access_log=None)
        stack.push_async_callback(runner.cleanup)
        settings = Settings(
            project="demo", region="here", name_prefix="pf-", task_account="tasks@demo", tasks_emulator=address
        )
        bench = CloudBench(server, settings, stack)
        app.router.add_post("/{function}", bench.take)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/{{function}}"
        bench.settings = settings.model_copy(update={"function_url": url})
        await make_queues(server, bench.settings)
        yield bench


async def make_queues(server: TaskServer, settings: Settings) -> None:
    """What Terraform makes."""
    parent = f"projects/{settings.project}/locations/{settings.region}"
    for name in QUEUES:
        queue = tasks_v2.Queue(name=f"{parent}/queues/{settings.name_prefix}{name}")
        await server.create_queue(tasks_v2.CreateQueueRequest(parent=parent, queue=queue))


BENCHES: dict[str, Callable[[Path, Clock], AbstractAsyncContextManager[TaskBench]]] = {
    "sqlite": sqlite_bench,
    "cloud-tasks": cloud_bench,
}
