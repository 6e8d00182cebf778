"""The permit of a call: each reply reaches the circuit breaker, which tells what a failure may concern."""

import asyncio
import random

import pytest

from promptforge.context import monotonic_time
from promptforge.domain.retry import FailureKind
from promptforge.ports.provider import CallFailure, Completion
from promptforge.worker.admission import Permit
from promptforge.worker.circuit_breaker import CircuitBreaker
from promptforge.worker.failure_run import COMMON_CAUSE_PROMPTS

PROMPT = ("job", 1)


def failure(kind: FailureKind) -> CallFailure:
    return CallFailure(kind, kind.value, "A message.")


@pytest.fixture
async def permit() -> Permit:
    """Return the permit of a call to a provider that has answered before."""
    breaker = CircuitBreaker(random.Random(1), max_in_flight=4)
    breaker.succeeded(0.0, 1.0)
    return Permit(breaker, monotonic_time())


@pytest.mark.parametrize("kind", FailureKind)
async def test_permit_recorded_failure_has_a_run_where_it_may_concern_more_than_its_prompt(
    permit: Permit, kind: FailureKind
) -> None:
    outcome = permit.record(PROMPT, failure(kind))

    assert (outcome.failure_run is not None) is (kind in (FailureKind.PROVIDER, FailureKind.ACCOUNT))
    assert (outcome.breaker, outcome.overload) == (permit.breaker, False)
    assert outcome.seconds >= 0.0


@pytest.mark.parametrize("kind", FailureKind)
async def test_permit_recorded_failure_blocks_calls_where_it_concerns_more_than_its_prompt(
    permit: Permit, kind: FailureKind
) -> None:
    permit.record(PROMPT, failure(kind))

    blocks = (FailureKind.THROTTLED, FailureKind.NOT_SENT, FailureKind.ACCOUNT)
    assert permit.breaker.is_blocked(monotonic_time()) is (kind in blocks)


async def test_permit_recorded_faults_of_many_prompts_have_a_common_cause(permit: Permit) -> None:
    outcomes = [permit.record(("job", line), failure(FailureKind.PROVIDER)) for line in range(COMMON_CAUSE_PROMPTS)]

    assert outcomes[0].failure_run is outcomes[-1].failure_run
    assert outcomes[0].failure_run is not None
    assert outcomes[0].failure_run.common_cause
    assert permit.breaker.is_blocked(monotonic_time())


async def test_permit_recorded_timeout_beside_another_call_is_overload(permit: Permit) -> None:
    with permit.breaker.concurrency.call(), permit.breaker.concurrency.call():
        outcome = permit.record(PROMPT, failure(FailureKind.TIMEOUT))

        assert outcome.overload
        assert permit.breaker.concurrency.is_reached


async def test_permit_recorded_completion_ends_the_run_of_faults(permit: Permit) -> None:
    run = permit.record(PROMPT, failure(FailureKind.PROVIDER)).failure_run
    assert run is not None
    outcome = permit.record(("job", 2), Completion("Yes.", "m", 1, 2))

    assert (outcome.failure_run, outcome.overload) == (None, False)
    assert not await run.has_common_cause(60.0, asyncio.Event())
    assert permit.record(PROMPT, failure(FailureKind.PROVIDER)).failure_run is not run
