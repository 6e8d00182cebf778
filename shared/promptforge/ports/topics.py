"""Publish/subscribe topics: at-least-once, unordered."""

from collections.abc import Sequence
from typing import Protocol


class Topics(Protocol):
    """The publishing side.

    The platform delivers: a message is sent again until its receiver answers 2xx in time.
    """

    async def publish(self, topic: str, messages: Sequence[bytes]) -> None:
        """Store every message durably.

        A message has at most 10 MB. Raises Unavailable when some may not be stored. The caller publishes all of them
        again: receivers accept duplicates.
        """
        ...
