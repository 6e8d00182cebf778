"""The simulated provider of a machine, and the ledger of every call."""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from promptforge.domain.retry import FailureKind
from promptforge.ports.provider import CallFailure, Completion, CompletionRequest
from tests.simulation.cost_accounting import TOKENS
from tests.simulation.faults import STEP

if TYPE_CHECKING:
    from tests.simulation.instances import Instance

REFUSED = CallFailure(
    FailureKind.PROMPT, "prompt_rejected", "Refused.", input_tokens=TOKENS[0], output_tokens=TOKENS[1]
)
SERVER_ERROR = CallFailure(FailureKind.UNKNOWN, "provider_error", "A fault.")
TIMEOUT = CallFailure(FailureKind.UNKNOWN, "provider_timeout", "No answer in time.")
UNREACHABLE = CallFailure(FailureKind.NOT_SENT, "provider_unreachable", "Not reached.")
BAD_KEY = CallFailure(FailureKind.ACCOUNT, "provider_account", "The key is refused.")


@dataclass
class Call:
    """One call: who asked what, when, and what came back ("lost" until something does)."""

    serial: int
    machine: str
    prompt: str
    began: float
    ended: float = float("inf")
    outcome: str = "lost"

    @property
    def paid(self) -> bool:
        """Whether the provider may have charged for it."""
        return self.outcome in ("lost", "answered", "unknown")


class SimulatedProvider:
    """The provider port: answers with the prompt and the call's number, so that an answer tells where it is from."""

    def __init__(self, machine: "Instance") -> None:
        self._machine = machine

    async def complete(self, question: CompletionRequest, timeout_seconds: float) -> Completion | CallFailure:
        world, machine = self._machine.world, self._machine
        await machine.reach("ask before")
        if fault := self._not_sent():
            world.fire(fault, machine.name)
            return UNREACHABLE
        call = Call(len(world.calls), machine.name, question.prompt, world.now)
        world.calls.append(call)
        world.note(f"{machine.name} asks {question.prompt!r}, call {call.serial}")
        if " poison " in question.prompt:
            world.fire("poison", machine.name)
            machine.crash()
        reply = await self._reply(question, timeout_seconds, call)
        await machine.reach("ask done")
        call.ended = world.now
        call.outcome = _outcome(reply)
        return reply

    async def check_model(self, model: str) -> CallFailure | None:
        return None

    def _not_sent(self) -> str | None:
        """The fault that keeps a call from being sent, if one does."""
        world = self._machine.world
        if any(start <= world.now < end for start, end in world.plan.cut_offs):
            return "cut_off"
        return "unreachable" if world.chance("unreachable", STEP * 10) else None

    async def close(self) -> None:
        return None

    async def _reply(self, question: CompletionRequest, timeout_seconds: float, call: Call) -> Completion | CallFailure:
        world = self._machine.world
        fate = world.fate_of_call(question.prompt)
        seconds = world.rng.uniform(60, 130) if fate == "slow_answer" else world.rng.uniform(0.01, 3)
        await asyncio.sleep(min(timeout_seconds, float("inf") if fate == "hang" else seconds))
        match fate:
            case "hang":
                return TIMEOUT
            case "slow_answer" if seconds >= timeout_seconds:
                return TIMEOUT
            case "server_error" | "hopeless":
                return SERVER_ERROR
            case "bad_key":
                return BAD_KEY
            case "refusal":
                return REFUSED
            case "throttle" | "storm":
                wait = world.rng.choice((None, None, 0.5, 2.0, 30.0, 200.0))
                return CallFailure(FailureKind.THROTTLED, "throttled", "Wait.", wait)
        return Completion(f"{question.prompt} answered by call {call.serial}", question.model, *TOKENS)


def _outcome(reply: Completion | CallFailure) -> str:
    return "answered" if isinstance(reply, Completion) else reply.kind.value
