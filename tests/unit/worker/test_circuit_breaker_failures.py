"""The circuit breaker of a model in outages, after rejections of the account, and under too much load."""

import asyncio
import random

import pytest

from promptforge.domain.job import JobError
from promptforge.domain.retry import FailureKind
from promptforge.ports.provider import CallFailure
from promptforge.worker.circuit_breaker import CircuitBreaker
from promptforge.worker.failure_run import COMMON_CAUSE_PROMPTS, FailureRun

FAULT = CallFailure(FailureKind.PROVIDER, "provider_error", "An error.")
REJECTED = CallFailure(FailureKind.ACCOUNT, "provider_account", "The key is rejected.")
MAYBE_SPECIFIC = CallFailure(FailureKind.ACCOUNT, "provider_account", "Rejected.", maybe_request_specific=True)
FINAL = CallFailure(FailureKind.ACCOUNT, "provider_account", "No funds.", final=True)
TIMEOUT = CallFailure(FailureKind.TIMEOUT, "provider_timeout", "No answer.")


@pytest.fixture
def breaker() -> CircuitBreaker:
    """Return the breaker of a provider that has answered a call."""
    breaker = CircuitBreaker(random.Random(1), max_in_flight=8)
    breaker.succeeded(0.0, 1.0)
    return breaker


def fault_prompts(breaker: CircuitBreaker, count: int, now: float = 10.0) -> FailureRun:
    """Record a fault of this number of prompts, one second after their calls began together."""
    runs = {breaker.faulted(("job", line), now - 1.0, now, FAULT) for line in range(count)}
    assert len(runs) == 1
    return runs.pop()


def admits_many(breaker: CircuitBreaker, now: float) -> bool:
    """Return whether a second call may start during a first one."""
    assert not breaker.is_blocked(now)
    with breaker.call():
        return not breaker.is_blocked(now)


async def test_circuit_breaker_faults_of_few_prompts_block_nothing(breaker: CircuitBreaker) -> None:
    run = fault_prompts(breaker, COMMON_CAUSE_PROMPTS - 1)

    assert not run.common_cause
    assert admits_many(breaker, 10.0)


async def test_circuit_breaker_repeated_faults_of_one_prompt_are_no_outage(breaker: CircuitBreaker) -> None:
    for number in range(3 * COMMON_CAUSE_PROMPTS):
        run = breaker.faulted(("job", 1), number, number + 0.5, FAULT)

    assert not run.common_cause
    assert admits_many(breaker, 10.0)


async def test_circuit_breaker_faults_of_one_line_in_many_jobs_are_an_outage(breaker: CircuitBreaker) -> None:
    for number in range(COMMON_CAUSE_PROMPTS):
        run = breaker.faulted((f"job-{number}", 1), 9.0, 10.0, FAULT)

    assert run.common_cause


async def test_circuit_breaker_faults_of_many_prompts_block_with_their_reason(breaker: CircuitBreaker) -> None:
    run = fault_prompts(breaker, COMMON_CAUSE_PROMPTS)

    assert run.common_cause
    assert 10.8 <= breaker.blocked_until <= 11.2
    assert breaker.block_reason == JobError(code="provider_error", message="An error.")
    assert not admits_many(breaker, 12.0)


async def test_circuit_breaker_success_between_faults_starts_the_count_again(breaker: CircuitBreaker) -> None:
    first = fault_prompts(breaker, COMMON_CAUSE_PROMPTS - 1)
    breaker.succeeded(9.0, 10.0)
    second = fault_prompts(breaker, COMMON_CAUSE_PROMPTS - 1)

    assert first is not second
    assert (first.common_cause, second.common_cause) == (False, False)


async def test_circuit_breaker_rejected_prompt_between_faults_starts_the_count_again(breaker: CircuitBreaker) -> None:
    first = fault_prompts(breaker, COMMON_CAUSE_PROMPTS - 1)
    breaker.rejected_prompt()

    assert fault_prompts(breaker, COMMON_CAUSE_PROMPTS - 1) is not first
    assert admits_many(breaker, 10.0)


async def test_circuit_breaker_failed_probes_of_an_outage_block_longer(breaker: CircuitBreaker) -> None:
    fault_prompts(breaker, COMMON_CAUSE_PROMPTS)
    waits = []
    for _ in range(12):
        began_at = breaker.blocked_until
        with breaker.call():
            breaker.faulted(("job", 1), began_at, began_at + 1.0, FAULT)
        waits.append(breaker.blocked_until - began_at - 1.0)

    bases = [min(30.0, 1.5**probes) for probes in range(1, 13)]
    assert all(0.8 * base <= wait <= 1.2 * base for wait, base in zip(waits, bases, strict=True))


async def test_circuit_breaker_late_faults_of_an_outage_do_not_extend_the_block(breaker: CircuitBreaker) -> None:
    fault_prompts(breaker, COMMON_CAUSE_PROMPTS)
    blocked_until = breaker.blocked_until
    for line in range(50):
        breaker.faulted(("job", line), 9.5, 10.5, FAULT)

    assert breaker.blocked_until == blocked_until


