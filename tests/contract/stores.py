"""How a suite opens what it judges: each call opens the same store anew, as another process does."""

from collections.abc import Callable
from dataclasses import dataclass

from promptforge.adapters.local.database import Database
from promptforge.adapters.local.deliveries import SqliteDeliveries
from promptforge.ports.documents import Documents
from promptforge.ports.objects import Objects
from promptforge.ports.tasks import Tasks
from promptforge.ports.topics import Topics


@dataclass(frozen=True)
class Post:
    """Both ends of topics and tasks."""

    topics: Topics
    tasks: Tasks
    deliveries: SqliteDeliveries


OpenDatabase = Callable[[], Database]
OpenDocuments = Callable[[], Documents]
OpenObjects = Callable[[str], Objects]
OpenPost = Callable[[], Post]
