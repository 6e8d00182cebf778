"""Cloud Tasks v2 over real gRPC, as far as a client of ours can see it; it refuses what the real one refuses.

`python -m tests.fakes.cloud_tasks PORT` runs one as a process of its own. Not there: dispatches per second, paging,
IAM, App Engine targets.
"""

import asyncio
import re
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import grpc
import grpc.aio
from google.cloud import tasks_v2

from promptforge.ports.clock import Clock
from tests.fakes.cloud_tasks_dispatch import Dispatch, Held, Sign, fill_in, pause_before

SERVICE = "google.cloud.tasks.v2.CloudTasks"
QUEUE_NAME = re.compile(r"projects/[^/]+/locations/[^/]+/queues/[A-Za-z0-9-]{1,100}")
TASK_ID = re.compile(r"[A-Za-z0-9_-]{1,500}")
NAME_TAKEN_SECONDS = 3600.0
MAX_TASK_BYTES = 1024 * 1024
MAX_AHEAD_SECONDS = 30 * 24 * 3600.0
DISPATCH_BOUNDS = (15.0, 1800.0)

Code = grpc.StatusCode
State = tasks_v2.Queue.State
POST = tasks_v2.HttpMethod.POST
Method = Callable[[Any], Awaitable[Any]]


class Refused(Exception):
    """What a caller is told."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


@dataclass
class Line:
    """A queue with its tasks, and until when the names of those that are gone stay taken."""

    queue: tasks_v2.Queue
    tasks: dict[str, Held] = field(default_factory=dict)
    taken: dict[str, float] = field(default_factory=dict)
    running: int = 0

    def drop(self, held: Held, now: float) -> None:
        """The task is over."""
        if self.tasks.pop(held.task.name, None):
            self.taken[held.task.name] = now + NAME_TAKEN_SECONDS

    def due(self, now: float) -> list[Held]:
        """What is to be dispatched now, oldest first, within what may run at once."""
        if self.queue.state is not State.RUNNING:
            return []
        waiting = sorted((held for held in self.tasks.values() if not held.running), key=lambda held: held.due_at)
        free = self.queue.rate_limits.max_concurrent_dispatches - self.running
        return [held for held in waiting[: max(free, 0)] if held.due_at <= now]


class TaskServer:
    """The state and the calls on it. Time is the clock's; with one that is moved by hand nothing happens by itself:
    `bring` dispatches what is due and returns when it was answered. `run` does so all the time, by the real clock."""

    def __init__(self, clock: Clock, sign: Sign | None = None) -> None:
        self._clock = clock
        self._lines: dict[str, Line] = {}
        self._dispatch = Dispatch(sign)
        self._news = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()

    async def bring(self) -> None:
        """Dispatch all that is due, once each, and wait for the answers."""
        await asyncio.gather(*self._launch())

    async def run(self) -> None:
        """Dispatch whatever comes due, until cancelled."""
        while True:
            self._news.clear()
            self._launch()
            pending = [held.due_at for line in self._lines.values() for held in line.tasks.values() if not held.running]
            try:
                wait = max(min(pending, default=float("inf")) - self._clock.now(), 0.005)
                await asyncio.wait_for(self._news.wait(), min(wait, 60.0))
            except TimeoutError:
                continue

    async def close(self) -> None:
        """Stop what is under way."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self._dispatch.close()

    def _launch(self) -> list[asyncio.Task[None]]:
        launched = []
        for line in self._lines.values():
            for held in line.due(self._clock.now()):
                held.running = True
                line.running += 1
                launched.append(asyncio.create_task(self._attempt(line, held)))
        for task in launched:
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        return launched

    async def _attempt(self, line: Line, held: Held) -> None:
        began = self._clock.now()
        held.first_at = held.first_at or began
        try:
            answer = await self._dispatch.post(line.queue.name, held)
        finally:
            line.running -= 1
            held.running = False
            self._news.set()
        now, retry = self._clock.now(), line.queue.retry_config
        limit = retry.max_retry_duration.total_seconds() if "max_retry_duration" in retry else 0.0
        tried_enough = 0 < retry.max_attempts <= held.task.dispatch_count and now - held.first_at >= limit
        if answer.good or tried_enough:
            line.drop(held, now)
        else:
            held.due_at = now + max(pause_before(held.task.dispatch_count, retry), answer.retry_after)

    # The calls

    async def create_queue(self, request: tasks_v2.CreateQueueRequest) -> tasks_v2.Queue:
        name = request.queue.name
        if not QUEUE_NAME.fullmatch(name) or not name.startswith(f"{request.parent}/queues/"):
            raise Refused(Code.INVALID_ARGUMENT, "Invalid queue name.")
        if name in self._lines:
            raise Refused(Code.ALREADY_EXISTS, "Queue already exists.")
        self._lines[name] = Line(fill_in(request.queue))
        return request.queue

    async def get_queue(self, request: tasks_v2.GetQueueRequest) -> tasks_v2.Queue:
        return self._line(request.name).queue

    async def list_queues(self, request: tasks_v2.ListQueuesRequest) -> tasks_v2.ListQueuesResponse:
        found = [line.queue for name, line in self._lines.items() if name.startswith(f"{request.parent}/queues/")]
        return tasks_v2.ListQueuesResponse(queues=found)

    async def delete_queue(self, request: tasks_v2.DeleteQueueRequest) -> None:
        self._line(request.name)
        del self._lines[request.name]

    async def purge_queue(self, request: tasks_v2.PurgeQueueRequest) -> tasks_v2.Queue:
        line = self._line(request.name)
        for held in list(line.tasks.values()):
            line.drop(held, self._clock.now())
        return line.queue

    async def pause_queue(self, request: tasks_v2.PauseQueueRequest) -> tasks_v2.Queue:
        return self._set(request.name, State(State.PAUSED))

    async def resume_queue(self, request: tasks_v2.ResumeQueueRequest) -> tasks_v2.Queue:
        return self._set(request.name, State(State.RUNNING))

    async def create_task(self, request: tasks_v2.CreateTaskRequest) -> tasks_v2.Task:
        line, task, now = self._line(request.parent), request.task, self._clock.now()
        task.name = task.name or f"{request.parent}/tasks/{uuid.uuid4().int}"
        self._check(request.parent, task, now)
        if task.name in line.tasks or line.taken.get(task.name, 0.0) > now:
            raise Refused(Code.ALREADY_EXISTS, "The task cannot be created because a task with this name exists.")
        task.http_request.http_method = tasks_v2.HttpMethod(task.http_request.http_method or POST)
        task.create_time = datetime.fromtimestamp(now, UTC)
        if "schedule_time" not in task or task.schedule_time.timestamp() < now:
            task.schedule_time = task.create_time
        line.tasks[task.name] = Held(task, task.schedule_time.timestamp())
        self._news.set()
        return task

    async def get_task(self, request: tasks_v2.GetTaskRequest) -> tasks_v2.Task:
        return self._held(request.name)[1].task

    async def list_tasks(self, request: tasks_v2.ListTasksRequest) -> tasks_v2.ListTasksResponse:
        return tasks_v2.ListTasksResponse(tasks=[held.task for held in self._line(request.parent).tasks.values()])

    async def delete_task(self, request: tasks_v2.DeleteTaskRequest) -> None:
        line, held = self._held(request.name)
        line.drop(held, self._clock.now())

    async def run_task(self, request: tasks_v2.RunTaskRequest) -> tasks_v2.Task:
        held = self._held(request.name)[1]
        held.due_at = self._clock.now()
        self._news.set()
        return held.task

    def _line(self, name: str) -> Line:
        if name not in self._lines:
            raise Refused(Code.NOT_FOUND, "Queue does not exist.")
        return self._lines[name]

    def _held(self, name: str) -> tuple[Line, Held]:
        line = self._line(name.partition("/tasks/")[0])
        if name not in line.tasks:
            raise Refused(Code.NOT_FOUND, "The task does not exist.")
        return line, line.tasks[name]

    def _set(self, name: str, state: State) -> tasks_v2.Queue:
        line = self._line(name)
        line.queue.state = state
        self._news.set()
        return line.queue

    def _check(self, parent: str, task: tasks_v2.Task, now: float) -> None:
        prefix, _, task_id = task.name.rpartition("/tasks/")
        ahead = task.schedule_time.timestamp() - now if "schedule_time" in task else 0.0
        deadline = task.dispatch_deadline.total_seconds() if "dispatch_deadline" in task else 600.0
        request, method = task.http_request, tasks_v2.HttpMethod
        faults = {
            "the name is not one of this queue": prefix != parent or not TASK_ID.fullmatch(task_id),
            "http_request.url is no address": not request.url.startswith(("http://", "https://")),
            "a body goes with POST, PUT and PATCH only": bool(request.body)
            and request.http_method not in (0, method.POST, method.PUT, method.PATCH),
            "the task is too large": len(tasks_v2.Task.serialize(task)) > MAX_TASK_BYTES,
            "schedule_time is too far in the future": ahead > MAX_AHEAD_SECONDS,
            "dispatch_deadline is out of bounds": not DISPATCH_BOUNDS[0] <= deadline <= DISPATCH_BOUNDS[1],
        }
        if fault := next((text for text, wrong in faults.items() if wrong), None):
            raise Refused(Code.INVALID_ARGUMENT, fault)