@pytest.mark.parametrize("rejected", [False, True])
async def test_circuit_breaker_outage_ends_with_the_first_reply_to_a_prompt(
    breaker: CircuitBreaker, rejected: bool
) -> None:
    fault_prompts(breaker, COMMON_CAUSE_PROMPTS)
    with breaker.call():
        assert breaker.is_blocked(20.0)
        if rejected:
            breaker.rejected_prompt()
        else:
            breaker.succeeded(20.0, 21.0)
        assert not breaker.is_blocked(21.0)

    assert admits_many(breaker, 21.0)
    assert not fault_prompts(breaker, 1, now=22.0).common_cause


async def test_circuit_breaker_long_probe_of_an_outage_stays_alone(
    breaker: CircuitBreaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("promptforge.worker.circuit_breaker.PROBE_SECONDS", 0.0)
    fault_prompts(breaker, COMMON_CAUSE_PROMPTS)
    with breaker.call():
        passed = asyncio.Event()
        asyncio.get_running_loop().call_later(0.0, passed.set)
        await passed.wait()

        assert breaker.is_blocked(20.0)


@pytest.mark.parametrize("failure", [REJECTED, MAYBE_SPECIFIC])
async def test_circuit_breaker_rejected_account_without_an_accepted_call_blocks_without_a_run(
    failure: CallFailure,
) -> None:
    new = CircuitBreaker(random.Random(1), max_in_flight=8)
    with new.call():
        assert new.rejected_account(("job", 1), 0.0, 1.0, failure) is None

    assert new.is_blocked(1.5)  # until the job is stopped: a further call would be rejected too
    assert not admits_many(new, 2.5)
    assert (new.account_rejections, new.accepted) == (0, False)


async def test_circuit_breaker_final_rejection_of_an_accepted_account_has_no_run(breaker: CircuitBreaker) -> None:
    assert breaker.rejected_account(("job", 1), 2.0, 3.0, FINAL) is None


async def test_circuit_breaker_rejection_of_an_accepted_account_blocks_and_tests_the_key(
    breaker: CircuitBreaker,
) -> None:
    run = breaker.rejected_account(("job", 1), 2.0, 3.0, REJECTED)

    assert run is not None
    assert not run.common_cause
    assert 3.8 <= breaker.blocked_until <= 4.2
    assert breaker.block_reason == JobError(code="provider_account", message="The key is rejected.")
    assert not admits_many(breaker, 5.0)


async def test_circuit_breaker_rejections_of_calls_in_flight_count_once(breaker: CircuitBreaker) -> None:
    for line in range(8):
        breaker.rejected_account(("job", line), 2.0, 3.0, REJECTED)

    assert breaker.account_rejections == 1


async def test_circuit_breaker_rejected_probes_count_until_a_success(breaker: CircuitBreaker) -> None:
    for probe in range(1, 4):
        began_at = max(breaker.blocked_until, 2.0)
        breaker.rejected_account(("job", 1), began_at, began_at + 0.5, REJECTED)
        assert breaker.account_rejections == probe
    breaker.succeeded(100.0, 101.0)

    assert breaker.account_rejections == 0
    assert admits_many(breaker, 101.0)


async def test_circuit_breaker_rejections_of_single_requests_block_only_with_a_common_cause(
    breaker: CircuitBreaker,
) -> None:
    for line in range(COMMON_CAUSE_PROMPTS - 1):
        run = breaker.rejected_account(("job", line), 2.0, 3.0, MAYBE_SPECIFIC)
    assert run is not None
    assert (run.common_cause, breaker.account_rejections) == (False, 0)
    assert admits_many(breaker, 3.0)

    assert breaker.rejected_account(("job", 99), 2.0, 3.0, MAYBE_SPECIFIC) is run
    assert (run.common_cause, breaker.account_rejections) == (True, 1)
    assert breaker.is_blocked(3.5)


async def test_circuit_breaker_timeout_of_a_lone_call_belongs_to_its_prompt(breaker: CircuitBreaker) -> None:
    with breaker.concurrency.call():
        assert not breaker.timed_out(2.0, 12.0, TIMEOUT)

    assert not breaker.is_blocked(12.0)


async def test_circuit_breaker_timeouts_under_load_block_nothing_until_a_lone_call_times_out(
    breaker: CircuitBreaker,
) -> None:
    with breaker.concurrency.call(), breaker.concurrency.call():
        assert breaker.timed_out(2.0, 12.0, TIMEOUT)
    assert not breaker.is_blocked(12.0)
    for lone in (1, 2, 3):
        began_at = max(breaker.blocked_until, 12.0)
        with breaker.concurrency.call():
            assert breaker.timed_out(began_at, began_at + 10.0, TIMEOUT)
        assert breaker.blocked_until == began_at + 10.0 + lone * 10.0
    assert breaker.block_reason == JobError(code="provider_timeout", message="No answer.")
