"""A tasks port that stores nothing."""

from promptforge.errors import Unavailable


class UnavailableTasks:
    """Refuses every task."""

    async def enqueue(self, queue: str, body: bytes, *, name: str, not_before: float = 0.0) -> None:
        raise Unavailable("tasks", queue)
