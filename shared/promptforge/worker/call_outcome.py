"""The decision after a failed call: answer the prompt with the failure, call again, or stop the job."""

from collections import Counter
from enum import Enum

from promptforge.domain.retry import FailureKind, backoff_seconds, can_retry, fault_backoff_seconds
from promptforge.ports.provider import CallFailure
from promptforge.worker.admission import Outcome
from promptforge.worker.chunk_run import ChunkRun
from promptforge.worker.circuit_breaker import MAX_ACCOUNT_REJECTIONS
from promptforge.worker.failure_run import FailureRun

REJECTION_VERDICT_SECONDS = 2.0
"""How long a rejection of the account waits for the success of another prompt, which shows that it is the prompt's."""


class Decision(Enum):
    """The step after a failed call."""

    ANSWER = "answer"  # the failure is the answer of the prompt
    RETRY = "retry"
    STOP_JOB = "stop_job"


class PromptCalls:
    """The failed calls of one prompt in this processing of its chunk."""

    def __init__(self, run: ChunkRun, line: int) -> None:
        self._run = run
        self._line = line
        self._rng = run.runtime.context.rng
        self._failures: Counter[FailureKind] = Counter()

    async def decide(self, failure: CallFailure, outcome: Outcome) -> Decision:
        """Return the step after a failed call, after the wait that belongs to it.

        Throttled calls, outages and overload count as no attempt.
        """
        match failure.kind:
            case FailureKind.NOT_SENT if failure.permanent and not outcome.breaker.accepted:
                return Decision.RETRY if await self._job_has_results() else Decision.STOP_JOB
            case FailureKind.THROTTLED | FailureKind.NOT_SENT:
                return Decision.RETRY
            case FailureKind.ACCOUNT:
                return await self._decide_rejection(failure, outcome)
            case FailureKind.TIMEOUT if outcome.overload:
                return Decision.RETRY
            case FailureKind.PROVIDER if outcome.failure_run:
                wait = fault_backoff_seconds(self._failures[failure.kind] + 1, self._rng)
                if await self._has_common_cause(outcome.failure_run, wait) or self._run.stop.is_set:
                    return Decision.RETRY
                return await self._count(failure, pause=False)
        return await self._count(failure)

    async def _decide_rejection(self, failure: CallFailure, outcome: Outcome) -> Decision:
        """A rejection stops the job unless the key was accepted before.

        Then it belongs to the prompt, or it passes, or several probes in a row are rejected too.
        """
        rejected = outcome.breaker.account_rejections >= MAX_ACCOUNT_REJECTIONS
        if failure.final or rejected or (outcome.failure_run is None and not await self._job_has_results()):
            self._run.attempts.record_failure(self._line)
            return Decision.STOP_JOB
        if outcome.failure_run is None:
            outcome.breaker.accepted = True
            return Decision.RETRY
        if not failure.maybe_request_specific:
            return Decision.RETRY
        if await self._has_common_cause(outcome.failure_run, REJECTION_VERDICT_SECONDS) or self._run.stop.is_set:
            return Decision.RETRY
        self._run.attempts.record_failure(self._line)
        return Decision.ANSWER

    async def _has_common_cause(self, failure_run: FailureRun, seconds: float) -> bool:
        """Wait until it is known, or until no further call may start anyway."""
        return failure_run.common_cause or await failure_run.has_common_cause(seconds, self._run.stop.event)

    async def _job_has_results(self) -> bool:
        """Whether the key was accepted earlier, by another process or for another chunk."""
        totals = await self._run.runtime.context.chunks.totals(self._run.job.job_id)
        return totals.completed > 0

    async def _count(self, failure: CallFailure, pause: bool = True) -> Decision:
        failures = self._run.attempts.record_failure(self._line)
        self._failures[failure.kind] += 1
        if not can_retry(failure.kind, failures, self._failures[failure.kind], self._run.job.max_retries):
            return Decision.ANSWER
        if pause:
            await self._run.stop.wait(backoff_seconds(failures, self._rng))
        return Decision.RETRY
