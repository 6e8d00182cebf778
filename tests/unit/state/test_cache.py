"""The cache whose entries expire."""

from promptforge.state.cache import MAX_ENTRIES, ExpiringCache
from tests.harness.clock import HandClock


class Loader:
    """Returns the number of its calls."""

    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self) -> int:
        self.calls += 1
        return self.calls


async def test_cache_within_its_seconds_loads_once_per_key() -> None:
    clock, load = HandClock(), Loader()
    cache = ExpiringCache[int](clock, 2.0)
    values = [await cache.get("a", load), await cache.get("b", load)]
    clock.move(1.9)

    assert [*values, await cache.get("a", load), await cache.get("b", load)] == [1, 2, 1, 2]


async def test_cache_after_its_seconds_loads_again() -> None:
    clock, load = HandClock(), Loader()
    cache = ExpiringCache[int](clock, 2.0)
    first = await cache.get("a", load)
    clock.move(2.0)

    assert (first, await cache.get("a", load)) == (1, 2)


async def test_cache_after_the_clock_went_back_loads_again() -> None:
    clock, load = HandClock(), Loader()
    cache = ExpiringCache[int](clock, 2.0)
    first = await cache.get("a", load)
    clock.move(-1)

    assert (first, await cache.get("a", load)) == (1, 2)


async def test_cache_that_is_full_drops_the_least_recently_used_key() -> None:
    load = Loader()
    cache = ExpiringCache[int](HandClock(), 2.0)
    for number in range(MAX_ENTRIES):
        await cache.get(str(number), load)
    await cache.get("0", load)
    await cache.get("one more", load)

    assert await cache.get("0", load) == 1
    assert await cache.get("1", load) == MAX_ENTRIES + 2
