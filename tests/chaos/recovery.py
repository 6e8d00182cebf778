"""The test for the recovery from a fault, on the call log of the fake provider."""

from collections.abc import Sequence

from tests.chaos.faults import InjectedFault
from tests.fakes.provider import Call, Outcome

LOST = (None, Outcome.ABORTED)
"""The outcomes of a call without a response."""


def recovered_workers(fault: InjectedFault, call_log: Sequence[Call], timeout_seconds: float) -> set[int]:
    """Return the workers that made a call since the fault.

    Empty until every lost call was repeated.
    """
    resumed_at = fault.ended_at if fault.kind.suspends else fault.injected_at
    recent = _calls_since(call_log, fault.injected_at - timeout_seconds)
    finished = [call for call in recent if call.outcome not in LOST]
    lost = {call.prompt for call in recent if call.caller in fault.pids and _is_lost(call, fault)}
    repeated = {call.prompt for call in finished if call.started_at > fault.injected_at}
    return {call.caller for call in finished if call.started_at > resumed_at} if lost <= repeated else set()


def _calls_since(call_log: Sequence[Call], time: float) -> Sequence[Call]:
    first = len(call_log)
    while first and call_log[first - 1].started_at > time:
        first -= 1
    return call_log[first:]


def _is_lost(call: Call, fault: InjectedFault) -> bool:
    """Return whether the fault ended the caller during the call."""
    ended_at = call.ended_at or float("inf")
    return call.outcome in LOST and call.started_at <= fault.affects_calls_until and ended_at >= fault.injected_at
