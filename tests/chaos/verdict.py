"""What the ledger and the results say about a storm: sums, and which rules were broken."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from tests.chaos.faults import FaultLog, InjectedFault, Kind
from tests.chaos.jobs import Balance
from tests.fakes.provider import Call

THROTTLED = 429


@dataclass
class Phase:
    """Everything that is known of a phase at its end. `stuck` is a rule that was broken on the way. `faults` counts
    what the provider played; None where it was only slow, so that every second call has a strike to answer for it."""

    name: str
    diary: FaultLog
    ledger: list[Call]
    balance: Balance
    seconds: float
    max_retries: int
    stuck: str = ""
    faults: Counter[str] | None = None
    unexplained: int = 0
    over_tries: int = 0

    def assess(self) -> None:
        """Lay each repeated call to the charge of a strike, or count the prompts that were tried too often."""
        calls = defaultdict(list)
        for call in self.ledger:
            calls[call.prompt].append(call)
        for asked in calls.values():
            if self.faults is None:
                self._charge(asked)
            elif self._too_often(asked):
                self.over_tries += 1

    def broken(self) -> Iterator[str]:
        """The rules that were broken, in words."""
        if self.stuck:
            yield self.stuck
        for what in ("lost", "doubled", "invented", "misplaced", "wrong"):
            if count := getattr(self.balance, what):
                yield f"{what}: {count}"
        if self.unexplained:
            yield f"{self.unexplained} calls were paid twice without any signal"
        if self.over_tries:
            yield f"{self.over_tries} prompts were tried more often than max_retries + 1"
        for strike in self.diary.strikes:
            if strike.paid_twice > strike.allowed:
                yield f"{strike.kind}: {strike.paid_twice} paid twice, at most {strike.allowed} allowed"

    def _charge(self, asked: list[Call]) -> None:
        for first, again in pairwise(asked):
            strike = self.diary.cause(first, again)
            if strike:
                strike.paid_twice += 1
                strike.unflushed += (first.ended_at or strike.at) < strike.at
            else:
                self.unexplained += 1

    def _too_often(self, asked: list[Call]) -> bool:
        """A throttled call is no try. A try that a strike took away may be forgotten, and is then made again."""
        tries = [call for call in asked if call.status != THROTTLED]
        forgotten = sum(any(_forgets(strike, call) for strike in self.diary.strikes) for call in tries)
        return len(tries) > self.max_retries + 1 + forgotten


def _forgets(strike: InjectedFault, call: Call) -> bool:
    brutal = not strike.kind.graceful
    return brutal and (call.caller in strike.hit or call.caller == 0) and call.started_at <= strike.reaches


def faults_of(phases: list[Phase], kind: Kind) -> list[InjectedFault]:
    """All strikes of a kind."""
    return [strike for phase in phases for strike in phase.diary.strikes if strike.kind is kind]
