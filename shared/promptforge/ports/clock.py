"""The time of day. Waiting is done with asyncio, so that a test's event loop rules both."""

from typing import Protocol


class Clock(Protocol):
    """The only source of the time of day."""

    def now(self) -> float:
        """Seconds since 1970-01-01 UTC. May jump; never used to measure a span within one process."""
        ...
