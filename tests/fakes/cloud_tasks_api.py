"""The queues of the fake Cloud Tasks and the calls on them, with the checks of the real service."""

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import grpc
from google.cloud import tasks_v2

from promptforge.ports.clock import Clock
from tests.fakes.cloud_tasks_dispatch import QueuedTask, deadline_seconds, set_defaults

QUEUE_NAME = re.compile(r"projects/[^/]+/locations/[^/]+/queues/[A-Za-z0-9-]{1,100}")
TASK_ID = re.compile(r"[A-Za-z0-9_-]{1,500}")
NAME_RESERVED_SECONDS = 3600.0
MAX_TASK_BYTES = 1024 * 1024
MAX_AHEAD_SECONDS = 30 * 24 * 3600.0
MIN_DEADLINE_SECONDS, MAX_DEADLINE_SECONDS = 15.0, 1800.0

Code = grpc.StatusCode
State = tasks_v2.Queue.State
POST = tasks_v2.HttpMethod.POST


class RpcError(Exception):
    """A failed call: the status code and the message that the client receives."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


@dataclass
class TaskQueue:
    """A queue with its tasks.

    `reserved_names` holds until when the name of a removed task cannot be used again. `running` counts the dispatches
    in flight.
    """

    queue: tasks_v2.Queue
    tasks: dict[str, QueuedTask] = field(default_factory=dict)
    reserved_names: dict[str, float] = field(default_factory=dict)
    running: int = 0

    @property
    def idle_tasks(self) -> list[QueuedTask]:
        """The tasks without a dispatch in flight."""
        return [task for task in self.tasks.values() if not task.running]

    def remove(self, task: QueuedTask, now: float) -> None:
        """Remove a task and reserve its name."""
        if self.tasks.pop(task.task.name, None):
            self.reserved_names[task.task.name] = now + NAME_RESERVED_SECONDS

    def due(self, now: float) -> list[QueuedTask]:
        """Return the tasks to dispatch now, oldest first, within the limit of concurrent dispatches."""
        if self.queue.state is not State.RUNNING:
            return []
        free = max(self.queue.rate_limits.max_concurrent_dispatches - self.running, 0)
        oldest_first = sorted(self.idle_tasks, key=lambda task: task.due_at)
        return [task for task in oldest_first[:free] if task.due_at <= now]

    def attempts_exhausted(self, task: QueuedTask, now: float) -> bool:
        """Return whether the retry configuration allows no further attempt."""
        retry = self.queue.retry_config
        limit = retry.max_retry_duration.total_seconds() if "max_retry_duration" in retry else 0.0
        return 0 < retry.max_attempts <= task.task.dispatch_count and now - task.first_attempt_at >= limit


class CloudTasksApi:
    """The methods of the service, named as in its client.

    `on_change` is called when a task may have become due.
    """

    def __init__(self, clock: Clock, on_change: Callable[[], None]) -> None:
        self._clock = clock
        self._on_change = on_change
        self.queues: dict[str, TaskQueue] = {}

    async def create_queue(self, request: tasks_v2.CreateQueueRequest) -> tasks_v2.Queue:
        name = request.queue.name
        if not QUEUE_NAME.fullmatch(name) or not name.startswith(f"{request.parent}/queues/"):
            raise RpcError(Code.INVALID_ARGUMENT, "Invalid queue name.")
        if name in self.queues:
            raise RpcError(Code.ALREADY_EXISTS, "Queue already exists.")
        self.queues[name] = TaskQueue(set_defaults(request.queue))
        return request.queue

    async def get_queue(self, request: tasks_v2.GetQueueRequest) -> tasks_v2.Queue:
        return self._queue(request.name).queue

    async def list_queues(self, request: tasks_v2.ListQueuesRequest) -> tasks_v2.ListQueuesResponse:
        prefix = f"{request.parent}/queues/"
        queues = [queue.queue for name, queue in self.queues.items() if name.startswith(prefix)]
        return tasks_v2.ListQueuesResponse(queues=queues)

    async def delete_queue(self, request: tasks_v2.DeleteQueueRequest) -> None:
        self._queue(request.name)
        del self.queues[request.name]

    async def purge_queue(self, request: tasks_v2.PurgeQueueRequest) -> tasks_v2.Queue:
        queue = self._queue(request.name)
        for task in list(queue.tasks.values()):
            queue.remove(task, self._clock.now())
        return queue.queue

    async def pause_queue(self, request: tasks_v2.PauseQueueRequest) -> tasks_v2.Queue:
        return self._set_state(request.name, State(State.PAUSED))

    async def resume_queue(self, request: tasks_v2.ResumeQueueRequest) -> tasks_v2.Queue:
        return self._set_state(request.name, State(State.RUNNING))

    async def create_task(self, request: tasks_v2.CreateTaskRequest) -> tasks_v2.Task:
        queue, task, now = self._queue(request.parent), request.task, self._clock.now()
        task.name = task.name or f"{request.parent}/tasks/{uuid.uuid4().int}"
        _validate(request.parent, task, now)
        if task.name in queue.tasks or queue.reserved_names.get(task.name, 0.0) > now:
            raise RpcError(Code.ALREADY_EXISTS, "The task cannot be created because a task with this name exists.")
        task.http_request.http_method = tasks_v2.HttpMethod(task.http_request.http_method or POST)
        task.create_time = datetime.fromtimestamp(now, UTC)
        if "schedule_time" not in task or task.schedule_time.timestamp() < now:
            task.schedule_time = task.create_time
        queue.tasks[task.name] = QueuedTask(task, task.schedule_time.timestamp())
        self._on_change()
        return task

    async def get_task(self, request: tasks_v2.GetTaskRequest) -> tasks_v2.Task:
        return self._task(request.name)[1].task

    async def list_tasks(self, request: tasks_v2.ListTasksRequest) -> tasks_v2.ListTasksResponse:
        return tasks_v2.ListTasksResponse(tasks=[task.task for task in self._queue(request.parent).tasks.values()])

    async def delete_task(self, request: tasks_v2.DeleteTaskRequest) -> None:
        queue, task = self._task(request.name)
        queue.remove(task, self._clock.now())

    async def run_task(self, request: tasks_v2.RunTaskRequest) -> tasks_v2.Task:
        task = self._task(request.name)[1]
        task.due_at = self._clock.now()
        self._on_change()
        return task.task

    def _queue(self, name: str) -> TaskQueue:
        if name not in self.queues:
            raise RpcError(Code.NOT_FOUND, "Queue does not exist.")
        return self.queues[name]

    def _task(self, name: str) -> tuple[TaskQueue, QueuedTask]:
        queue = self._queue(name.partition("/tasks/")[0])
        if name not in queue.tasks:
            raise RpcError(Code.NOT_FOUND, "The task does not exist.")
        return queue, queue.tasks[name]

    def _set_state(self, name: str, state: State) -> tasks_v2.Queue:
        queue = self._queue(name)
        queue.queue.state = state
        self._on_change()
        return queue.queue


def _validate(parent: str, task: tasks_v2.Task, now: float) -> None:
    prefix, _, task_id = task.name.rpartition("/tasks/")
    ahead = task.schedule_time.timestamp() - now if "schedule_time" in task else 0.0
    request, method = task.http_request, tasks_v2.HttpMethod
    errors = {
        "task.name does not belong to this queue": prefix != parent or not TASK_ID.fullmatch(task_id),
        "http_request.url requires http:// or https://": not request.url.startswith(("http://", "https://")),
        "http_request.body requires POST, PUT or PATCH": bool(request.body)
        and request.http_method not in (0, method.POST, method.PUT, method.PATCH),
        f"the task exceeds {MAX_TASK_BYTES} bytes": len(tasks_v2.Task.serialize(task)) > MAX_TASK_BYTES,
        "schedule_time is too far in the future": ahead > MAX_AHEAD_SECONDS,
        "dispatch_deadline is out of bounds": not MIN_DEADLINE_SECONDS
        <= deadline_seconds(task)
        <= MAX_DEADLINE_SECONDS,
    }
    if error := next((text for text, wrong in errors.items() if wrong), None):
        raise RpcError(Code.INVALID_ARGUMENT, error)
