"""The dispatch of a task by the fake Cloud Tasks: its HTTP request, the check of the response and the retry delay."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import aiohttp
from google.cloud import tasks_v2

Sign = Callable[[str, str], str]
"""(service account, audience) → an identity token."""

STRIPPED_HEADERS = ("host", "content-length", "user-agent", "authorization")
STRIPPED_PREFIXES = ("x-cloudtasks-", "x-google-", "x-appengine-")
DEFAULT_DEADLINE_SECONDS = 600.0


@dataclass
class QueuedTask:
    """A task in its queue."""

    task: tasks_v2.Task
    due_at: float
    running: bool = False
    first_attempt_at: float = 0.0
    last_status: int | None = None


@dataclass(frozen=True)
class DispatchResult:
    """The response to a dispatch.

    Without a response the status is None.
    """

    status: int | None
    retry_after: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the task is done."""
        return self.status is not None and 200 <= self.status < 300


def set_defaults(queue: tasks_v2.Queue) -> tasks_v2.Queue:
    """Set the fields that the creator of a queue left out to the service's defaults."""
    retry, rates = queue.retry_config, queue.rate_limits
    retry.max_attempts = retry.max_attempts or 100
    retry.max_doublings = retry.max_doublings or 16
    if "min_backoff" not in retry:
        retry.min_backoff = timedelta(seconds=0.1)
    if "max_backoff" not in retry:
        retry.max_backoff = timedelta(hours=1)
    rates.max_concurrent_dispatches = rates.max_concurrent_dispatches or 1000
    rates.max_dispatches_per_second = rates.max_dispatches_per_second or 500
    queue.state = tasks_v2.Queue.State(tasks_v2.Queue.State.RUNNING)
    return queue


def deadline_seconds(task: tasks_v2.Task) -> float:
    """Return the time limit of one dispatch."""
    seconds: float = task.dispatch_deadline.total_seconds() if "dispatch_deadline" in task else DEFAULT_DEADLINE_SECONDS
    return seconds


def retry_delay(dispatches: int, retry: tasks_v2.RetryConfig) -> float:
    """Return the delay after this number of dispatches.

    It doubles `max_doublings` times, then grows by a constant step, and never exceeds `max_backoff`.
    """
    min_seconds, max_seconds = retry.min_backoff.total_seconds(), retry.max_backoff.total_seconds()
    doublings = min(dispatches - 1, retry.max_doublings)
    steps = dispatches - 1 - doublings
    return float(min(min_seconds * 2**doublings * (1 + steps), max_seconds))


class Dispatcher:
    """Sends the HTTP requests of tasks."""

    def __init__(self, sign: Sign | None) -> None:
        self._sign = sign
        self._session: aiohttp.ClientSession | None = None

    async def post(self, queue_name: str, queued: QueuedTask) -> DispatchResult:
        """Send the request of a task once and count the dispatch.

        The headers contain the counts before it.
        """
        task, request = queued.task, queued.task.http_request
        headers = self._headers(queue_name, queued)
        task.dispatch_count += 1
        timeout = aiohttp.ClientTimeout(total=deadline_seconds(task))
        method = tasks_v2.HttpMethod(request.http_method).name
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False)
        try:
            async with self._session.request(
                method, request.url, data=request.body, headers=headers, timeout=timeout, skip_auto_headers=["Accept"]
            ) as response:
                await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError):
            queued.last_status = None
            return DispatchResult(None)
        task.response_count += 1
        queued.last_status = response.status
        retry_after = response.headers.get("Retry-After", "") if response.status in (429, 503) else ""
        return DispatchResult(response.status, float(retry_after) if retry_after.isdecimal() else 0.0)

    def _headers(self, queue_name: str, queued: QueuedTask) -> dict[str, str]:
        task, request = queued.task, queued.task.http_request
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in STRIPPED_HEADERS and not name.lower().startswith(STRIPPED_PREFIXES)
        }
        headers |= {
            "User-Agent": "Google-Cloud-Tasks",
            "X-CloudTasks-QueueName": queue_name.rpartition("/")[2],
            "X-CloudTasks-TaskName": task.name.rpartition("/")[2],
            "X-CloudTasks-TaskRetryCount": str(task.dispatch_count),
            "X-CloudTasks-TaskExecutionCount": str(task.response_count),
            "X-CloudTasks-TaskETA": f"{queued.due_at:.6f}",
        }
        if task.dispatch_count:
            headers["X-CloudTasks-TaskPreviousResponse"] = str(queued.last_status or 0)
        if self._sign and request.oidc_token.service_account_email:
            token = self._sign(request.oidc_token.service_account_email, request.oidc_token.audience or request.url)
            headers["Authorization"] = f"Bearer {token}"
        return headers

    async def close(self) -> None:
        """Close the connections."""
        if self._session:
            await self._session.close()
