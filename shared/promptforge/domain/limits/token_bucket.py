"""The request rate limit of each key: token buckets in the memory of one process."""

from collections.abc import Callable

from promptforge.domain.lru_cache import LruCache

BURST_SECONDS = 10  # of requests that an idle key accumulates
MAX_BUCKETS = 10_000


class TokenBuckets:
    """One token bucket per key.

    The table is bounded. The key that was idle longest is dropped first, and starts again with a full bucket.
    `now` must be a monotonic clock.
    """

    def __init__(self, per_second: float, now: Callable[[], float]) -> None:
        self._per_second = per_second
        self._now = now
        self._capacity = max(1.0, per_second * BURST_SECONDS)
        self._buckets = LruCache[str, tuple[float, float]](MAX_BUCKETS)

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str) -> float:
        """Take a token from the bucket of the key and return 0, or return the seconds until a token is available."""
        now = self._now()
        tokens, filled_at = self._buckets.get(key) or (self._capacity, now)
        tokens = min(self._capacity, tokens + (now - filled_at) * self._per_second)
        wait = 0.0
        if tokens >= 1:
            tokens -= 1
        else:
            wait = (1 - tokens) / self._per_second
        self._buckets.put(key, (tokens, now))
        return wait
