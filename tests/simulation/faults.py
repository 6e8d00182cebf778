"""The faults there are, and which of them a run has: each seed draws a few, so that some runs are rough in one way."""

import random
from dataclasses import dataclass, field

from tests.simulation.cost_accounting import PRICE

STEP = 0.004  # the chance of a fault at one step of a run that has it

FAULTS = {
    # at a call to a port
    "crash": "a machine dies before or after any call to a port, or in the middle of a provider call",
    "refused": "a store says Unavailable and has done nothing",
    "answer_lost": "a store has done the work, its answer gets lost",
    "half_published": "half of the messages are published, then the topic says Unavailable",
    "outage": "the documents are unavailable for up to ten minutes",
    "slow_store": "a call to a store takes seconds",
    # to a machine
    "freeze": "a machine stands still for up to four minutes and then goes on where it was",
    "sigterm": "a machine is told to stop, and killed ten seconds later",
    "clock_skew": "machines' clocks are minutes apart",
    # on the way to a function
    "duplicate": "a delivery comes two or three times, at once or apart",
    "late": "a delivery comes minutes late",
    "very_late": "a delivery comes hours late",
    "redelivered": "the function did its work, the platform did not hear it",
    "dropped": "a message, task or event is lost for good",
    "time_limit": "the platform gives a request up while the function still works on it",
    # from the provider
    "throttle": "a call is told to wait, with or without saying how long",
    "storm": "every call is told to wait, for minutes",
    "server_error": "a call fails and may be paid for",
    "hang": "a call never comes back",
    "unreachable": "a call cannot be sent",
    "cut_off": "no call can be sent, for minutes",
    "slow_answer": "a call takes a minute or more",
    "bad_key": "the provider refuses the key from some moment on",
    # in what is asked for
    "poison": "a prompt kills the machine that asks for it, each time",
    "hopeless": "a prompt fails at every call",
    "cost_limit": "a job may cost only so much, or its client spend only so much a day",
    # from the client
    "cancelled": "the job is cancelled at some moment, often twice",
    "deleted": "the job is deleted at some moment, often twice",
    "init_repeated": "the order for the job is sent several times at once",
    "uploaded_twice": "the file is sent a second time",
    "never_uploaded": "the file is never sent",
    "input_deleted": "the upload vanishes while the job runs",
    "short_deadline": "the job has a few minutes only",
}
CALM_SHARE = 0.05  # of all runs have no fault at all


@dataclass(frozen=True)
class Plan:
    """What one run is like. After `calm_at` seconds nothing goes wrong any more, so that everything must end."""

    faults: frozenset[str]
    calm_at: float
    storms: tuple[tuple[float, float], ...] = ()
    cut_offs: tuple[tuple[float, float], ...] = ()
    outages: tuple[tuple[float, float], ...] = ()
    bad_key_at: float = float("inf")
    settings: dict[str, object] = field(default_factory=dict)


def draw(rng: random.Random) -> Plan:
    """A plan from a seed."""
    calm = rng.random() < CALM_SHARE
    share = rng.choice((0.1, 0.2, 0.35))
    faults = frozenset(name for name in FAULTS if not calm and rng.random() < _weight(name, share))
    calm_at = rng.uniform(60, 1800)
    short = "short_deadline" in faults
    lease = rng.choice((12.0, 60.0))
    return Plan(
        faults=faults,
        calm_at=calm_at,
        storms=_windows(rng, calm_at, 400) if "storm" in faults else (),
        cut_offs=_windows(rng, calm_at, 400) if "cut_off" in faults else (),
        outages=_windows(rng, calm_at, 600) if "outage" in faults else (),
        bad_key_at=rng.uniform(0, 120) if "bad_key" in faults else float("inf"),
        settings={
            "chunk_lines": rng.choice((1, 2, 3, 5, 8)),
            "part_lines": rng.choice((3, 10, 50)),
            "max_line_bytes": 256,
            "lease_seconds": lease,
            "heartbeat_seconds": lease / 6,
            "max_in_flight": rng.choice((1, 2, 4, 8)),
            "flush_count": rng.choice((1, 2, 4, 50)),
            "soft_deadline_seconds": rng.choice((20.0, 60.0, 400.0)),
            "call_timeout_seconds": rng.choice((20.0, 120.0)),
            "prices": {"echo/*": PRICE},
            "job_seconds": rng.uniform(60, 600) if short else rng.choice((3600.0, 10_800.0)),
        },
    )


def _weight(name: str, share: float) -> float:
    """Faults that end a job early hide the others: they are drawn less often."""
    rare = {
        "never_uploaded",
        "input_deleted",
        "bad_key",
        "short_deadline",
        "cancelled",
        "deleted",
        "very_late",
        "dropped",
    }
    return share / 2 if name in rare else share


def _windows(rng: random.Random, until: float, longest: float) -> tuple[tuple[float, float], ...]:
    starts = sorted(rng.uniform(0, min(until, 300)) for _ in range(rng.randint(1, 2)))
    return tuple((start, min(start + rng.uniform(10, longest), until)) for start in starts)
