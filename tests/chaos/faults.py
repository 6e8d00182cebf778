"""The signals of a storm, and what is written down of each."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from tests.fakes.provider import Call

AWAKE_SECONDS = 2.0


class Kind(StrEnum):
    """A signal and whom it hits."""

    KILL_WORKER = "SIGKILL one worker"
    KILL_ENGINE = "SIGKILL the engine alone"
    KILL_ALL = "SIGKILL engine and workers"
    STOP_WORKER = "SIGSTOP one worker"
    STOP_AND_RESTART = "SIGSTOP one, SIGKILL engine"
    TERM_ENGINE = "SIGTERM the engine"
    TERM_WORKER = "SIGTERM one worker"

    @property
    def graceful(self) -> bool:
        """Whether the workers may let come back what is in flight: then nothing may be paid twice. They also do so
        when the engine alone is killed."""
        return self in (Kind.KILL_ENGINE, Kind.TERM_ENGINE, Kind.TERM_WORKER)

    @property
    def freezes(self) -> bool:
        """Whether a worker was stopped and woken up again."""
        return self in (Kind.STOP_WORKER, Kind.STOP_AND_RESTART)


KILLS = (Kind.KILL_WORKER, Kind.KILL_ENGINE, Kind.KILL_ALL)
STOPS = (Kind.STOP_WORKER, Kind.STOP_WORKER, Kind.STOP_AND_RESTART)
TERMS = (Kind.TERM_ENGINE, Kind.TERM_WORKER)


@dataclass
class InjectedFault:
    """One signal. `hit` are the worker processes it reached, `until` is when it had worked: the process had ended, or
    was woken up again. `held` counts the chunks they held then, `fenced` those that were taken from a frozen one. Of
    what was paid twice, `unflushed` was answered before the strike; the rest was in flight."""

    kind: Kind
    hit: frozenset[int]
    at: float
    until: float = float("inf")
    held: int = 0
    fenced: int = 0
    recovered_at: float | None = None
    alone: bool = True
    paid_twice: int = 0
    unflushed: int = 0
    allowed: int = 0

    @property
    def reaches(self) -> float:
        """Until when calls of the processes it hit may have begun in vain: one that was woken up lives on."""
        return self.until + AWAKE_SECONDS if self.kind.freezes else float("inf")


@dataclass
class FaultLog:
    """All strikes, in the order of time. `tell` hears of each while the storm rages."""

    strikes: list[InjectedFault] = field(default_factory=list)
    tell: Callable[[str], None] = lambda line: None

    def cause(self, first: Call, again: Call) -> InjectedFault | None:
        """The strike that made a call worthless, so that it was made again; None if there is none."""
        hits = [strike for strike in self.strikes if first.caller in strike.hit]
        for strike in hits:
            if first.started_at <= strike.until or not strike.kind.freezes:
                return strike
        for strike in hits:
            if first.started_at <= strike.reaches:
                return strike
        for strike in self.strikes:
            if strike.kind.freezes and again.caller in strike.hit and strike.at <= again.started_at <= strike.reaches:
                return strike  # woken up between its last look at the lease and the call
        if first.caller == 0:  # it died before it could be asked who it is
            return next((strike for strike in reversed(self.strikes) if strike.at <= first.started_at + 1), None)
        return None
