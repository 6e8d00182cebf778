"""The retry policy: which failures are retried, and how long to wait."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptforge.domain.retry import FailureKind, backoff_seconds, can_retry, throttle_seconds

FREE = {FailureKind.NOT_SENT, FailureKind.THROTTLED}


@given(st.floats(allow_nan=False), st.integers(0, 100), st.integers())
def test_throttle_seconds_retry_after_is_kept_within_bounds(retry_after: float, in_a_row: int, seed: int) -> None:
    seconds = throttle_seconds(retry_after, in_a_row, random.Random(seed))

    assert 0.5 <= seconds <= 300.0
    if 0.5 <= retry_after <= 300.0:
        assert seconds == retry_after


@given(st.integers(1, 10**6), st.integers())
def test_throttle_seconds_without_retry_after_grows_to_one_minute(in_a_row: int, seed: int) -> None:
    seconds = throttle_seconds(None, in_a_row, random.Random(seed))

    assert min(60.0, 2.0 ** min(in_a_row, 16)) / 2 <= seconds <= min(60.0, 2.0 ** min(in_a_row, 16))


@given(st.integers(1, 10**6), st.integers())
def test_backoff_seconds_stays_below_exponential_ceiling(failures: int, seed: int) -> None:
    seconds = backoff_seconds(failures, random.Random(seed))

    assert 0 <= seconds <= min(30.0, 0.5 * 2 ** min(failures, 16))


def test_backoff_seconds_uses_whole_range() -> None:
    rng = random.Random(1)
    waits = [backoff_seconds(3, rng) for _ in range(1000)]

    assert min(waits) < 0.4
    assert max(waits) > 3.6


@pytest.mark.parametrize("kind", FailureKind)
@pytest.mark.parametrize("max_retries", [0, 1, 3])
@pytest.mark.parametrize("failures", [1, 2, 3, 4, 100])
def test_can_retry_depends_on_kind_and_failures(kind: FailureKind, max_retries: int, failures: int) -> None:
    allowed = kind in FREE or (kind is FailureKind.UNKNOWN and failures <= max_retries)

    assert can_retry(kind, failures, max_retries) is allowed


def test_can_retry_unknown_allows_max_retries_further_calls() -> None:
    calls = 1
    while can_retry(FailureKind.UNKNOWN, calls, max_retries=3):
        calls += 1

    assert calls == 4