def _handlers(server: TaskServer) -> dict[str, grpc.RpcMethodHandler]:
    """One for each call that the server has a method for; the client's own classes say how they are written."""
    found = {}
    for name in tasks_v2.CloudTasksClient.__dict__:
        method: Method | None = getattr(server, name, None)
        words = "".join(word.capitalize() for word in name.split("_"))
        request = getattr(tasks_v2, f"{words}Request", None)
        if method and request:
            found[words] = grpc.unary_unary_rpc_method_handler(
                _answering(method), request_deserializer=request.deserialize, response_serializer=_serialized
            )
    return found


def _answering(method: Method) -> Callable[[Any, Any], Awaitable[Any]]:
    async def answer(request: Any, context: Any) -> Any:
        try:
            return await method(request)
        except Refused as exc:
            await context.abort(exc.code, exc.text)

    return answer


def _serialized(message: Any) -> bytes:
    if message is None:
        return b""  # google.protobuf.Empty
    written: bytes = type(message).serialize(message)
    return written


@asynccontextmanager
async def task_server(clock: Clock, sign: Sign | None = None, port: int = 0) -> AsyncIterator[tuple[TaskServer, str]]:
    """A server and its address, on a port or a free one."""
    server, transport = TaskServer(clock, sign), grpc.aio.server()
    transport.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, _handlers(server))])
    port = transport.add_insecure_port(f"127.0.0.1:{port}")
    await transport.start()
    try:
        yield server, f"127.0.0.1:{port}"
    finally:
        await transport.stop(None)
        await server.close()


class _WallClock:
    def now(self) -> float:
        return time.time()


async def main(port: int) -> None:
    """Serve until killed."""
    async with task_server(_WallClock(), port=port) as (server, address):
        sys.stdout.write(f"listening {address}\n")
        sys.stdout.flush()
        await server.run()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
