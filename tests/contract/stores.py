"""How a suite opens what it judges: each call opens the same store anew, as another process does."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from promptforge.adapters.local.database import Database
from promptforge.adapters.local.queue import SqliteQueue
from promptforge.ports.documents import Documents
from promptforge.ports.objects import Objects
from promptforge.ports.tasks import Tasks
from promptforge.ports.topics import Topics


@dataclass(frozen=True)
class Post:
    """Both ends of topics and tasks."""

    topics: Topics
    tasks: Tasks
    deliveries: SqliteQueue


@dataclass(frozen=True)
class Feed:
    """A topic's two ends, of which only the first is a port.

    `receive` takes a minimum number of messages and returns all that arrived since its last call, in any order.
    """

    topics: Topics
    receive: Callable[[str, int], Awaitable[list[bytes]]]


OpenDatabase = Callable[[], Database]
OpenDocuments = Callable[[], Documents]
OpenObjects = Callable[[str], Objects]
OpenPost = Callable[[], Post]


async def claimed(deliveries: SqliteQueue, topic: str, count: int) -> list[bytes]:
    """Return the due messages of a topic."""
    found = await deliveries.claim(f"topic:{topic}", 100_000, 60.0)
    for delivery in found:
        await deliveries.ack(delivery)
    return [delivery.body for delivery in found]
