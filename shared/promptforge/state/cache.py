"""A small cache whose entries expire."""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from promptforge.domain.lru_cache import LruCache
from promptforge.ports.clock import Clock

T = TypeVar("T")

MAX_ENTRIES = 200


class ExpiringCache(Generic[T]):
    """Values by key, each for `seconds`."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._entries: LruCache[str, tuple[float, T]] = LruCache(MAX_ENTRIES)

    async def get(self, key: str, load: Callable[[], Awaitable[T]]) -> T:
        """Return the cached value, or load it.

        A clock that jumps back makes every entry expire.
        """
        now = self._clock.now()
        entry = self._entries.get(key)
        if entry and 0 <= now - entry[0] < self._seconds:
            return entry[1]
        return self._entries.put(key, (now, await load()))[1]
