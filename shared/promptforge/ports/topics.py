"""Announcements: something happened. Whoever subscribes hears of it at least once, in any order."""

from collections.abc import Sequence
from typing import Protocol


class Topics(Protocol):
    """Publish side. Delivery is the platform's: a message comes again until its receiver answers 2xx in time."""

    async def publish(self, topic: str, messages: Sequence[bytes]) -> None:
        """Return when every message is stored for good. Raises Unavailable when some may not be:
        publish all again, receivers bear duplicates. A message is at most 10 MB."""
        ...
