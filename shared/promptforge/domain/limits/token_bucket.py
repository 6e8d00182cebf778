"""How fast each key may send requests: token buckets, in the memory of one process."""

from collections import OrderedDict
from collections.abc import Callable

BURST_SECONDS = 10  # what a key has saved up at most
MAX_BUCKETS = 10_000


class TokenBuckets:
    """One bucket a key. The table is bounded: the key that was silent longest is forgotten first, and has a full bucket
    when it comes back. `now` is of a clock that never jumps."""

    def __init__(self, per_second: float, now: Callable[[], float]) -> None:
        self._per_second = per_second
        self._now = now
        self._capacity = max(1.0, per_second * BURST_SECONDS)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str) -> float:
        """Take a request from the key's bucket and answer 0; or, where none is left, the seconds until one is."""
        now = self._now()
        left, filled_at = self._buckets.pop(key, (self._capacity, now))
        left = min(self._capacity, left + (now - filled_at) * self._per_second)
        taken = left >= 1
        self._buckets[key] = (left - taken, now)
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
        return 0.0 if taken else (1 - left) / self._per_second
