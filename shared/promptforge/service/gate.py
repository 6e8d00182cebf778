"""What a process knows of a provider's throttling: until when to leave a model alone."""

import random

from promptforge.domain.retry import throttle_seconds


class Gate:
    """Shut by a throttled call, opened by time. Times are those of the event loop.

    Many calls in flight are throttled at once; only one that began after the gate was last shut makes the wait grow.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._shut_at = float("-inf")
        self._in_a_row = 0
        self.opens_at = float("-inf")

    def throttled(self, began_at: float, now: float, asked: float | None) -> None:
        """A call that began at `began_at` was told to wait, for `asked` seconds if it was said how long."""
        if began_at > self._shut_at:
            self._in_a_row += 1
            self._shut_at = now
        elif asked is None:
            return
        self.opens_at = max(self.opens_at, now + throttle_seconds(asked, self._in_a_row, self._rng))

    def answered(self, began_at: float) -> None:
        """A call that began at `began_at` went through."""
        if began_at > self._shut_at:
            self._in_a_row = 0
