"""Tasks in Cloud Tasks: each is a CloudEvent, POSTed to the function that its queue is named after."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from google.api_core.exceptions import (
    Aborted,
    AlreadyExists,
    DeadlineExceeded,
    GoogleAPIError,
    InternalServerError,
    ResourceExhausted,
    ServiceUnavailable,
    Unknown,
)
from google.api_core.retry import AsyncRetry, if_exception_type
from google.auth.exceptions import GoogleAuthError

from promptforge.adapters.gcp.billing import BilledOperation, BilledOperations
from promptforge.adapters.gcp.grpc_channels import open_transport
from promptforge.domain.commands import task_headers
from promptforge.domain.functions import FUNCTIONS
from promptforge.errors import Unavailable

if TYPE_CHECKING:
    from google.cloud.tasks_v2 import CloudTasksAsyncClient

CALL_SECONDS = 5.0
RETRYABLE = (
    Aborted,
    DeadlineExceeded,
    InternalServerError,
    ResourceExhausted,
    ServiceUnavailable,
    Unknown,
)
UNAVAILABLE = (GoogleAPIError, GoogleAuthError)
"""Every error becomes Unavailable, a rejection included.

A wrong queue or a missing permission must not count against the work that enqueued the task. The log has the cause.
"""

DISPATCH_SECONDS = {
    name: function.dispatch_seconds for name, function in FUNCTIONS.items() if function.dispatch_seconds is not None
}
"""The seconds that Cloud Tasks waits for each function."""


@contextmanager
def translate_errors() -> Iterator[None]:
    """Replace the errors of Google's library."""
    try:
        yield
    except UNAVAILABLE as exc:
        raise Unavailable("cloud_tasks", type(exc).__name__) from exc


@dataclass(frozen=True, slots=True)
class Target:
    """The queues and addresses of tasks.

    The queue `worker` is `{location}/queues/{prefix}worker` of a location `projects/PROJECT/locations/REGION`; its
    tasks go to the address of the function, in the name of `account`.
    """

    location: str
    prefix: str
    url_of: Callable[[str], str]
    account: str


class CloudTasks:
    """The tasks port.

    A taken name is a success: Cloud Tasks keeps it for at least an hour after the task.
    """

    def __init__(
        self, target: Target, operations: BilledOperations, emulator: str = "", retry_seconds: float = 12.0
    ) -> None:
        self._target = target
        self._operations = operations
        self._emulator = emulator
        self._client: CloudTasksAsyncClient | None = None
        self._retry = AsyncRetry(if_exception_type(*RETRYABLE), initial=0.1, maximum=2.0, timeout=retry_seconds)

    async def enqueue(self, queue: str, body: bytes, *, name: str, not_before: float = 0.0) -> None:
        parent = f"{self._target.location}/queues/{self._target.prefix}{queue}"
        task_id = hashlib.sha256(name.encode()).hexdigest()  # sequential names make Cloud Tasks slow
        task = {
            "name": f"{parent}/tasks/{task_id}",
            "dispatch_deadline": timedelta(seconds=DISPATCH_SECONDS[queue]),
            "http_request": self._request(queue, task_id, body),
        }
        if not_before > 0:
            task["schedule_time"] = datetime.fromtimestamp(not_before, UTC)
        request = {"parent": parent, "task": task}
        self._operations.add(BilledOperation.TASK)
        with translate_errors():
            try:
                await self._get_client().create_task(request=request, retry=self._retry, timeout=CALL_SECONDS)
            except AlreadyExists:
                return

    async def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            await self._client.transport.close()

    def _request(self, queue: str, task_id: str, body: bytes) -> dict[str, Any]:
        url = self._target.url_of(queue)
        token = {"service_account_email": self._target.account, "audience": url}
        headers = task_headers(queue, task_id)
        return {"url": url, "http_method": "POST", "headers": headers, "body": body, "oidc_token": token}

    def _get_client(self) -> "CloudTasksAsyncClient":
        """Return the client.

        Its code is imported at the first task, because few functions enqueue one.
        """
        if self._client is None:
            from google.cloud.tasks_v2 import CloudTasksAsyncClient
            from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcAsyncIOTransport

            transport = open_transport(CloudTasksGrpcAsyncIOTransport, self._emulator)
            self._client = CloudTasksAsyncClient(transport=transport)
        return self._client
