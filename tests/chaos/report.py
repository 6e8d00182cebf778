"""The table at the end of a chaos run."""

import statistics
from collections.abc import Iterator

from tests.chaos.faults import FaultKind, InjectedFault
from tests.chaos.verdict import Phase, faults_of

COUNT_ROWS = {
    "jobs": "jobs",
    "prompts sent": "sent",
    "answered": "answered",
    "failed after all attempts": "failed",
    "lost": "lost",
    "duplicate": "duplicate",
    "unexpected": "unexpected",
    "out of order (jobs)": "misplaced",
    "wrong text or status": "wrong",
}


def table(phases: list[Phase]) -> Iterator[str]:
    """Yield the lines of the table."""
    yield from _signals(phases)
    yield ""
    yield from _counts(phases)
    for phase in phases:
        if phase.provider_faults:
            counts = ", ".join(f"{name} {count}" for name, count in sorted(phase.provider_faults.items()))
            yield from ("", f"Provider faults: {counts}")
    yield ""
    yield f"Wall time {sum(phase.seconds for phase in phases):.0f} s"
    broken = [f"{phase.name}: {rule}" for phase in phases for rule in phase.broken_rules()]
    yield from [f"BROKEN  {rule}" for rule in broken] or ["No rule was broken."]


def _signals(phases: list[Phase]) -> Iterator[str]:
    healthy = [phase for phase in phases if phase.provider_faults is None]
    yield f"{'':<35}{'repeated calls, healthy provider':>42}{'lost':>9}{'recovery':>18}"
    columns = f"{'sum':>7}{'unflushed':>11}{'mean':>10}{'most/allowed':>14}{'leases':>9}{'median':>10}{'max':>8}"
    yield f"{'signal':<29}{'sent':>6}{columns}"
    for kind in FaultKind:
        faults = faults_of(phases, kind)
        if faults:
            yield _signal(kind, faults, faults_of(healthy, kind))
    yield f"{'no signal':<29}{'':>6}{sum(phase.unexplained for phase in healthy):>7}{'':>21}{'':>11}{'/ 0':>3}"


def _signal(kind: FaultKind, faults: list[InjectedFault], counted: list[InjectedFault]) -> str:
    row = f"{kind:<29}{len(faults):>6}"
    if counted:
        repeated = [fault.repeated_calls for fault in counted]
        worst = max(counted, key=lambda fault: (fault.repeated_calls, -fault.allowed))
        most = f"{worst.repeated_calls}/{worst.allowed}"
        unflushed = sum(fault.unflushed for fault in counted)
        row += f"{sum(repeated):>7}{unflushed:>11}{statistics.mean(repeated):>10.1f}{most:>14}"
    else:
        row += f"{'-':>7}{'-':>11}{'-':>10}{'-':>14}"
    row += f"{sum(fault.lost_leases for fault in faults) if kind.suspends else '-':>9}"
    seconds = [
        fault.recovered_at - (fault.ended_at if kind.suspends else fault.injected_at)
        for fault in faults
        if fault.recovered_at and fault.recovery_measured
    ]
    return row + (f"{statistics.median(seconds):>8.1f} s{max(seconds):>6.1f} s" if seconds else f"{'-':>10}{'-':>8}")


def _counts(phases: list[Phase]) -> Iterator[str]:
    yield f"{'':<29}" + "".join(f"{phase.name:>18}" for phase in phases)
    for title, name in COUNT_ROWS.items():
        yield f"{title:<29}" + "".join(f"{getattr(phase.answers, name):>18,}" for phase in phases)
    yield f"{'calls':<29}" + "".join(f"{len(phase.call_log):>18,}" for phase in phases)
    exceeded = ["-" if phase.provider_faults is None else f"{phase.attempts_exceeded:,}" for phase in phases]
    yield f"{'attempts exceeded':<29}" + "".join(f"{count:>18}" for count in exceeded)
    yield f"{'seconds':<29}" + "".join(f"{phase.seconds:>18.0f}" for phase in phases)
