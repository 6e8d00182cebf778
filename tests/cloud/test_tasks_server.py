"""The Cloud Tasks server of the tests keeps to what Google documents, or what is proved with it proves nothing."""

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

from tests.fakes.cloud_tasks import TaskServer, task_server
from tests.harness.clock import HandClock
from tests.harness.loopback import listening

LOCATION = "projects/p/locations/l"
QUEUE = f"{LOCATION}/queues/q"
OFTEN = RetryConfig(
    max_attempts=7, min_backoff=timedelta(seconds=10), max_backoff=timedelta(seconds=300), max_doublings=3
)


@dataclass
class Receiver:
    """Answers with the next of its statuses, the last for ever."""

    statuses: list[int] = field(default_factory=lambda: [200])
    headers: dict[str, str] = field(default_factory=dict)
    seen: list[web.Request] = field(default_factory=list)
    url: str = ""

    async def take(self, request: web.Request) -> web.Response:
        self.seen.append(request)
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return web.Response(status=status, headers=self.headers)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver, app = Receiver(), web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.take)
    async with listening(app) as url:
        receiver.url = f"{url}/"
        yield receiver


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[CloudTasksAsyncClient]:
    async with grpc.aio.insecure_channel(address) as channel:
        yield CloudTasksAsyncClient(transport=CloudTasksGrpcAsyncIOTransport(channel=channel))


@dataclass
class Desk:
    """A server with one queue, a client, and where tasks arrive."""

    server: TaskServer
    client: CloudTasksAsyncClient
    receiver: Receiver
    clock: HandClock

    async def make_queue(self, **settings: object) -> None:
        await self.client.create_queue(parent=LOCATION, queue=Queue({"name": QUEUE, **settings}))

    async def add(self, name: str = "t", **request: object) -> tasks_v2.Task:
        asked = {"url": self.receiver.url, **request}
        task = {"name": f"{QUEUE}/tasks/{name}", "http_request": asked}
        return await self.client.create_task({"parent": QUEUE, "task": task})

    async def left(self) -> list[tasks_v2.Task]:
        return [task async for task in await self.client.list_tasks(parent=QUEUE)]


@pytest.fixture
async def desk(receiver: Receiver) -> AsyncIterator[Desk]:
    clock = HandClock()
    async with task_server(clock) as (server, address), connected(address) as client:
        yield Desk(server, client, receiver, clock)


async def test_a_failed_task_comes_again_after_pauses_that_double_then_grow_evenly_to_the_limit(desk: Desk) -> None:
    await desk.make_queue(retry_config=OFTEN)
    desk.receiver.statuses = [500, 404, 302, 429, 503, 400, 500]
    await desk.add()
    pauses = []
    await desk.server.bring()
    while left := await desk.left():
        tried, began = left[0].dispatch_count, desk.clock.now()
        while (await desk.left()) and (await desk.left())[0].dispatch_count == tried:
            desk.clock.move(5)
            await desk.server.bring()
        pauses.append(desk.clock.now() - began)

    assert pauses == [10, 20, 40, 80, 160, 240]
    assert len(desk.receiver.seen) == 7
    with pytest.raises(NotFound):
        await desk.client.get_task(name=f"{QUEUE}/tasks/t")


async def test_an_overloaded_function_says_how_long_to_leave_it_alone(desk: Desk) -> None:
    await desk.make_queue(retry_config=OFTEN)
    desk.receiver.statuses, desk.receiver.headers = [503, 200], {"Retry-After": "100"}
    await desk.add()
    await desk.server.bring()
    desk.clock.move(99)
    await desk.server.bring()
    assert len(desk.receiver.seen) == 1
    desk.clock.move(1)
    await desk.server.bring()

    assert (len(desk.receiver.seen), await desk.left()) == (2, [])


async def test_no_more_run_at_once_than_the_queue_allows(desk: Desk) -> None:
    await desk.make_queue(rate_limits=RateLimits(max_concurrent_dispatches=2))
    for number in range(5):
        await desk.add(f"t{number}")
    seen = []
    for _ in range(3):
        await desk.server.bring()
        seen.append(len(desk.receiver.seen))

    assert seen == [2, 4, 5]


async def test_a_request_tells_which_task_it_is_and_cannot_pass_for_another(desk: Desk) -> None:
    await desk.make_queue()
    desk.receiver.statuses = [500, 200]
    await desk.add(headers={"X-CloudTasks-TaskName": "other", "User-Agent": "me", "ce-id": "1"}, body=b"body")
    await desk.server.bring()
    desk.clock.move(1)
    await desk.server.bring()

    first, second = (request.headers for request in desk.receiver.seen)
    assert (first["X-CloudTasks-QueueName"], first["X-CloudTasks-TaskName"], first["ce-id"]) == ("q", "t", "1")
    assert first["User-Agent"] == "Google-Cloud-Tasks"
    assert (first["X-CloudTasks-TaskRetryCount"], first["X-CloudTasks-TaskExecutionCount"]) == ("0", "0")
    assert (second["X-CloudTasks-TaskRetryCount"], second["X-CloudTasks-TaskPreviousResponse"]) == ("1", "500")


async def test_a_paused_queue_waits_and_a_purged_one_is_empty(desk: Desk) -> None:
    await desk.make_queue()
    await desk.client.pause_queue(name=QUEUE)
    await desk.add("a")
    await desk.server.bring()
    assert desk.receiver.seen == []
    await desk.client.resume_queue(name=QUEUE)
    await desk.server.bring()
    assert len(desk.receiver.seen) == 1
    await desk.add("b")
    await desk.client.purge_queue(name=QUEUE)
    await desk.server.bring()

    assert (len(desk.receiver.seen), await desk.left()) == (1, [])


async def test_a_server_of_its_own_process_dispatches_by_itself(receiver: Receiver) -> None:
    command = (sys.executable, "-m", "tests.fakes.cloud_tasks", "0")
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
    try:
        assert process.stdout
        address = (await process.stdout.readline()).decode().split()[1]
        async with connected(address) as client:
            await client.create_queue(parent=LOCATION, queue=Queue(name=QUEUE))
            await client.create_task({"parent": QUEUE, "task": {"http_request": {"url": receiver.url}}})
            async with asyncio.timeout(10):
                while not receiver.seen or [task async for task in await client.list_tasks(parent=QUEUE)]:
                    await asyncio.sleep(0.01)
    finally:
        process.terminate()
        await process.wait()
