"""A cache of bounded size: the key that was used longest ago is dropped."""

from promptforge.domain.lru_cache import LruCache


def filled(*keys: str) -> LruCache[str, int]:
    """Return a cache of three entries, filled with the keys in this order."""
    cache: LruCache[str, int] = LruCache(3)
    for value, key in enumerate(keys):
        cache.put(key, value)
    return cache


def test_lru_cache_get_returns_the_value_or_none() -> None:
    cache = filled("a", "b")

    assert (cache.get("a"), cache.get("b"), cache.get("c"), len(cache)) == (0, 1, None, 2)


def test_lru_cache_when_full_drops_the_oldest_key() -> None:
    cache = filled("a", "b", "c", "d")

    assert [cache.get(key) for key in "abcd"] == [None, 1, 2, 3]
    assert len(cache) == 3


def test_lru_cache_get_and_put_make_a_key_recent() -> None:
    cache = filled("a", "b", "c")
    cache.get("a")
    cache.put("b", 7)
    cache.put("d", 8)

    assert [cache.get(key) for key in "abcd"] == [0, 7, None, 8]


def test_lru_cache_get_of_an_unknown_key_makes_no_key_recent() -> None:
    cache = filled("a", "b", "c")
    cache.get("unknown")
    cache.put("d", 3)

    assert cache.get("a") is None


def test_lru_cache_get_or_create_creates_once() -> None:
    created: list[str] = []

    def create() -> int:
        created.append("created")
        return 0

    cache: LruCache[str, int] = LruCache(3)
    assert [cache.get_or_create("a", create) for _ in range(3)] == [0, 0, 0]
    assert created == ["created"]


def test_lru_cache_put_returns_the_value_and_replaces_the_old_one() -> None:
    cache = filled("a")

    assert cache.put("a", 9) == 9
    assert (cache.get("a"), len(cache)) == (9, 1)
