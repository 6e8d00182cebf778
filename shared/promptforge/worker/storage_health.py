"""Whether a process can store answers.

No call starts while it cannot: its answer could be lost.
"""

import asyncio

from promptforge import logs
from promptforge.context import monotonic_time
from promptforge.errors import Unavailable


class StorageHealth:
    """Unhealthy after a failed write, for `retry_seconds` or until a write succeeds.

    Shared by all chunks of a process.

    Each failed write extends the time. A chunk that repeats its writes so keeps all calls waiting.
    """

    def __init__(self, retry_seconds: float) -> None:
        self._retry_seconds = retry_seconds
        self._unhealthy_until = float("-inf")
        self._changed = asyncio.Event()
        self._reported = False

    @property
    def is_healthy(self) -> bool:
        """Whether answers can be stored, as far as it is known."""
        return monotonic_time() >= self._unhealthy_until

    def failed(self, error: Unavailable) -> None:
        """Record a failed write.

        It is logged once, until a write succeeds.
        """
        self._unhealthy_until = monotonic_time() + self._retry_seconds
        if not self._reported:
            logs.error("storage_unavailable", dependency=error.dependency, cause=error.cause)
        self._reported = True

    def succeeded(self) -> None:
        """Record a write."""
        if self._reported:
            logs.info("storage_available")
        self._reported = False
        self._unhealthy_until = float("-inf")
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait(self) -> None:
        """Wait until answers can be stored, or until it is worth another try."""
        while (seconds := self._unhealthy_until - monotonic_time()) > 0:
            try:
                await asyncio.wait_for(self._changed.wait(), seconds)
            except TimeoutError:
                continue
