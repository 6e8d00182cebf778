import random

import pytest

from promptforge.service.gate import Gate


@pytest.fixture
def gate() -> Gate:
    return Gate(random.Random(1))


def test_a_new_gate_is_open(gate: Gate) -> None:
    assert gate.opens_at < 0


def test_a_throttle_shuts_the_gate_for_a_while(gate: Gate) -> None:
    gate.throttled(began_at=0.0, now=10.0, asked=None)

    assert 11.0 <= gate.opens_at <= 12.0


def test_many_calls_throttled_at_once_are_one_episode(gate: Gate) -> None:
    for number in range(200):
        gate.throttled(began_at=number / 1000, now=10.0 + number / 1000, asked=None)

    assert 11.0 <= gate.opens_at <= 12.0


def test_each_further_episode_waits_longer(gate: Gate) -> None:
    waits = []
    now = 0.0
    for _ in range(8):
        began_at = max(now, gate.opens_at)
        now = began_at + 1.0
        for _ in range(20):
            gate.throttled(began_at, now, asked=None)
        waits.append(gate.opens_at - now)

    ceilings = [2, 4, 8, 16, 32, 60, 60, 60]
    assert all(ceiling / 2 <= wait <= ceiling for wait, ceiling in zip(waits, ceilings, strict=True))


def test_an_answer_makes_the_next_wait_short_again(gate: Gate) -> None:
    for episode in range(5):
        gate.throttled(began_at=episode * 100.0, now=episode * 100.0 + 1, asked=None)
    gate.answered(began_at=1000.0)

    gate.throttled(began_at=1000.0, now=1001.0, asked=None)

    assert 1002.0 <= gate.opens_at <= 1003.0


def test_the_wait_that_was_asked_for_is_kept(gate: Gate) -> None:
    gate.throttled(began_at=0.0, now=10.0, asked=7.0)

    assert gate.opens_at == 17.0


def test_the_longest_wait_of_an_episode_wins(gate: Gate) -> None:
    for asked in (3.0, 30.0, 5.0, None):
        gate.throttled(began_at=0.0, now=10.0, asked=asked)

    assert gate.opens_at == 40.0


@pytest.mark.parametrize(("asked", "wait"), [(0.0, 0.5), (-5.0, 0.5), (1e9, 300.0), (300.0, 300.0)])
def test_an_absurd_wait_is_kept_within_bounds(gate: Gate, asked: float, wait: float) -> None:
    gate.throttled(began_at=0.0, now=10.0, asked=asked)

    assert gate.opens_at == 10.0 + wait


def test_a_gate_never_opens_earlier_than_it_said(gate: Gate) -> None:
    gate.throttled(began_at=0.0, now=10.0, asked=100.0)

    gate.throttled(began_at=10.0, now=11.0, asked=None)

    assert gate.opens_at == 110.0


def test_calls_throttled_at_the_very_same_instant_are_one_episode(gate: Gate) -> None:
    for _ in range(50):
        gate.throttled(began_at=10.0, now=10.0, asked=None)

    assert gate.opens_at <= 12.0


def test_an_answer_to_a_call_from_before_the_throttle_says_nothing(gate: Gate) -> None:
    waits = []
    for episode in range(4):
        gate.throttled(began_at=episode * 100.0, now=episode * 100.0 + 1, asked=None)
        gate.answered(began_at=episode * 100.0)
        waits.append(gate.opens_at - (episode * 100.0 + 1))

    assert waits[3] > 4.0
