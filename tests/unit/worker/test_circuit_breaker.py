"""The circuit breaker of a model: how long it blocks, and the probe that tests a key."""

import asyncio
import random

import pytest

from promptforge.domain.job import JobError
from promptforge.domain.retry import FailureKind
from promptforge.domain.timeouts import PROBE_SECONDS
from promptforge.ports.provider import CallFailure
from promptforge.worker.circuit_breaker import SEQUENTIAL_REJECTIONS, CircuitBreaker

UNREACHABLE = CallFailure(FailureKind.NOT_SENT, "provider_unreachable", "Not reached.")


def throttled(wait: float | None = None) -> CallFailure:
    return CallFailure(FailureKind.THROTTLED, "throttled", "Wait.", wait)


@pytest.fixture
def breaker() -> CircuitBreaker:
    return CircuitBreaker(random.Random(1), max_in_flight=8)


def test_circuit_breaker_when_new_is_not_blocked(breaker: CircuitBreaker) -> None:
    assert breaker.blocked_until < 0


def test_circuit_breaker_throttled_call_blocks_for_a_while(breaker: CircuitBreaker) -> None:
    breaker.throttled(0.0, 10.0, throttled(None))

    assert 11.0 <= breaker.blocked_until <= 12.0


def test_circuit_breaker_calls_throttled_together_count_once(breaker: CircuitBreaker) -> None:
    for number in range(200):
        breaker.throttled(number / 1000, 10.0 + number / 1000, throttled(None))

    assert 11.0 <= breaker.blocked_until <= 12.0


def test_circuit_breaker_repeated_throttles_block_longer(breaker: CircuitBreaker) -> None:
    waits = []
    now = 0.0
    for _ in range(8):
        began_at = max(now, breaker.blocked_until)
        now = began_at + 1.0
        for _ in range(20):
            breaker.throttled(began_at, now, throttled())
        waits.append(breaker.blocked_until - now)

    ceilings = [2, 4, 8, 16, 32, 60, 60, 60]
    assert all(ceiling / 2 <= wait <= ceiling for wait, ceiling in zip(waits, ceilings, strict=True))


def test_circuit_breaker_completion_resets_the_wait(breaker: CircuitBreaker) -> None:
    for throttle in range(5):
        breaker.throttled(throttle * 100.0, throttle * 100.0 + 1, throttled(None))
    breaker.succeeded(1000.0, 1000.5)

    breaker.throttled(1000.0, 1001.0, throttled(None))

    assert 1002.0 <= breaker.blocked_until <= 1003.0


def test_circuit_breaker_retry_after_sets_the_wait(breaker: CircuitBreaker) -> None:
    breaker.throttled(0.0, 10.0, throttled(7.0))

    assert breaker.blocked_until == 17.0


def test_circuit_breaker_longest_retry_after_wins(breaker: CircuitBreaker) -> None:
    for retry_after in (3.0, 30.0, 5.0, None):
        breaker.throttled(0.0, 10.0, throttled(retry_after))

    assert breaker.blocked_until == 40.0


@pytest.mark.parametrize(("retry_after", "wait"), [(0.0, 0.5), (-5.0, 0.5), (1e9, 300.0), (300.0, 300.0)])
def test_circuit_breaker_extreme_retry_after_is_limited(
    breaker: CircuitBreaker, retry_after: float, wait: float
) -> None:
    breaker.throttled(0.0, 10.0, throttled(retry_after))

    assert breaker.blocked_until == 10.0 + wait


def test_circuit_breaker_shorter_throttle_does_not_end_the_block_earlier(breaker: CircuitBreaker) -> None:
    breaker.throttled(0.0, 10.0, throttled(100.0))

    breaker.throttled(10.0, 11.0, throttled(None))

    assert breaker.blocked_until == 110.0


def test_circuit_breaker_calls_throttled_at_one_instant_count_once(breaker: CircuitBreaker) -> None:
    for _ in range(50):
        breaker.throttled(10.0, 10.0, throttled(None))

    assert breaker.blocked_until <= 12.0


def test_circuit_breaker_completion_of_an_older_call_resets_nothing(breaker: CircuitBreaker) -> None:
    waits = []
    for throttle in range(4):
        breaker.throttled(throttle * 100.0, throttle * 100.0 + 1, throttled(None))
        breaker.succeeded(throttle * 100.0, throttle * 100.0 + 0.5)
        waits.append(breaker.blocked_until - (throttle * 100.0 + 1))

    assert waits[3] > 4.0


def test_circuit_breaker_unsent_call_blocks_with_its_reason(breaker: CircuitBreaker) -> None:
    breaker.throttled(0.0, 10.0, UNREACHABLE)

    assert 11.0 <= breaker.blocked_until <= 12.0
    assert breaker.block_reason == JobError(code="provider_unreachable", message="Not reached.")


async def test_circuit_breaker_probe_runs_alone_until_a_completion(breaker: CircuitBreaker) -> None:
    with breaker.call():
        assert breaker.is_blocked(0.0)
        breaker.succeeded(0.0, 1.0)

        assert not breaker.is_blocked(1.0)
    with breaker.call(), breaker.call():
        assert not breaker.is_blocked(2.0)


async def test_circuit_breaker_rejected_prompts_confirm_the_key_and_open_after_many(breaker: CircuitBreaker) -> None:
    for _ in range(SEQUENTIAL_REJECTIONS):
        assert not breaker.is_blocked(0.0)
        with breaker.call():
            assert breaker.is_blocked(0.0)
            breaker.rejected_prompt()
            assert breaker.accepted

    with breaker.call():
        assert not breaker.is_blocked(0.0)


@pytest.mark.parametrize("failure", [throttled(), UNREACHABLE, None])
async def test_circuit_breaker_without_an_accepted_call_admits_one_at_a_time(
    breaker: CircuitBreaker, failure: CallFailure | None
) -> None:
    for now in (0.0, 1000.0, 2000.0):
        with breaker.call():
            if failure:
                breaker.throttled(now, now + 1, failure)
            assert breaker.is_blocked(now + 500)
        assert not breaker.is_blocked(now + 500)
        assert not breaker.accepted


@pytest.mark.parametrize(("failure", "alone"), [(throttled(), False), (UNREACHABLE, True)])
async def test_circuit_breaker_open_admits_one_call_after_an_unsent_call_and_many_after_a_throttled_one(
    breaker: CircuitBreaker, failure: CallFailure, alone: bool
) -> None:
    breaker.succeeded(0.0, 1.0)
    breaker.throttled(2.0, 3.0, failure)

    with breaker.call():
        assert breaker.is_blocked(100.0) is alone


async def test_circuit_breaker_wait_for_probe_ends_with_the_probe(breaker: CircuitBreaker) -> None:
    with breaker.call():
        waiting = asyncio.create_task(breaker.wait_for_probe())
        await asyncio.sleep(0)
        assert not waiting.done()

    await asyncio.wait_for(waiting, PROBE_SECONDS / 2)


async def test_circuit_breaker_long_probe_admits_other_calls(
    breaker: CircuitBreaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("promptforge.worker.circuit_breaker.PROBE_SECONDS", 0.0)
    with breaker.call():
        await breaker.wait_for_probe()

        assert not breaker.is_blocked(0.0)
