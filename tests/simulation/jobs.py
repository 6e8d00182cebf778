"""The jobs of a run: their input, drawn from the seed, and the outcome that their clients see."""

import random
from dataclasses import dataclass, field
from typing import Any

import orjson

from tests.simulation.cost_accounting import CALL_USD
from tests.simulation.faults import FaultPlan

CANARY = "CANARY"


@dataclass(frozen=True)
class InputLine:
    """A line of the input.

    `kind` decides its outcome: "prompt", "rejected", "poison", "always_failing", "blank", or the code of its error.
    """

    number: int
    kind: str
    content: bytes
    prompt_id: str | None = None
    prompt: str = ""


@dataclass
class SimulatedJob:
    """A job as its client creates it, and what the client knows of it."""

    number: int
    client: str
    lines: list[InputLine]
    max_retries: int
    max_cost_usd: float | None = None
    job_id: str = ""
    cancelled_at: float = float("inf")
    delete_sent_at: float = float("inf")
    deleted_at: float = float("inf")
    final: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] | None = None

    @property
    def content(self) -> bytes:
        """The input file."""
        return b"\n".join(line.content for line in self.lines)


def draw_job(rng: random.Random, number: int, plan: FaultPlan) -> SimulatedJob:
    """Draw a job of a few lines of every kind."""
    kinds = ["prompt"] * 12 + ["rejected", "invalid_json", "missing_prompt", "line_too_long", "duplicate", "blank"]
    kinds += [kind for kind in ("poison", "always_failing") if kind in plan.faults]
    size = rng.choice((1, 3, 10, 20, 40))
    lines: list[InputLine] = []
    for line_number in range(1, size + 1):
        lines.append(_draw_line(rng, number, line_number, rng.choice(kinds), lines))
    calls = rng.choice((None, 1, 3, 5, 10)) if "cost_limit" in plan.faults else None
    client, max_retries = rng.choice(("alice", "bob")), rng.choice((0, 1, 3, 10))
    return SimulatedJob(number, client, lines, max_retries, None if calls is None else calls * CALL_USD)


def _draw_line(rng: random.Random, job: int, number: int, kind: str, before: list[InputLine]) -> InputLine:
    prompt_id, prompt = f"id-{number}", f"{CANARY} job {job} line {number} {kind} please"
    valid = orjson.dumps({"prompt_id": prompt_id, "prompt": prompt})
    reserved = [line.prompt_id for line in before if line.prompt]
    match kind:
        case "blank":
            return InputLine(number, "blank", rng.choice((b"", b"  ", b"\r")))
        case "invalid_json":
            return InputLine(number, kind, b'{"prompt_id": "x", ' + CANARY.encode())
        case "missing_prompt":
            return InputLine(number, kind, orjson.dumps({"prompt_id": prompt_id}), prompt_id)
        case "line_too_long":
            return InputLine(number, kind, valid[:-2] + b"." * 300 + b'"}')
        case "duplicate" if reserved:
            first = rng.choice(reserved)
            content = orjson.dumps({"prompt_id": first, "prompt": prompt})
            return InputLine(number, "duplicate_prompt_id", content, first)
        case "duplicate":
            return InputLine(number, "prompt", valid, prompt_id, prompt)
    return InputLine(number, kind, valid, prompt_id, prompt)
