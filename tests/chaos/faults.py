"""The faults of a chaos run: signals to processes, and the log of them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from tests.fakes.provider import Call

RESUME_SECONDS = 2.0
IDENTIFY_SECONDS = 1.0


class FaultKind(StrEnum):
    """A signal and its target."""

    KILL_WORKER = "SIGKILL one worker"
    KILL_ENGINE = "SIGKILL the engine alone"
    KILL_ALL = "SIGKILL engine and workers"
    STOP_WORKER = "SIGSTOP one worker"
    STOP_AND_RESTART = "SIGSTOP one, SIGKILL engine"
    TERM_ENGINE = "SIGTERM the engine"
    TERM_WORKER = "SIGTERM one worker"

    @property
    def graceful(self) -> bool:
        """Whether the workers may wait for the calls in flight, so that no call is repeated.

        They also do so when the engine alone is killed.
        """
        return self in (FaultKind.KILL_ENGINE, FaultKind.TERM_ENGINE, FaultKind.TERM_WORKER)

    @property
    def suspends(self) -> bool:
        """Whether a worker is suspended and resumed."""
        return self in (FaultKind.STOP_WORKER, FaultKind.STOP_AND_RESTART)


KILLS = (FaultKind.KILL_WORKER, FaultKind.KILL_ENGINE, FaultKind.KILL_ALL)
STOPS = (FaultKind.STOP_WORKER, FaultKind.STOP_WORKER, FaultKind.STOP_AND_RESTART)
TERMS = (FaultKind.TERM_ENGINE, FaultKind.TERM_WORKER)


@dataclass
class InjectedFault:
    """One signal and its effects.

    `pids` are the affected worker processes. `ended_at` is when they had exited or were resumed.
    `leased_chunks` counts their leases at that moment, `lost_leases` the ones that a suspended worker lost.
    Of the `repeated_calls` that the fault caused, `unflushed` had an answer before it; the others were in flight.
    `recovery_measured` tells whether the fault before it was over.
    """

    kind: FaultKind
    pids: frozenset[int]
    injected_at: float
    ended_at: float = float("inf")
    leased_chunks: int = 0
    lost_leases: int = 0
    recovered_at: float | None = None
    recovery_measured: bool = True
    repeated_calls: int = 0
    unflushed: int = 0
    allowed: int = 0

    @property
    def affects_calls_until(self) -> float:
        """The end of the time in which the affected processes may start useless calls: they may live on if resumed."""
        return self.ended_at + RESUME_SECONDS if self.kind.suspends else float("inf")


@dataclass
class FaultLog:
    """All faults in the order of time.

    `report` receives a line per fault during the run.
    """

    faults: list[InjectedFault] = field(default_factory=list)
    report: Callable[[str], None] = lambda line: None

    def cause(self, first: Call, repeated: Call) -> InjectedFault | None:
        """Return the fault that lost the answer of a call, so that the call was repeated, or None."""
        affected = [fault for fault in self.faults if first.caller in fault.pids]
        for fault in affected:
            if first.started_at <= fault.ended_at or not fault.kind.suspends:
                return fault
        for fault in affected:
            if first.started_at <= fault.affects_calls_until:
                return fault
        for fault in self.faults:
            started_in_time = fault.injected_at <= repeated.started_at <= fault.affects_calls_until
            if fault.kind.suspends and repeated.caller in fault.pids and started_in_time:
                return fault  # it was suspended between the check of its lease and the call
        if first.caller == 0:  # its process exited before it could be identified
            earlier = (
                fault for fault in reversed(self.faults) if fault.injected_at <= first.started_at + IDENTIFY_SECONDS
            )
            return next(earlier, None)
        return None
