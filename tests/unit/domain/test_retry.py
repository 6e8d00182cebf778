"""The retry policy: which failures are retried, and how long to wait."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptforge.domain.retry import FailureKind, backoff_seconds, can_retry, throttle_seconds

FREE = {FailureKind.NOT_SENT, FailureKind.THROTTLED}


@given(st.floats(allow_nan=False), st.integers(0, 100), st.integers())
def test_a_wait_that_was_asked_for_is_kept_within_bounds(asked: float, in_a_row: int, seed: int) -> None:
    waited = throttle_seconds(asked, in_a_row, random.Random(seed))

    assert 0.5 <= waited <= 300.0
    if 0.5 <= asked <= 300.0:
        assert waited == asked


@given(st.integers(1, 10**6), st.integers())
def test_a_wait_that_was_not_asked_for_grows_up_to_a_minute(in_a_row: int, seed: int) -> None:
    waited = throttle_seconds(None, in_a_row, random.Random(seed))

    assert min(60.0, 2.0 ** min(in_a_row, 16)) / 2 <= waited <= min(60.0, 2.0 ** min(in_a_row, 16))


@given(st.integers(1, 10**6), st.integers())
def test_the_backoff_stays_under_its_doubling_ceiling(failures: int, seed: int) -> None:
    waited = backoff_seconds(failures, random.Random(seed))

    assert 0 <= waited <= min(30.0, 0.5 * 2 ** min(failures, 16))


def test_the_backoff_spreads_over_its_whole_span() -> None:
    rng = random.Random(1)
    waits = [backoff_seconds(3, rng) for _ in range(1000)]

    assert min(waits) < 0.4
    assert max(waits) > 3.6


@pytest.mark.parametrize("kind", FailureKind)
@pytest.mark.parametrize("max_retries", [0, 1, 3])
@pytest.mark.parametrize("failures", [1, 2, 3, 4, 100])
def test_only_what_may_help_is_called_again(kind: FailureKind, max_retries: int, failures: int) -> None:
    allowed = kind in FREE or (kind is FailureKind.UNKNOWN and failures <= max_retries)

    assert can_retry(kind, failures, max_retries) is allowed


def test_a_prompt_is_called_once_and_then_max_retries_times() -> None:
    calls = 1
    while can_retry(FailureKind.UNKNOWN, calls, max_retries=3):
        calls += 1

    assert calls == 4
