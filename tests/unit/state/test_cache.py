"""The cache of a store: a value is loaded once within its time, also for many readers."""

from promptforge.state.cache import MAX_ENTRIES, ExpiringCache
from tests.harness.clock import ManualClock


class Source:
    """Counts its loads and returns the count."""

    def __init__(self) -> None:
        self.loads = 0

    async def load(self) -> int:
        self.loads += 1
        return self.loads


async def test_expiring_cache_loads_again_only_after_its_time() -> None:
    clock, source = ManualClock(), Source()
    cache: ExpiringCache[int] = ExpiringCache(clock, 2.0)
    seen = []
    for seconds in (0.0, 1.0, 0.75, 0.25, 1.75, 0.25):
        clock.advance(seconds)
        seen.append(await cache.get("a", source.load))

    assert seen == [1, 1, 1, 2, 2, 3]


async def test_expiring_cache_with_a_clock_set_back_loads_again() -> None:
    clock, source = ManualClock(), Source()
    cache: ExpiringCache[int] = ExpiringCache(clock, 2.0)
    await cache.get("a", source.load)
    clock.advance(-0.5)

    assert await cache.get("a", source.load) == 2


async def test_expiring_cache_keeps_keys_apart_and_caches_none() -> None:
    async def nothing() -> None:
        loaded.append(None)

    loaded: list[None] = []
    cache: ExpiringCache[None] = ExpiringCache(ManualClock(), 2.0)
    for key in ("a", "b", "a", "b"):
        await cache.get(key, nothing)

    assert len(loaded) == 2


async def test_expiring_cache_when_full_drops_the_key_unused_for_longest() -> None:
    source = Source()
    cache: ExpiringCache[int] = ExpiringCache(ManualClock(), 2.0)
    for number in range(MAX_ENTRIES):
        await cache.get(str(number), source.load)
    await cache.get("0", source.load)
    await cache.get("new", source.load)

    assert await cache.get("0", source.load) == 1
    assert await cache.get("1", source.load) == MAX_ENTRIES + 2


async def test_expiring_cache_stores_nothing_after_a_failed_load() -> None:
    async def failing() -> int:
        raise ZeroDivisionError

    source = Source()
    cache: ExpiringCache[int] = ExpiringCache(ManualClock(), 2.0)
    try:
        await cache.get("a", failing)
    except ZeroDivisionError:
        assert await cache.get("a", source.load) == 1
    else:
        raise AssertionError("the error was lost")
