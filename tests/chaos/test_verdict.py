"""The verdict of a chaos run finds each kind of violation."""

from collections import Counter
from typing import Any

from tests.chaos.faults import FaultKind, FaultLog, InjectedFault
from tests.chaos.jobs import AnswerCounts, SentJob
from tests.chaos.verdict import Phase
from tests.fakes.provider import Call, Outcome

PROMPTS = {"a": "one", "b": "two", "c": "three"}
COMPLETED = {"status": "COMPLETED", "prompt_count": 3}


def result(name: str, text: str | None = None) -> dict[str, Any]:
    return {"prompt_id": name, "result": PROMPTS[name].upper() if text is None else text}


def count(results: list[dict[str, Any]], errors: list[dict[str, Any]] | None = None) -> AnswerCounts:
    counts = AnswerCounts()
    counts.add(SentJob(0, PROMPTS, status=COMPLETED), results, errors or [], attempts=4)
    return counts


def assess(calls: list[Call], faults: list[InjectedFault], provider_faults: Counter[str] | None = None) -> Phase:
    phase = Phase("test", FaultLog(faults), calls, AnswerCounts(), 1.0, max_retries=1, provider_faults=provider_faults)
    phase.assess()
    return phase


def call(caller: int, started_at: float, prompt: str = "p", status: int | None = 200) -> Call:
    return Call(prompt, 1, caller, started_at, started_at + 0.1, status, Outcome.ANSWERED)


def fault(kind: FaultKind, *pids: int, injected_at: float, ended_at: float, allowed: int = 0) -> InjectedFault:
    return InjectedFault(kind, frozenset(pids), injected_at, ended_at, allowed=allowed)


def test_answer_counts_of_a_right_job_have_no_violation() -> None:
    counts = count([result("a"), result("c")], [{"prompt_id": "b", "attempts": 4}])

    assert (counts.sent, counts.answered, counts.failed) == (3, 2, 1)
    assert (counts.lost, counts.duplicate, counts.unexpected, counts.misplaced, counts.wrong) == (0, 0, 0, 0, 0)


def test_answer_counts_of_wrong_lines_count_each_kind() -> None:
    assert count([result("a"), result("c")]).lost == 1
    assert count([result("a"), result("b"), result("b"), result("c")]).duplicate == 1
    assert count([result("a"), result("b"), result("c")], [{"prompt_id": "x", "attempts": 4}]).unexpected == 1
    assert count([result("b"), result("a"), result("c")]).misplaced == 1
    assert count([result("a"), result("b", "TWO?"), result("c")]).wrong == 1
    assert count([result("a"), result("b")], [{"prompt_id": "c", "attempts": 3}]).wrong == 1


def test_phase_repeated_call_is_assigned_to_the_fault_of_the_first_caller() -> None:
    cause = fault(FaultKind.KILL_WORKER, 1, injected_at=5, ended_at=5, allowed=1)
    other = fault(FaultKind.KILL_WORKER, 2, injected_at=20, ended_at=20, allowed=1)
    phase = assess([call(1, 4.9), call(2, 6)], [cause, other])

    assert (cause.repeated_calls, other.repeated_calls, phase.unexplained) == (1, 0, 0)
    assert list(phase.broken_rules()) == []


def test_phase_repeated_call_without_fault_breaks_a_rule() -> None:
    earlier = fault(FaultKind.STOP_WORKER, 1, injected_at=1, ended_at=2, allowed=9)
    phase = assess([call(1, 10), call(2, 11)], [earlier])

    assert phase.unexplained == 1
    assert len(list(phase.broken_rules())) == 1


def test_phase_repeated_call_of_resumed_worker_is_assigned_to_its_suspension() -> None:
    suspension = fault(FaultKind.STOP_WORKER, 1, injected_at=1, ended_at=5, allowed=9)
    phase = assess([call(2, 4), call(1, 5.1)], [suspension])

    assert (suspension.repeated_calls, phase.unexplained) == (1, 0)


def test_phase_call_of_resumed_worker_is_assigned_to_the_kill_after_it() -> None:
    suspension = fault(FaultKind.STOP_WORKER, 1, injected_at=1, ended_at=5, allowed=9)
    kill = fault(FaultKind.KILL_ALL, 1, 2, injected_at=6, ended_at=6, allowed=9)
    assess([call(1, 5.5), call(3, 9)], [suspension, kill])

    assert (suspension.repeated_calls, kill.repeated_calls, kill.unflushed) == (0, 1, 1)


def test_phase_more_repeated_calls_than_allowed_break_a_rule() -> None:
    graceful = fault(FaultKind.TERM_ENGINE, 1, injected_at=5, ended_at=6, allowed=0)

    assert len(list(assess([call(1, 4.9), call(2, 7)], [graceful]).broken_rules())) == 1


def test_phase_allows_max_retries_and_one_attempts_and_those_that_a_fault_lost() -> None:
    throttled = call(1, 0, status=429)
    attempts = [call(1, started_at, status=500) for started_at in (1, 2, 3)]
    kill = fault(FaultKind.KILL_WORKER, 1, injected_at=2.5, ended_at=2.5)

    assert assess([throttled, *attempts[:2]], [], Counter()).attempts_exceeded == 0
    assert assess([throttled, *attempts], [], Counter()).attempts_exceeded == 1
    assert assess([throttled, *attempts], [kill], Counter()).attempts_exceeded == 0
