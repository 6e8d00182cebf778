"""The fake Cloud Tasks server behaves as Google documents it, because other tests rely on it."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import grpc.aio
import pytest
from aiohttp import web
from google.api_core.exceptions import NotFound
from google.cloud import tasks_v2
from google.cloud.tasks_v2 import CloudTasksAsyncClient, Queue, RateLimits, RetryConfig
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcAsyncIOTransport

from tests.fakes.cloud_tasks import FakeCloudTasks, fake_cloud_tasks
from tests.harness.clock import ManualClock
from tests.harness.loopback import serve_app

LOCATION = "projects/p/locations/l"
QUEUE = f"{LOCATION}/queues/q"
OFTEN = RetryConfig(
    max_attempts=7, min_backoff=timedelta(seconds=10), max_backoff=timedelta(seconds=300), max_doublings=3
)


@dataclass
class Receiver:
    """A receiver that answers with its statuses in order and repeats the last one."""

    statuses: list[int] = field(default_factory=lambda: [200])
    headers: dict[str, str] = field(default_factory=dict)
    received: list[web.Request] = field(default_factory=list)
    url: str = ""

    async def take(self, request: web.Request) -> web.Response:
        self.received.append(request)
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return web.Response(status=status, headers=self.headers)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver, app = Receiver(), web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.take)
    async with serve_app(app) as url:
        receiver.url = f"{url}/"
        yield receiver


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[CloudTasksAsyncClient]:
    async with grpc.aio.insecure_channel(address) as channel:
        yield CloudTasksAsyncClient(transport=CloudTasksGrpcAsyncIOTransport(channel=channel))


@dataclass
class TaskServerFixture:
    """A server with one queue, a client, and the receiver of its tasks."""

    server: FakeCloudTasks
    client: CloudTasksAsyncClient
    receiver: Receiver
    clock: ManualClock

    async def make_queue(self, **settings: object) -> None:
        await self.client.create_queue(parent=LOCATION, queue=Queue({"name": QUEUE, **settings}))

    async def add(self, name: str = "t", **request: object) -> tasks_v2.Task:
        http_request = {"url": self.receiver.url, **request}
        task = {"name": f"{QUEUE}/tasks/{name}", "http_request": http_request}
        return await self.client.create_task({"parent": QUEUE, "task": task})

    async def remaining(self) -> list[tasks_v2.Task]:
        return [task async for task in await self.client.list_tasks(parent=QUEUE)]


@pytest.fixture
async def tasks(receiver: Receiver) -> AsyncIterator[TaskServerFixture]:
    clock = ManualClock()
    async with fake_cloud_tasks(clock) as (server, address), connected(address) as client:
        yield TaskServerFixture(server, client, receiver, clock)


async def test_task_server_retries_with_growing_backoff(tasks: TaskServerFixture) -> None:
    await tasks.make_queue(retry_config=OFTEN)
    tasks.receiver.statuses = [500, 404, 302, 429, 503, 400, 500]
    await tasks.add()
    pauses = []
    await tasks.server.deliver_due()
    while remaining := await tasks.remaining():
        dispatch_count, began = remaining[0].dispatch_count, tasks.clock.now()
        while (await tasks.remaining()) and (await tasks.remaining())[0].dispatch_count == dispatch_count:
            tasks.clock.advance(5)
            await tasks.server.deliver_due()
        pauses.append(tasks.clock.now() - began)

    assert pauses == [10, 20, 40, 80, 160, 240]
    assert len(tasks.receiver.received) == 7
    with pytest.raises(NotFound):
        await tasks.client.get_task(name=f"{QUEUE}/tasks/t")


async def test_task_server_honours_retry_after(tasks: TaskServerFixture) -> None:
    await tasks.make_queue(retry_config=OFTEN)
    tasks.receiver.statuses, tasks.receiver.headers = [503, 200], {"Retry-After": "100"}
    await tasks.add()
    await tasks.server.deliver_due()
    tasks.clock.advance(99)
    await tasks.server.deliver_due()
    assert len(tasks.receiver.received) == 1
    tasks.clock.advance(1)
    await tasks.server.deliver_due()

    assert (len(tasks.receiver.received), await tasks.remaining()) == (2, [])


async def test_task_server_limits_concurrent_dispatches(tasks: TaskServerFixture) -> None:
    await tasks.make_queue(rate_limits=RateLimits(max_concurrent_dispatches=2))
    for number in range(5):
        await tasks.add(f"t{number}")
    received = []
    for _ in range(3):
        await tasks.server.deliver_due()
        received.append(len(tasks.receiver.received))

    assert received == [2, 4, 5]


async def test_task_server_request_identifies_task(tasks: TaskServerFixture) -> None:
    await tasks.make_queue()
    tasks.receiver.statuses = [500, 200]
    await tasks.add(headers={"X-CloudTasks-TaskName": "other", "User-Agent": "me", "ce-id": "1"}, body=b"body")
    await tasks.server.deliver_due()
    tasks.clock.advance(1)
    await tasks.server.deliver_due()

    first, second = (request.headers for request in tasks.receiver.received)
    assert (first["X-CloudTasks-QueueName"], first["X-CloudTasks-TaskName"], first["ce-id"]) == ("q", "t", "1")
    assert first["User-Agent"] == "Google-Cloud-Tasks"
    assert (first["X-CloudTasks-TaskRetryCount"], first["X-CloudTasks-TaskExecutionCount"]) == ("0", "0")
    assert (second["X-CloudTasks-TaskRetryCount"], second["X-CloudTasks-TaskPreviousResponse"]) == ("1", "500")


async def test_task_server_paused_queue_waits_and_purged_queue_is_empty(tasks: TaskServerFixture) -> None:
    await tasks.make_queue()
    await tasks.client.pause_queue(name=QUEUE)
    await tasks.add("a")
    await tasks.server.deliver_due()
    assert tasks.receiver.received == []
    await tasks.client.resume_queue(name=QUEUE)
    await tasks.server.deliver_due()
    assert len(tasks.receiver.received) == 1
    await tasks.add("b")
    await tasks.client.purge_queue(name=QUEUE)
    await tasks.server.deliver_due()

    assert (len(tasks.receiver.received), await tasks.remaining()) == (1, [])


async def test_task_server_process_dispatches(receiver: Receiver) -> None:
    command = (sys.executable, "-m", "tests.fakes.cloud_tasks", "0")
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
    try:
        assert process.stdout
        address = (await process.stdout.readline()).decode().split()[1]
        async with connected(address) as client:
            await client.create_queue(parent=LOCATION, queue=Queue(name=QUEUE))
            await client.create_task({"parent": QUEUE, "task": {"http_request": {"url": receiver.url}}})
            async with asyncio.timeout(10):
                while not receiver.received or [task async for task in await client.list_tasks(parent=QUEUE)]:
                    await asyncio.sleep(0.01)
    finally:
        process.terminate()
        await process.wait()
