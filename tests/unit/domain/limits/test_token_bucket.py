"""Token buckets: the rate of a key, and the bounded table of keys."""

import pytest

from promptforge.domain.limits import token_bucket
from promptforge.domain.limits.token_bucket import BURST_SECONDS, TokenBuckets
from tests.harness.clock import ManualClock


def allowed(buckets: TokenBuckets, key: str, requests: int) -> int:
    """Return how many of several concurrent requests are allowed."""
    return sum(buckets.take(key) == 0 for _ in range(requests))


def test_take_allows_burst_and_then_rate() -> None:
    clock = ManualClock()
    buckets = TokenBuckets(2, clock.now)

    assert allowed(buckets, "a", 50) == 2 * BURST_SECONDS
    clock.advance(1)
    assert allowed(buckets, "a", 50) == 2
    clock.advance(0.5)
    assert allowed(buckets, "a", 50) == 1
    clock.advance(1e9)
    assert allowed(buckets, "a", 50) == 2 * BURST_SECONDS


def test_take_empty_bucket_returns_sufficient_wait() -> None:
    clock = ManualClock()
    buckets = TokenBuckets(0.25, clock.now)
    assert allowed(buckets, "a", 5) == 2

    wait = buckets.take("a")
    clock.advance(wait)

    assert wait == pytest.approx(2.0)
    assert buckets.take("a") == 0


def test_take_rejected_request_takes_no_token() -> None:
    clock = ManualClock()
    buckets = TokenBuckets(1, clock.now)
    assert allowed(buckets, "a", 1000) == BURST_SECONDS
    clock.advance(3)
    assert allowed(buckets, "a", 1000) == 3


def test_take_keys_have_separate_buckets() -> None:
    buckets = TokenBuckets(1, ManualClock().now)
    assert allowed(buckets, "a", 1000) == allowed(buckets, "b", 1000) == BURST_SECONDS


def test_take_low_rate_allows_one_request() -> None:
    assert allowed(TokenBuckets(0.001, ManualClock().now), "a", 5) == 1


def test_take_full_table_drops_key_idle_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_bucket, "MAX_BUCKETS", 3)
    buckets = TokenBuckets(0.001, ManualClock().now)
    for key in ("a", "b", "c", "a", "d"):
        buckets.take(key)

    assert len(buckets) == 3
    assert [buckets.take(key) > 0 for key in ("a", "c", "d")] == [True] * 3
    assert buckets.take("b") == 0
