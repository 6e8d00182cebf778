"""A fake of Cloud Tasks v2 over real gRPC.

It rejects the requests that the real service rejects.

`python -m tests.fakes.cloud_tasks PORT` runs one as a process of its own. Not implemented: dispatches per second,
paging, IAM and App Engine targets.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
from google.cloud import tasks_v2

from promptforge.ports.clock import Clock
from tests.fakes.cloud_tasks_api import CloudTasksApi, RpcError, TaskQueue
from tests.fakes.cloud_tasks_dispatch import Dispatcher, QueuedTask, Sign, retry_delay

SERVICE = "google.cloud.tasks.v2.CloudTasks"
MIN_POLL_SECONDS, MAX_POLL_SECONDS = 0.005, 60.0

Method = Callable[[Any], Awaitable[Any]]


class FakeCloudTasks:
    """The queues, the calls on them and the dispatch of their tasks.

    Time is the time of `clock`. With a manual clock nothing happens by itself: a test calls `deliver_due`.
    With the real clock, `run` dispatches continuously.
    """

    def __init__(self, clock: Clock, sign: Sign | None = None) -> None:
        self._clock = clock
        self._changed = asyncio.Event()
        self.api = CloudTasksApi(clock, self._changed.set)
        self._dispatcher = Dispatcher(sign)
        self._attempts: set[asyncio.Task[None]] = set()

    async def create_queue(self, request: tasks_v2.CreateQueueRequest) -> tasks_v2.Queue:
        """Create a queue, as a call over gRPC does."""
        return await self.api.create_queue(request)

    async def deliver_due(self) -> None:
        """Dispatch each due task once and wait for the responses."""
        await asyncio.gather(*self._start_due())

    async def run(self) -> None:
        """Dispatch tasks when they become due, until cancelled."""
        while True:
            self._changed.clear()
            self._start_due()
            due_at = min(
                (task.due_at for queue in self.api.queues.values() for task in queue.idle_tasks), default=float("inf")
            )
            wait = max(due_at - self._clock.now(), MIN_POLL_SECONDS)
            try:
                await asyncio.wait_for(self._changed.wait(), min(wait, MAX_POLL_SECONDS))
            except TimeoutError:
                continue

    async def close(self) -> None:
        """Cancel the attempts in flight and close the connections."""
        for attempt in self._attempts:
            attempt.cancel()
        await asyncio.gather(*self._attempts, return_exceptions=True)
        await self._dispatcher.close()

    def _start_due(self) -> list[asyncio.Task[None]]:
        started = []
        for queue in self.api.queues.values():
            for task in queue.due(self._clock.now()):
                task.running = True
                queue.running += 1
                started.append(asyncio.create_task(self._attempt(queue, task)))
        for attempt in started:
            self._attempts.add(attempt)
            attempt.add_done_callback(self._attempts.discard)
        return started

    async def _attempt(self, queue: TaskQueue, task: QueuedTask) -> None:
        task.first_attempt_at = task.first_attempt_at or self._clock.now()
        try:
            result = await self._dispatcher.post(queue.queue.name, task)
        finally:
            queue.running -= 1
            task.running = False
            self._changed.set()
        now = self._clock.now()
        if result.ok or queue.attempts_exhausted(task, now):
            queue.remove(task, now)
        else:
            delay = retry_delay(task.task.dispatch_count, queue.queue.retry_config)
            task.due_at = now + max(delay, result.retry_after)


def _handlers(api: CloudTasksApi) -> dict[str, grpc.RpcMethodHandler]:
    """Return one handler per method of the API.

    The classes of the official client serialize the messages.
    """
    handlers = {}
    for name in tasks_v2.CloudTasksClient.__dict__:
        method: Method | None = getattr(api, name, None)
        rpc_name = "".join(word.capitalize() for word in name.split("_"))
        request = getattr(tasks_v2, f"{rpc_name}Request", None)
        if method and request:
            handlers[rpc_name] = grpc.unary_unary_rpc_method_handler(
                _handler(method), request_deserializer=request.deserialize, response_serializer=_serialize
            )
    return handlers


def _handler(method: Method) -> Callable[[Any, Any], Awaitable[Any]]:
    async def handle(request: Any, context: Any) -> Any:
        try:
            return await method(request)
        except RpcError as exc:
            await context.abort(exc.code, exc.text)

    return handle


def _serialize(message: Any) -> bytes:
    if message is None:
        return b""  # google.protobuf.Empty
    content: bytes = type(message).serialize(message)
    return content


@asynccontextmanager
async def fake_cloud_tasks(
    clock: Clock, sign: Sign | None = None, port: int = 0
) -> AsyncIterator[tuple[FakeCloudTasks, str]]:
    """Run a server on this port, or on a free one, and yield it with its address."""
    tasks, server = FakeCloudTasks(clock, sign), grpc.aio.server()
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, _handlers(tasks.api))])
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield tasks, f"127.0.0.1:{port}"
    finally:
        await server.stop(None)
        await tasks.close()


class _WallClock:
    def now(self) -> float:
        return time.time()


async def main(port: int) -> None:
    """Serve until the process is killed."""
    async with fake_cloud_tasks(_WallClock(), port=port) as (tasks, address):
        sys.stdout.write(f"listening {address}\n")
        sys.stdout.flush()
        await tasks.run()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
