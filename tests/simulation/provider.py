"""The simulated provider of an instance, and the log of every call."""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from promptforge.domain.retry import FailureKind
from promptforge.ports.provider import CallFailure, Completion, CompletionRequest
from tests.simulation.cost_accounting import TOKENS
from tests.simulation.faults import STEP_PROBABILITY

if TYPE_CHECKING:
    from tests.simulation.instances import Instance

REJECTED = CallFailure(
    FailureKind.PROMPT, "prompt_rejected", "Rejected.", input_tokens=TOKENS[0], output_tokens=TOKENS[1]
)
SERVER_ERROR = CallFailure(FailureKind.UNKNOWN, "provider_error", "Server error.")
TIMEOUT = CallFailure(FailureKind.UNKNOWN, "provider_timeout", "Timeout.")
UNREACHABLE = CallFailure(FailureKind.NOT_SENT, "provider_unreachable", "Unreachable.")
KEY_REJECTED = CallFailure(FailureKind.ACCOUNT, "provider_account", "Key rejected.")


@dataclass
class Call:
    """One call.

    Its outcome is "lost" until the caller has received the response.
    """

    number: int
    instance: str
    prompt: str
    started_at: float
    ended_at: float = float("inf")
    outcome: str = "lost"


class SimulatedProvider:
    """The provider port.

    A completion holds the prompt and the number of the call, so its origin is known.
    """

    def __init__(self, instance: "Instance") -> None:
        self._instance = instance

    async def complete(self, request: CompletionRequest, timeout_seconds: float) -> Completion | CallFailure:
        simulator, instance = self._instance.simulator, self._instance
        await instance.step("call before")
        if fault := self._unreachable_fault():
            simulator.record_fault(fault, instance.name)
            return UNREACHABLE
        call = Call(len(simulator.calls), instance.name, request.prompt, simulator.now)
        simulator.calls.append(call)
        simulator.note(f"{instance.name} calls with {request.prompt!r}, call {call.number}")
        if " poison " in request.prompt:
            simulator.record_fault("poison", instance.name)
            instance.crash()
        response = await self._respond(request, timeout_seconds, call)
        await instance.step("call done")
        call.ended_at = simulator.now
        call.outcome = _outcome(response)
        return response

    async def check_model(self, model: str) -> CallFailure | None:
        return None

    def _unreachable_fault(self) -> str | None:
        """Return the fault that prevents a call from being sent, if there is one."""
        simulator = self._instance.simulator
        if any(start <= simulator.now < end for start, end in simulator.plan.unreachable_periods):
            return "unreachable_period"
        return "unreachable" if simulator.draws("unreachable", STEP_PROBABILITY * 10) else None

    async def close(self) -> None:
        return None

    async def _respond(
        self, request: CompletionRequest, timeout_seconds: float, call: Call
    ) -> Completion | CallFailure:
        simulator = self._instance.simulator
        fault = simulator.draw_call_fault(request.prompt)
        seconds = simulator.rng.uniform(60, 130) if fault == "slow_response" else simulator.rng.uniform(0.01, 3)
        await asyncio.sleep(min(timeout_seconds, float("inf") if fault == "no_response" else seconds))
        match fault:
            case "no_response":
                return TIMEOUT
            case "slow_response" if seconds >= timeout_seconds:
                return TIMEOUT
            case "server_error" | "always_failing":
                return SERVER_ERROR
            case "rejected_key":
                return KEY_REJECTED
            case "rejected":
                return REJECTED
            case "throttled" | "throttled_period":
                retry_after = simulator.rng.choice((None, None, 0.5, 2.0, 30.0, 200.0))
                return CallFailure(FailureKind.THROTTLED, "throttled", "Throttled.", retry_after)
        return Completion(f"{request.prompt} answered by call {call.number}", request.model, *TOKENS)


def _outcome(response: Completion | CallFailure) -> str:
    return "answered" if isinstance(response, Completion) else response.kind.value
