"""Token buckets: what a key may send, what is forgotten."""

import pytest

from promptforge.domain.limits import token_bucket
from promptforge.domain.limits.token_bucket import BURST_SECONDS, TokenBuckets
from tests.support.clock import HandClock


def sent(bucket: TokenBuckets, key: str, requests: int) -> int:
    """How many of so many requests at one moment were let through."""
    return sum(bucket.take(key) == 0 for _ in range(requests))


def test_a_key_may_send_what_it_has_saved_up_and_then_its_rate() -> None:
    clock = HandClock()
    bucket = TokenBuckets(2, clock.now)

    assert sent(bucket, "a", 50) == 2 * BURST_SECONDS
    clock.move(1)
    assert sent(bucket, "a", 50) == 2
    clock.move(0.5)
    assert sent(bucket, "a", 50) == 1
    clock.move(1e9)
    assert sent(bucket, "a", 50) == 2 * BURST_SECONDS


def test_who_must_wait_is_told_how_long_and_that_is_enough() -> None:
    clock = HandClock()
    bucket = TokenBuckets(0.25, clock.now)
    assert sent(bucket, "a", 5) == 2

    wait = bucket.take("a")
    clock.move(wait)

    assert wait == pytest.approx(2.0)
    assert bucket.take("a") == 0


def test_a_refused_request_costs_nothing() -> None:
    clock = HandClock()
    bucket = TokenBuckets(1, clock.now)
    assert sent(bucket, "a", 1000) == BURST_SECONDS
    clock.move(3)
    assert sent(bucket, "a", 1000) == 3


def test_one_key_does_not_pay_for_another() -> None:
    bucket = TokenBuckets(1, HandClock().now)
    assert sent(bucket, "a", 1000) == sent(bucket, "b", 1000) == BURST_SECONDS


def test_a_slow_rate_still_lets_one_request_through() -> None:
    assert sent(TokenBuckets(0.001, HandClock().now), "a", 5) == 1


def test_the_table_is_bounded_and_who_was_silent_longest_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_bucket, "MAX_BUCKETS", 3)
    bucket = TokenBuckets(0.001, HandClock().now)
    for key in ("a", "b", "c", "a", "d"):
        bucket.take(key)

    assert len(bucket) == 3
    assert [bucket.take(key) > 0 for key in ("a", "c", "d")] == [True] * 3
    assert bucket.take("b") == 0
