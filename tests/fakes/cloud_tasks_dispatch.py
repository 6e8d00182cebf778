"""How Cloud Tasks brings a task: the request it makes, what counts as done, how long it waits after a failure."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import aiohttp
from google.cloud import tasks_v2

Sign = Callable[[str, str], str]
"""(service account, audience) → an identity token."""

STRIPPED = ("host", "content-length", "user-agent", "authorization")
STRIPPED_PREFIXES = ("x-cloudtasks-", "x-google-", "x-appengine-")


@dataclass
class Held:
    """A task in its queue."""

    task: tasks_v2.Task
    due_at: float
    running: bool = False
    first_at: float = 0.0
    last_status: int | None = None


@dataclass(frozen=True)
class Answer:
    """What came back. Without an answer the status is None."""

    status: int | None
    retry_after: float = 0.0

    @property
    def good(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def fill_in(queue: tasks_v2.Queue) -> tasks_v2.Queue:
    """The values a queue has where its maker names none."""
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


def pause_before(dispatches: int, retry: tasks_v2.RetryConfig) -> float:
    """After so many tries: doubled each time, from `max_doublings` on by the same step, never above `max_backoff`."""
    least, most = retry.min_backoff.total_seconds(), retry.max_backoff.total_seconds()
    doublings = min(dispatches - 1, retry.max_doublings)
    steps = dispatches - 1 - doublings
    return float(min(least * 2**doublings * (1 + steps), most))


class Dispatch:
    """Makes the requests."""

    def __init__(self, sign: Sign | None) -> None:
        self._sign = sign
        self._session: aiohttp.ClientSession | None = None

    async def post(self, queue: str, held: Held) -> Answer:
        """Make a task's request once; its counts are those the next request tells."""
        task = held.task
        headers = self._headers(queue, held)
        task.dispatch_count += 1
        deadline = task.dispatch_deadline.total_seconds() if "dispatch_deadline" in task else 600.0
        request, timeout = task.http_request, aiohttp.ClientTimeout(total=deadline)
        method = tasks_v2.HttpMethod(request.http_method).name
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False)
        try:
            async with self._session.request(
                method, request.url, data=request.body, headers=headers, timeout=timeout, skip_auto_headers=["Accept"]
            ) as response:
                await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError):
            held.last_status = None
            return Answer(None)
        task.response_count += 1
        held.last_status = response.status
        wait = response.headers.get("Retry-After", "") if response.status in (429, 503) else ""
        return Answer(response.status, float(wait) if wait.isdecimal() else 0.0)

    def _headers(self, queue: str, held: Held) -> dict[str, str]:
        task, request = held.task, held.task.http_request
        kept = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in STRIPPED and not name.lower().startswith(STRIPPED_PREFIXES)
        }
        kept |= {
            "User-Agent": "Google-Cloud-Tasks",
            "X-CloudTasks-QueueName": queue.rpartition("/")[2],
            "X-CloudTasks-TaskName": task.name.rpartition("/")[2],
            "X-CloudTasks-TaskRetryCount": str(task.dispatch_count),
            "X-CloudTasks-TaskExecutionCount": str(task.response_count),
            "X-CloudTasks-TaskETA": f"{held.due_at:.6f}",
        }
        if task.dispatch_count:
            kept["X-CloudTasks-TaskPreviousResponse"] = str(held.last_status or 0)
        if self._sign and request.oidc_token.service_account_email:
            token = self._sign(request.oidc_token.service_account_email, request.oidc_token.audience or request.url)
            kept["Authorization"] = f"Bearer {token}"
        return kept

    async def close(self) -> None:
        """Close the connections."""
        if self._session:
            await self._session.close()
