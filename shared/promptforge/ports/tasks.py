"""Delayed tasks, delivered at least once."""

from typing import Protocol


class Tasks(Protocol):
    """The enqueuing side.

    A queue is named after the function that receives its tasks.
    """

    async def enqueue(self, queue: str, body: bytes, *, name: str, not_before: float = 0.0) -> None:
        """Store a task durably.

        A name stays taken for at least an hour, also after the task is done; enqueuing it again has no effect.
        `not_before` is a time of day in seconds, at most 30 days ahead. Raises Unavailable when the task may not be
        stored. The caller enqueues it again under the same name.
        """
        ...
