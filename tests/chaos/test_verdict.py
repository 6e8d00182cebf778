"""The judge of a storm is judged: it sees what it is there to see."""

from collections import Counter
from typing import Any

from tests.chaos.faults import FaultLog, InjectedFault, Kind
from tests.chaos.jobs import Balance, Sent
from tests.chaos.verdict import Phase
from tests.fakes.provider import Call, Outcome

PROMPTS = {"a": "one", "b": "two", "c": "three"}
DONE = {"status": "COMPLETED", "prompt_count": 3}


def result(name: str, text: str | None = None) -> dict[str, Any]:
    return {"prompt_id": name, "result": PROMPTS[name].upper() if text is None else text}


def settled(results: list[dict[str, Any]], errors: list[dict[str, Any]] | None = None) -> Balance:
    balance = Balance()
    balance.add(Sent(0, PROMPTS, status=DONE), results, errors or [], attempts=4)
    return balance


def phase(calls: list[Call], strikes: list[InjectedFault], faults: Counter[str] | None = None) -> Phase:
    judged = Phase("test", FaultLog(strikes), calls, Balance(), 1.0, max_retries=1, faults=faults)
    judged.assess()
    return judged


def call(caller: int, began_at: float, prompt: str = "p", status: int | None = 200) -> Call:
    return Call(prompt, 1, caller, began_at, began_at + 0.1, status, Outcome.ANSWERED)


def test_a_good_job_has_no_faults() -> None:
    balance = settled([result("a"), result("c")], [{"prompt_id": "b", "attempts": 4}])

    assert (balance.sent, balance.answered, balance.failed) == (3, 2, 1)
    assert (balance.lost, balance.doubled, balance.invented, balance.misplaced, balance.wrong) == (0, 0, 0, 0, 0)


def test_every_kind_of_bad_line_is_counted() -> None:
    assert settled([result("a"), result("c")]).lost == 1
    assert settled([result("a"), result("b"), result("b"), result("c")]).doubled == 1
    assert settled([result("a"), result("b"), result("c")], [{"prompt_id": "x", "attempts": 4}]).invented == 1
    assert settled([result("b"), result("a"), result("c")]).misplaced == 1
    assert settled([result("a"), result("b", "TWO?"), result("c")]).wrong == 1
    assert settled([result("a"), result("b")], [{"prompt_id": "c", "attempts": 3}]).wrong == 1


def test_a_second_call_is_laid_to_the_strike_that_hit_the_first_caller() -> None:
    before = InjectedFault(Kind.KILL_WORKER, frozenset({1}), at=5, until=5, allowed=1)
    other = InjectedFault(Kind.KILL_WORKER, frozenset({2}), at=20, until=20, allowed=1)
    judged = phase([call(1, 4.9), call(2, 6)], [before, other])

    assert (before.paid_twice, other.paid_twice, judged.unexplained) == (1, 0, 0)
    assert list(judged.broken()) == []


def test_a_second_call_without_a_strike_breaks_a_rule() -> None:
    frozen_earlier = InjectedFault(Kind.STOP_WORKER, frozenset({1}), at=1, until=2, allowed=9)
    judged = phase([call(1, 10), call(2, 11)], [frozen_earlier])

    assert judged.unexplained == 1
    assert len(list(judged.broken())) == 1


def test_a_zombies_second_call_is_laid_to_its_freeze() -> None:
    freeze = InjectedFault(Kind.STOP_WORKER, frozenset({1}), at=1, until=5, allowed=9)
    judged = phase([call(2, 4), call(1, 5.1)], [freeze])

    assert (freeze.paid_twice, judged.unexplained) == (1, 0)


def test_what_a_woken_process_called_is_laid_to_the_strike_that_killed_it_then() -> None:
    freeze = InjectedFault(Kind.STOP_WORKER, frozenset({1}), at=1, until=5, allowed=9)
    kill = InjectedFault(Kind.KILL_ALL, frozenset({1, 2}), at=6, until=6, allowed=9)
    phase([call(1, 5.5), call(3, 9)], [freeze, kill])

    assert (freeze.paid_twice, kill.paid_twice, kill.unflushed) == (0, 1, 1)


def test_more_than_a_strike_allows_breaks_a_rule() -> None:
    graceful = InjectedFault(Kind.TERM_ENGINE, frozenset({1}), at=5, until=6, allowed=0)

    assert len(list(phase([call(1, 4.9), call(2, 7)], [graceful]).broken())) == 1


def test_a_prompt_may_be_tried_max_retries_and_one_times_and_again_for_what_a_strike_forgot() -> None:
    throttled = call(1, 0, status=429)
    tries = [call(1, moment, status=500) for moment in (1, 2, 3)]
    strike = InjectedFault(Kind.KILL_WORKER, frozenset({1}), at=2.5, until=2.5)

    assert phase([throttled, *tries[:2]], [], Counter()).over_tries == 0
    assert phase([throttled, *tries], [], Counter()).over_tries == 1
    assert phase([throttled, *tries], [strike], Counter()).over_tries == 0
