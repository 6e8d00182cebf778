"""The time of day.

Waits use asyncio, so that a test's event loop controls both.
"""

from typing import Protocol


class Clock(Protocol):
    """The only source of the time of day."""

    def now(self) -> float:
        """Return the seconds since 1970-01-01 UTC.

        The time may jump, so it never measures a span within one process.
        """
        ...
