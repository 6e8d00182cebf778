"""The jobs that the engine of one command processes; those of earlier commands stay paused."""

from collections.abc import Callable

import orjson

from promptforge.adapters.local.queue import Delivery, SqliteQueue
from promptforge.engine.push_requests import SUBSCRIPTIONS

CALLING_SOURCES = [source for source, subscription in SUBSCRIPTIONS.items() if subscription.function == "worker"]
"""The sources whose deliveries lead to provider calls. All other work on a paused job goes on."""


class ActiveJobs:
    """A filter of deliveries: a chunk of a job that no command has requested stays in the queue.

    `wake` makes the dispatcher read the queue again. The next engine makes paused deliveries visible.
    """

    def __init__(self, queue: SqliteQueue, wake: Callable[[], None]) -> None:
        self._queue = queue
        self._wake = wake
        self._job_ids: set[str] = set()

    async def pause_all(self) -> None:
        """Pause the deliveries of every job, before the first one is sent."""
        await self._queue.pause(CALLING_SOURCES)

    async def activate(self, job_id: str) -> None:
        """Process a job from now on."""
        self._job_ids.add(job_id)
        await self._queue.resume(job_id)
        self._wake()

    async def may_deliver(self, delivery: Delivery) -> bool:
        """Return whether the delivery may be sent; pause it if not."""
        if delivery.source not in CALLING_SOURCES:
            return True
        job_id = _job_id(delivery.body)
        if job_id is None or job_id in self._job_ids:
            return True
        await self._queue.pause_claimed(delivery)
        if job_id in self._job_ids:  # activated meanwhile, before there was a paused delivery to resume
            await self._queue.resume(job_id)
        return False


def _job_id(body: bytes) -> str | None:
    """Return the job of a command, or None for a body that its receiver ignores."""
    try:
        return str(orjson.loads(body)["job_id"])
    except (ValueError, KeyError, TypeError):
        return None
