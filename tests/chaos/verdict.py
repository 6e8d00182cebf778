"""The verdict on a phase: each repeated call has a cause, and no rule was broken."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from tests.chaos.faults import FaultKind, FaultLog, InjectedFault
from tests.chaos.jobs import AnswerCounts
from tests.fakes.provider import Call

THROTTLED = 429


@dataclass
class Phase:
    """The records of a phase at its end.

    `stuck` is a rule that was broken during the phase. `provider_faults` counts the faults of the provider. It is None
    for a healthy provider, at which every repeated call must have an injected fault as its cause.
    """

    name: str
    fault_log: FaultLog
    call_log: list[Call]
    answers: AnswerCounts
    seconds: float
    max_retries: int
    stuck: str = ""
    provider_faults: Counter[str] | None = None
    unexplained: int = 0
    attempts_exceeded: int = 0

    def assess(self) -> None:
        """Assign each repeated call to a fault, or count the prompts with too many attempts."""
        by_prompt = defaultdict(list)
        for call in self.call_log:
            by_prompt[call.prompt].append(call)
        for calls in by_prompt.values():
            if self.provider_faults is None:
                self._assign(calls)
            elif self._exceeds_attempts(calls):
                self.attempts_exceeded += 1

    def broken_rules(self) -> Iterator[str]:
        """Yield each broken rule in words."""
        if self.stuck:
            yield self.stuck
        for name in ("lost", "duplicate", "unexpected", "misplaced", "wrong"):
            if count := getattr(self.answers, name):
                yield f"{name}: {count}"
        if self.unexplained:
            yield f"{self.unexplained} calls were repeated without a signal"
        if self.attempts_exceeded:
            yield f"{self.attempts_exceeded} prompts had more attempts than max_retries + 1"
        for fault in self.fault_log.faults:
            if fault.repeated_calls > fault.allowed:
                yield f"{fault.kind}: {fault.repeated_calls} repeated calls, at most {fault.allowed} allowed"

    def _assign(self, calls: list[Call]) -> None:
        for first, repeated in pairwise(calls):
            fault = self.fault_log.cause(first, repeated)
            if fault:
                fault.repeated_calls += 1
                fault.unflushed += (first.ended_at or fault.injected_at) < fault.injected_at
            else:
                self.unexplained += 1

    def _exceeds_attempts(self, calls: list[Call]) -> bool:
        """Return whether a prompt had too many attempts.

        A throttled call is no attempt. An attempt that a fault interrupted may be lost, and is then repeated.
        """
        attempts = [call for call in calls if call.status != THROTTLED]
        lost = sum(any(_may_lose(fault, call) for fault in self.fault_log.faults) for call in attempts)
        return len(attempts) > self.max_retries + 1 + lost


def _may_lose(fault: InjectedFault, call: Call) -> bool:
    """Return whether the fault may lose the record of an attempt."""
    affected = call.caller in fault.pids or call.caller == 0
    return not fault.kind.graceful and affected and call.started_at <= fault.affects_calls_until


def faults_of(phases: list[Phase], kind: FaultKind) -> list[InjectedFault]:
    """Return all faults of a kind."""
    return [fault for phase in phases for fault in phase.fault_log.faults if fault.kind is kind]
