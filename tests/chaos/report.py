"""The table at the end."""

import statistics
from collections.abc import Iterator

from tests.chaos.faults import InjectedFault, Kind
from tests.chaos.verdict import Phase, faults_of


def lines(phases: list[Phase]) -> Iterator[str]:
    """The whole table, in lines."""
    yield from _signals(phases)
    yield ""
    yield from _prompts(phases)
    for phase in phases:
        if phase.faults:
            yield ""
            yield f"Faults played: {', '.join(f'{name} {count}' for name, count in sorted(phase.faults.items()))}"
    yield ""
    yield f"Wall time {sum(phase.seconds for phase in phases):.0f} s"
    broken = [f"{phase.name}: {rule}" for phase in phases for rule in phase.broken()]
    yield from [f"BROKEN  {rule}" for rule in broken] or ["Every rule was kept."]


def _signals(phases: list[Phase]) -> Iterator[str]:
    paid = [phase for phase in phases if phase.faults is None]
    yield f"{'':<35}{'paid twice, fair provider':>42}{'chunks':>9}{'recovery':>18}"
    columns = f"{'sum':>7}{'unflushed':>11}{'a strike':>10}{'most/allowed':>14}{'fenced':>9}{'median':>10}{'max':>8}"
    yield f"{'signal':<29}{'sent':>6}{columns}"
    for kind in Kind:
        strikes = faults_of(phases, kind)
        if strikes:
            yield _signal(kind, strikes, faults_of(paid, kind))
    yield f"{'no signal':<29}{'':>6}{sum(phase.unexplained for phase in paid):>7}{'':>21}{'':>11}{'/ 0':>3}"


def _signal(kind: Kind, strikes: list[InjectedFault], counted: list[InjectedFault]) -> str:
    row = f"{kind:<29}{len(strikes):>6}"
    if counted:
        paid = [strike.paid_twice for strike in counted]
        worst = max(counted, key=lambda strike: (strike.paid_twice, -strike.allowed))
        most = f"{worst.paid_twice}/{worst.allowed}"
        unflushed = sum(strike.unflushed for strike in counted)
        row += f"{sum(paid):>7}{unflushed:>11}{statistics.mean(paid):>10.1f}{most:>14}"
    else:
        row += f"{'-':>7}{'-':>11}{'-':>10}{'-':>14}"
    row += f"{sum(strike.fenced for strike in strikes) if kind.freezes else '-':>9}"
    spans = [
        strike.recovered_at - (strike.until if kind.freezes else strike.at)
        for strike in strikes
        if strike.recovered_at and strike.alone
    ]
    return row + (f"{statistics.median(spans):>8.1f} s{max(spans):>6.1f} s" if spans else f"{'-':>10}{'-':>8}")


def _prompts(phases: list[Phase]) -> Iterator[str]:
    yield f"{'':<29}" + "".join(f"{phase.name:>16}" for phase in phases)
    rows = {
        "jobs": "jobs",
        "prompts sent": "sent",
        "answered": "answered",
        "failed, all tries used up": "failed",
        "lost": "lost",
        "doubled": "doubled",
        "invented": "invented",
        "out of order (jobs)": "misplaced",
        "wrong text or status": "wrong",
    }
    for title, name in rows.items():
        yield f"{title:<29}" + "".join(f"{getattr(phase.balance, name):>16,}" for phase in phases)
    yield f"{'calls paid':<29}" + "".join(f"{len(phase.ledger):>16,}" for phase in phases)
    tries = ["-" if phase.faults is None else f"{phase.over_tries:,}" for phase in phases]
    yield f"{'tried too often':<29}" + "".join(f"{count:>16}" for count in tries)
    yield f"{'seconds':<29}" + "".join(f"{phase.seconds:>16.0f}" for phase in phases)
