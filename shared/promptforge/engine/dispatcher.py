"""Deliver due queue entries to functions, at least once, within each function's concurrency limit."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from promptforge import logs
from promptforge.adapters.local.queue import Delivery, SqliteQueue
from promptforge.engine.active_jobs import ActiveJobs
from promptforge.engine.push_requests import SUBSCRIPTIONS, push_request
from promptforge.errors import PromptForgeError

POLL_SECONDS = 0.25

Send = Callable[[str, Mapping[str, str], bytes, float], Awaitable[bool]]
"""(function, headers, body, timeout in seconds) → whether the function responded with 2xx."""


class Dispatcher:
    """Claims deliveries, sends them, and acknowledges them or makes them visible again.

    Functions add deliveries only during a request, so the queue is read again at the end of each one. A slow poll
    finds delayed deliveries that have become due, and those of processes outside the engine. With `active_jobs`, only
    their chunks are delivered.
    """

    def __init__(self, queue: SqliteQueue, send: Send, workers: int) -> None:
        self._queue = queue
        self._send = send
        self._free = {source: subscription.concurrency * workers for source, subscription in SUBSCRIPTIONS.items()}
        self._awake = asyncio.Event()
        self._stopping = False
        self.active_jobs: ActiveJobs | None = None

    def wake(self) -> None:
        """Read the queue without waiting for the next poll."""
        self._awake.set()

    def stop(self) -> None:
        """Claim nothing more.

        `run` returns when the deliveries in flight have ended.
        """
        self._stopping = True
        self.wake()

    async def run(self) -> None:
        """Deliver until `stop` is called.

        If `run` is cancelled, the deliveries in flight are repeated later.
        """
        async with asyncio.TaskGroup() as deliveries:
            while not self._stopping:
                self._awake.clear()
                await self._launch(deliveries)
                await self._wait()

    async def _wait(self) -> None:
        try:
            await asyncio.wait_for(self._awake.wait(), POLL_SECONDS)
        except TimeoutError:
            return

    async def _launch(self, deliveries: asyncio.TaskGroup) -> None:
        sources = [source for source, free in self._free.items() if free]
        try:
            for source in await self._queue.sources_due(sources):
                ack_seconds = SUBSCRIPTIONS[source].ack_seconds
                for delivery in await self._queue.claim(source, self._free[source], ack_seconds):
                    if self.active_jobs and not await self.active_jobs.may_deliver(delivery):
                        self.wake()
                        continue
                    self._free[source] -= 1
                    deliveries.create_task(self._deliver(delivery))
        except PromptForgeError as exc:
            logs.error("dispatch_failed", error=type(exc).__name__)

    async def _deliver(self, delivery: Delivery) -> None:
        subscription = SUBSCRIPTIONS[delivery.source]
        try:
            headers, body = push_request(delivery)
            if await self._send(subscription.function, headers, body, subscription.ack_seconds):
                await self._queue.ack(delivery)
            elif await self._queue.nack(delivery):
                logs.error("delivery_dead_lettered", source=delivery.source, attempts=delivery.attempts)
        except Exception as exc:  # one delivery must not end all others
            logs.error("delivery_failed", source=delivery.source, error=type(exc).__name__)
        finally:
            self._free[delivery.source] += 1
            self.wake()
