import asyncio
import random

import pytest

from promptforge.domain.job import JobError
from promptforge.domain.retry import FailureKind
from promptforge.domain.timeouts import PROBE_SECONDS, REJECTION_SECONDS
from promptforge.ports.provider import CallFailure, Completion
from promptforge.worker.circuit_breaker import CircuitBreaker

ANSWER = Completion("Yes.", "model-1", 1, 2)
REFUSED = CallFailure(FailureKind.ACCOUNT, "provider_account", "The key is refused.")
UNREACHABLE = CallFailure(FailureKind.NOT_SENT, "provider_unreachable", "Not reached.")
SERVER_ERROR = CallFailure(FailureKind.UNKNOWN, "provider_error", "A fault.")
REJECTED = CallFailure(FailureKind.PROMPT, "prompt_rejected", "Refused.")


def throttled(wait: float | None = None) -> CallFailure:
    return CallFailure(FailureKind.THROTTLED, "throttled", "Wait.", wait)


@pytest.fixture
def gate() -> CircuitBreaker:
    return CircuitBreaker(random.Random(1))


def test_a_new_gate_is_open(gate: CircuitBreaker) -> None:
    assert gate.blocked_until < 0


def test_a_throttle_shuts_the_gate_for_a_while(gate: CircuitBreaker) -> None:
    gate.record(0.0, 10.0, throttled(None))

    assert 11.0 <= gate.blocked_until <= 12.0


def test_many_calls_throttled_at_once_are_one_episode(gate: CircuitBreaker) -> None:
    for number in range(200):
        gate.record(number / 1000, 10.0 + number / 1000, throttled(None))

    assert 11.0 <= gate.blocked_until <= 12.0


def test_each_further_episode_waits_longer(gate: CircuitBreaker) -> None:
    waits = []
    now = 0.0
    for _ in range(8):
        began_at = max(now, gate.blocked_until)
        now = began_at + 1.0
        for _ in range(20):
            gate.record(began_at, now, throttled())
        waits.append(gate.blocked_until - now)

    ceilings = [2, 4, 8, 16, 32, 60, 60, 60]
    assert all(ceiling / 2 <= wait <= ceiling for wait, ceiling in zip(waits, ceilings, strict=True))


def test_an_answer_makes_the_next_wait_short_again(gate: CircuitBreaker) -> None:
    for episode in range(5):
        gate.record(episode * 100.0, episode * 100.0 + 1, throttled(None))
    gate.record(1000.0, 1000.5, ANSWER)

    gate.record(1000.0, 1001.0, throttled(None))

    assert 1002.0 <= gate.blocked_until <= 1003.0


def test_the_wait_that_was_asked_for_is_kept(gate: CircuitBreaker) -> None:
    gate.record(0.0, 10.0, throttled(7.0))

    assert gate.blocked_until == 17.0


def test_the_longest_wait_of_an_episode_wins(gate: CircuitBreaker) -> None:
    for asked in (3.0, 30.0, 5.0, None):
        gate.record(0.0, 10.0, throttled(asked))

    assert gate.blocked_until == 40.0


@pytest.mark.parametrize(("asked", "wait"), [(0.0, 0.5), (-5.0, 0.5), (1e9, 300.0), (300.0, 300.0)])
def test_an_absurd_wait_is_kept_within_bounds(gate: CircuitBreaker, asked: float, wait: float) -> None:
    gate.record(0.0, 10.0, throttled(asked))

    assert gate.blocked_until == 10.0 + wait


def test_a_gate_never_opens_earlier_than_it_said(gate: CircuitBreaker) -> None:
    gate.record(0.0, 10.0, throttled(100.0))

    gate.record(10.0, 11.0, throttled(None))

    assert gate.blocked_until == 110.0


def test_calls_throttled_at_the_very_same_instant_are_one_episode(gate: CircuitBreaker) -> None:
    for _ in range(50):
        gate.record(10.0, 10.0, throttled(None))

    assert gate.blocked_until <= 12.0


def test_an_answer_to_a_call_from_before_the_throttle_says_nothing(gate: CircuitBreaker) -> None:
    waits = []
    for episode in range(4):
        gate.record(episode * 100.0, episode * 100.0 + 1, throttled(None))
        gate.record(episode * 100.0, episode * 100.0 + 0.5, ANSWER)
        waits.append(gate.blocked_until - (episode * 100.0 + 1))

    assert waits[3] > 4.0


def test_a_call_that_could_not_be_sent_shuts_the_gate_and_says_why(gate: CircuitBreaker) -> None:
    gate.record(0.0, 10.0, UNREACHABLE)

    assert 11.0 <= gate.blocked_until <= 12.0
    assert gate.block_reason == JobError(code="provider_unreachable", message="Not reached.")


async def test_the_first_call_goes_alone_and_an_answer_lets_in_all(gate: CircuitBreaker) -> None:
    with gate.call():
        assert gate.is_blocked(0.0)
        gate.record(0.0, 1.0, ANSWER)

        assert not gate.is_blocked(1.0)
    with gate.call(), gate.call():
        assert not gate.is_blocked(2.0)


@pytest.mark.parametrize("reply", [ANSWER, SERVER_ERROR, REJECTED])
async def test_whatever_the_provider_says_of_a_prompt_proves_the_key(
    gate: CircuitBreaker, reply: Completion | CallFailure
) -> None:
    with gate.call():
        gate.record(0.0, 1.0, reply)

    with gate.call():
        assert not gate.is_blocked(2.0)


@pytest.mark.parametrize("reply", [throttled(), UNREACHABLE, None])
async def test_as_long_as_no_call_was_taken_they_go_one_at_a_time(
    gate: CircuitBreaker, reply: CallFailure | None
) -> None:
    for now in (0.0, 1000.0, 2000.0):
        with gate.call():
            if reply:
                gate.record(now, now + 1, reply)
            assert gate.is_blocked(now + 500)
        assert not gate.is_blocked(now + 500)


async def test_a_refused_key_is_remembered_for_a_minute_and_then_one_call_finds_out_anew(gate: CircuitBreaker) -> None:
    with gate.call():
        gate.record(0.0, 1.0, ANSWER)
    with gate.call():
        gate.record(2.0, 3.0, REFUSED)

    assert gate.rejection(2.0 + REJECTION_SECONDS) == JobError(code="provider_account", message="The key is refused.")
    assert gate.is_blocked(2.0 + REJECTION_SECONDS)
    assert not gate.is_blocked(3.0 + REJECTION_SECONDS)
    with gate.call():
        assert gate.is_blocked(3.0 + REJECTION_SECONDS)


async def test_those_who_wait_for_the_first_call_go_on_when_it_ends(gate: CircuitBreaker) -> None:
    with gate.call():
        waiting = asyncio.create_task(gate.wait_for_probe())
        await asyncio.sleep(0)
        assert not waiting.done()

    await asyncio.wait_for(waiting, PROBE_SECONDS / 2)


async def test_a_first_call_that_takes_long_lets_in_the_others(
    gate: CircuitBreaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("promptforge.worker.circuit_breaker.PROBE_SECONDS", 0.0)
    with gate.call():
        await gate.wait_for_probe()

        assert not gate.is_blocked(0.0)
