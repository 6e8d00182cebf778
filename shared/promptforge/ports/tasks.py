"""Errands: do this, not before that time. Run at least once."""

from typing import Protocol


class Tasks(Protocol):
    """Enqueue side. A queue is named after the function that does its tasks."""

    async def enqueue(self, queue: str, body: bytes, *, name: str, not_before: float = 0.0) -> None:
        """Return when the task is stored for good. A name stays taken for at least an hour, also after the task
        is done: enqueueing it again does nothing. `not_before` is a time of day in seconds, at most 30 days ahead.
        Raises Unavailable when it may not be stored: enqueue it again under the same name."""
        ...
