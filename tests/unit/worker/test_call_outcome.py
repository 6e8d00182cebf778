"""The decision after a failed call: retry, answer the prompt with the failure, or stop the job."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from promptforge.domain.retry import FailureKind
from promptforge.ports.provider import CallFailure
from promptforge.worker.admission import Outcome
from promptforge.worker.call_outcome import Decision, PromptCalls
from promptforge.worker.chunk_run import ChunkRun
from promptforge.worker.circuit_breaker import MAX_ACCOUNT_REJECTIONS, CircuitBreaker
from promptforge.worker.failure_run import COMMON_CAUSE_PROMPTS, FailureRun
from tests.harness.chunk_scenario import add_result, chunk_scenario
from tests.harness.lines import prompts

LINE = 2
REJECTED = CallFailure(FailureKind.ACCOUNT, "provider_account", "The key is rejected.")
MAYBE_SPECIFIC = replace(REJECTED, maybe_request_specific=True)
FINAL = replace(REJECTED, final=True)
UNTRUSTED = CallFailure(FailureKind.NOT_SENT, "provider_unreachable", "Not trusted.", permanent=True)


def failure(kind: FailureKind) -> CallFailure:
    return CallFailure(kind, kind.value, "A message.")


def ended_run() -> FailureRun:
    """Return a run of one failure that a success has ended: the failure belongs to its prompt."""
    run = FailureRun()
    run.add(("job", LINE))
    run.end()
    return run


def common_run() -> FailureRun:
    """Return a run whose failures have a common cause."""
    run = FailureRun()
    for line in range(COMMON_CAUSE_PROMPTS):
        run.add(("job", line))
    return run


@dataclass
class Setup:
    """The calls of one prompt, whose job allows two retries."""

    run: ChunkRun
    breaker: CircuitBreaker
    calls: PromptCalls

    async def decide(
        self, failure: CallFailure, failure_run: FailureRun | None = None, overload: bool = False
    ) -> Decision:
        async with asyncio.timeout(20):
            return await self.calls.decide(failure, Outcome(self.breaker, 1.0, failure_run, overload))

    @property
    def attempts(self) -> int:
        return self.run.attempts.failed(LINE)


@asynccontextmanager
async def setup(folder: Path, has_results: bool = False, stopped: bool = True) -> AsyncIterator[Setup]:
    async with chunk_scenario(folder) as scenario:
        run = await scenario.claim(await scenario.submit(prompts(3), max_retries=2))
        if has_results:
            add_result(run, 1)
            await run.output.flush()
        if stopped:
            run.stop.release_at()  # so that no wait lasts
        yield Setup(run, scenario.stack.runtime.circuit_breaker("openai", "m"), PromptCalls(run, LINE))


@pytest.mark.parametrize("kind", [FailureKind.THROTTLED, FailureKind.NOT_SENT])
async def test_decide_call_without_cost_is_retried_and_counts_no_attempt(tmp_path: Path, kind: FailureKind) -> None:
    async with setup(tmp_path) as s:
        assert {await s.decide(failure(kind)) for _ in range(10)} == {Decision.RETRY}
        assert s.attempts == 0


@pytest.mark.parametrize(
    ("kind", "calls"),
    [
        (FailureKind.UNKNOWN, 3),
        (FailureKind.PROVIDER, 3),
        (FailureKind.TIMEOUT, 2),
        (FailureKind.UNREADABLE, 2),
        (FailureKind.PROMPT, 1),
    ],
)
async def test_decide_failed_calls_are_retried_up_to_the_limit_of_their_kind(
    tmp_path: Path, kind: FailureKind, calls: int
) -> None:
    async with setup(tmp_path) as s:
        decisions = [await s.decide(failure(kind)) for _ in range(calls)]

        assert decisions == [Decision.RETRY] * (calls - 1) + [Decision.ANSWER]
        assert s.attempts == calls


async def test_decide_failures_of_different_kinds_count_together(tmp_path: Path) -> None:
    async with setup(tmp_path) as s:
        kinds = [FailureKind.TIMEOUT, FailureKind.UNREADABLE, FailureKind.UNKNOWN]

        assert [await s.decide(failure(kind)) for kind in kinds] == [Decision.RETRY, Decision.RETRY, Decision.ANSWER]


async def test_decide_timeout_under_load_counts_no_attempt(tmp_path: Path) -> None:
    async with setup(tmp_path) as s:
        decisions = {await s.decide(failure(FailureKind.TIMEOUT), overload=True) for _ in range(10)}

        assert (decisions, s.attempts) == ({Decision.RETRY}, 0)


async def test_decide_fault_in_an_outage_counts_no_attempt(tmp_path: Path) -> None:
    async with setup(tmp_path) as s:
        decisions = {await s.decide(failure(FailureKind.PROVIDER), common_run()) for _ in range(10)}

        assert (decisions, s.attempts) == ({Decision.RETRY}, 0)


async def test_decide_fault_of_a_stopped_chunk_counts_no_attempt(tmp_path: Path) -> None:
    async with setup(tmp_path) as s:
        assert await s.decide(failure(FailureKind.PROVIDER), ended_run()) is Decision.RETRY
        assert s.attempts == 0


async def test_decide_fault_that_belongs_to_its_prompt_counts_as_attempts(tmp_path: Path) -> None:
    async with setup(tmp_path, stopped=False) as s:
        decisions = [await s.decide(failure(FailureKind.PROVIDER), ended_run()) for _ in range(3)]

        assert decisions == [Decision.RETRY, Decision.RETRY, Decision.ANSWER]
        assert s.run.attempts.failures == {LINE: 3}


async def test_decide_fault_waits_for_the_cause(tmp_path: Path) -> None:
    async with setup(tmp_path, stopped=False) as s:
        run = FailureRun()
        run.add(("job", LINE))
        deciding = asyncio.create_task(s.decide(failure(FailureKind.PROVIDER), run))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not deciding.done()
        for line in range(COMMON_CAUSE_PROMPTS):
            run.add(("job", line))

        assert await deciding is Decision.RETRY
        assert s.attempts == 0


async def test_decide_rejection_that_belongs_to_its_prompt_is_its_answer(tmp_path: Path) -> None:
    async with setup(tmp_path, has_results=True, stopped=False) as s:
        assert await s.decide(MAYBE_SPECIFIC, ended_run()) is Decision.ANSWER
        assert s.attempts == 1


@pytest.mark.parametrize("failure", [REJECTED, MAYBE_SPECIFIC, FINAL])
async def test_decide_rejection_of_an_account_that_was_never_accepted_stops_the_job(
    tmp_path: Path, failure: CallFailure
) -> None:
    async with setup(tmp_path) as s:
        assert await s.decide(failure) is Decision.STOP_JOB
        assert s.attempts == 1


@pytest.mark.parametrize("failure", [REJECTED, MAYBE_SPECIFIC])
async def test_decide_rejection_in_a_job_with_results_accepts_the_account_and_retries(
    tmp_path: Path, failure: CallFailure
) -> None:
    async with setup(tmp_path, has_results=True) as s:
        assert await s.decide(failure) is Decision.RETRY
        assert (s.breaker.accepted, s.attempts) == (True, 0)


async def test_decide_final_rejection_stops_a_job_with_results(tmp_path: Path) -> None:
    async with setup(tmp_path, has_results=True) as s:
        assert await s.decide(FINAL, ended_run()) is Decision.STOP_JOB


@pytest.mark.parametrize(
    ("rejections", "decision"),
    [(MAX_ACCOUNT_REJECTIONS - 1, Decision.RETRY), (MAX_ACCOUNT_REJECTIONS, Decision.STOP_JOB)],
)
async def test_decide_rejection_of_an_accepted_account_stops_the_job_after_several_probes(
    tmp_path: Path, rejections: int, decision: Decision
) -> None:
    async with setup(tmp_path, has_results=True) as s:
        s.breaker.account_rejections = rejections

        assert await s.decide(REJECTED, FailureRun()) is decision


async def test_decide_rejection_with_a_common_cause_is_retried(tmp_path: Path) -> None:
    async with setup(tmp_path, has_results=True) as s:
        assert await s.decide(MAYBE_SPECIFIC, common_run()) is Decision.RETRY
        assert s.attempts == 0


@pytest.mark.parametrize(
    ("accepted", "has_results", "decision"),
    [(False, False, Decision.STOP_JOB), (True, False, Decision.RETRY), (False, True, Decision.RETRY)],
)
async def test_decide_call_that_can_never_be_sent_stops_a_job_without_results(
    tmp_path: Path, accepted: bool, has_results: bool, decision: Decision
) -> None:
    async with setup(tmp_path, has_results) as s:
        s.breaker.accepted = accepted

        assert await s.decide(UNTRUSTED) is decision
        assert s.attempts == 0
