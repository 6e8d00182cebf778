"""The retry policy: which failures are retried, and how long to wait."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptforge.domain.retry import (
    FailureKind,
    backoff_seconds,
    can_retry,
    fault_backoff_seconds,
    outage_seconds,
    throttle_seconds,
)

FREE = [FailureKind.NOT_SENT, FailureKind.THROTTLED]


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


@given(st.integers(1, 10**6), st.integers())
def test_fault_backoff_seconds_triples_from_two_seconds_to_thirty(failures: int, seed: int) -> None:
    base = min(30.0, 2.0 * 3.0 ** min(failures - 1, 16))

    assert base <= fault_backoff_seconds(failures, random.Random(seed)) <= 1.25 * base


def test_fault_backoff_seconds_of_three_retries_outlasts_a_short_outage() -> None:
    rng = random.Random(1)

    assert sum(fault_backoff_seconds(failures, rng) for failures in (1, 2, 3)) >= 2 + 6 + 18


@given(st.integers(0, 10**6), st.integers())
def test_outage_seconds_grows_with_the_failed_probes_up_to_a_limit(probes: int, seed: int) -> None:
    base = min(30.0, 1.5 ** min(probes, 16))

    assert 0.8 * base <= outage_seconds(probes, random.Random(seed)) <= 1.2 * base


@pytest.mark.parametrize("kind", FREE)
@pytest.mark.parametrize("failures", [1, 100])
def test_can_retry_call_without_cost_is_always_retried(kind: FailureKind, failures: int) -> None:
    assert can_retry(kind, failures, failures, max_retries=0)


@pytest.mark.parametrize("kind", [FailureKind.PROMPT, FailureKind.ACCOUNT])
@pytest.mark.parametrize("max_retries", [0, 3])
def test_can_retry_rejection_is_never_retried(kind: FailureKind, max_retries: int) -> None:
    assert not can_retry(kind, 1, 1, max_retries)


@pytest.mark.parametrize("kind", [FailureKind.UNKNOWN, FailureKind.PROVIDER])
@pytest.mark.parametrize("max_retries", [0, 1, 3])
@pytest.mark.parametrize("failures", [1, 2, 3, 4, 100])
def test_can_retry_failed_call_is_retried_up_to_max_retries(kind: FailureKind, max_retries: int, failures: int) -> None:
    assert can_retry(kind, failures, failures, max_retries) is (failures <= max_retries)


@pytest.mark.parametrize("kind", [FailureKind.TIMEOUT, FailureKind.UNREADABLE])
@pytest.mark.parametrize(("max_retries", "calls"), [(0, 1), (1, 2), (3, 2)])
def test_can_retry_call_at_full_cost_is_retried_once_at_most(kind: FailureKind, max_retries: int, calls: int) -> None:
    assert count_calls(kind, max_retries) == calls


@pytest.mark.parametrize("kind", [FailureKind.TIMEOUT, FailureKind.UNREADABLE])
def test_can_retry_first_failure_of_its_kind_counts_the_failures_of_other_kinds(kind: FailureKind) -> None:
    assert can_retry(kind, failures=3, failures_of_kind=1, max_retries=3)
    assert not can_retry(kind, failures=4, failures_of_kind=1, max_retries=3)


def test_can_retry_unknown_allows_max_retries_further_calls() -> None:
    assert count_calls(FailureKind.UNKNOWN, max_retries=3) == 4


def count_calls(kind: FailureKind, max_retries: int) -> int:
    """Return the number of calls of a prompt whose calls all fail in this way."""
    calls = 1
    while can_retry(kind, calls, calls, max_retries):
        calls += 1
    return calls
