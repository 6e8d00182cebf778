"""The types that a suite opens: each call opens the same store anew, as another process does."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from promptforge.adapters.local.database import Database
from promptforge.adapters.local.queue import SqliteQueue
from promptforge.ports.documents import Documents
from promptforge.ports.objects import Objects
from promptforge.ports.tasks import Tasks
from promptforge.ports.topics import Topics


@dataclass(frozen=True)
class Messaging:
    """Topics and tasks, and the queue that delivers them on one machine."""

    topics: Topics
    tasks: Tasks
    queue: SqliteQueue


@dataclass(frozen=True)
class TopicAdapter:
    """The publishing and the receiving side of topics, of which only the first is a port.

    `receive` takes a minimum number of messages and returns all that arrived since its last call, in any order.
    """

    topics: Topics
    receive: Callable[[str, int], Awaitable[list[bytes]]]


OpenDatabase = Callable[[], Database]
OpenDocuments = Callable[[], Documents]
OpenObjects = Callable[[str], Objects]
OpenMessaging = Callable[[], Messaging]


async def claimed(queue: SqliteQueue, topic: str, count: int) -> list[bytes]:
    """Claim, acknowledge and return the due messages of a topic."""
    found = await queue.claim(f"topic:{topic}", 100_000, 60.0)
    for delivery in found:
        await queue.ack(delivery)
    return [delivery.body for delivery in found]
