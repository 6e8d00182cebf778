"""Brings what is owed to the functions, at least once, and never more at once than they are to bear."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from promptforge import logs
from promptforge.adapters.local.queue import Delivery, SqliteQueue
from promptforge.engine.push_requests import SUBSCRIPTIONS, push_request
from promptforge.errors import PromptForgeError

POLL_SECONDS = 0.25

Send = Callable[[str, Mapping[str, str], bytes, float], Awaitable[bool]]
"""(function, headers, body, timeout in seconds) → whether the function answered 2xx."""


class Dispatcher:
    """Claims, sends, and ends deliveries. Functions add deliveries only while they run, so the end of every request
    is the moment to look again; a slow poll catches delays that run out and writers outside the engine."""

    def __init__(self, deliveries: SqliteQueue, send: Send, workers: int) -> None:
        self._deliveries = deliveries
        self._send = send
        self._free = {source: subscription.at_once * workers for source, subscription in SUBSCRIPTIONS.items()}
        self._news = asyncio.Event()
        self._stopping = False
        self._running: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """There may be something to deliver."""
        self._news.set()

    def stop(self) -> None:
        """Claim nothing more; `run` returns when what is under way has ended."""
        self._stopping = True
        self.wake()

    async def run(self) -> None:
        """Deliver until `stop`. When cancelled, what is under way will come again."""
        try:
            while not self._stopping:
                self._news.clear()
                await self._launch()
                await self._wait()
            await asyncio.gather(*self._running, return_exceptions=True)
        finally:
            for task in self._running:
                task.cancel()

    async def _wait(self) -> None:
        try:
            await asyncio.wait_for(self._news.wait(), POLL_SECONDS)
        except TimeoutError:
            return

    async def _launch(self) -> None:
        open_sources = [source for source, free in self._free.items() if free]
        try:
            for source in await self._deliveries.sources_due(open_sources):
                ack_seconds = SUBSCRIPTIONS[source].ack_seconds
                for delivery in await self._deliveries.claim(source, self._free[source], ack_seconds):
                    self._free[source] -= 1
                    task = asyncio.create_task(self._deliver(delivery))
                    self._running.add(task)
                    task.add_done_callback(self._running.discard)
        except PromptForgeError as exc:
            logs.error("dispatch_failed", error=type(exc).__name__)

    async def _deliver(self, delivery: Delivery) -> None:
        subscription = SUBSCRIPTIONS[delivery.source]
        headers, body = push_request(delivery)
        try:
            if await self._send(subscription.function, headers, body, subscription.ack_seconds):
                await self._deliveries.ack(delivery)
            elif await self._deliveries.nack(delivery):
                logs.error("delivery_dead_lettered", source=delivery.source, attempts=delivery.attempts)
        except PromptForgeError as exc:
            logs.error("delivery_failed", source=delivery.source, error=type(exc).__name__)
        finally:
            self._free[delivery.source] += 1
            self.wake()
