"""The faults of the simulation and the plan of a run.

Each seed draws a few faults, so that some runs have many faults of one kind.
"""

import random
from dataclasses import dataclass, field

from tests.simulation.cost_accounting import PRICE

STEP_PROBABILITY = 0.004  # of a fault at one step of a run that has this fault

FAULTS = {
    # at a call to a port
    "crash": "an instance crashes before or after a call to a port, or during a provider call",
    "unavailable": "a store raises Unavailable and has changed nothing",
    "response_lost": "a store has applied the change and raises Unavailable",
    "half_published": "half of the messages are published, then the topic raises Unavailable",
    "outage": "the documents are unavailable for up to ten minutes",
    "slow_store": "a call to a store takes seconds",
    # of an instance
    "stall": "an instance stalls for up to four minutes and then continues",
    "sigterm": "an instance receives SIGTERM, and SIGKILL ten seconds later",
    "clock_skew": "the clocks of the instances differ by minutes",
    # of the deliveries to a function
    "duplicate": "a message is delivered two or three times, at once or later",
    "late": "a message is delivered minutes late",
    "very_late": "a message is delivered hours late",
    "redelivered": "the function has accepted a message and the platform does not receive the response",
    "dropped": "a message, task or event is lost",
    "time_limit": "the platform ends a request while the function still handles it",
    # of the provider
    "throttled": "a call is throttled, with or without a retry-after",
    "throttled_period": "every call is throttled, for minutes",
    "server_error": "a call fails and may be billed",
    "no_response": "a call never returns",
    "unreachable": "a call cannot be sent",
    "unreachable_period": "no call can be sent, for minutes",
    "slow_response": "a call takes a minute or more",
    "rejected_key": "the provider rejects the key from some time on",
    # of the job
    "poison": "a prompt crashes every instance that processes it",
    "always_failing": "every call for a prompt fails",
    "cost_limit": "a job has a cost limit, or its client a daily spend quota",
    # of the client
    "cancelled": "the job is cancelled at some time, often twice",
    "deleted": "the job is deleted at some time, often twice",
    "init_repeated": "the request that creates the job is sent several times at once",
    "uploaded_twice": "the file is uploaded a second time",
    "never_uploaded": "the file is never uploaded",
    "input_deleted": "the upload is deleted while the job is active",
    "short_deadline": "the job has a deadline of a few minutes",
}
FAULTLESS_SHARE = 0.05  # of all runs have no fault


@dataclass(frozen=True)
class FaultPlan:
    """The faults and settings of a run.

    After `faults_end_at` seconds no fault occurs, so that every job can finish.
    """

    faults: frozenset[str]
    faults_end_at: float
    throttled_periods: tuple[tuple[float, float], ...] = ()
    unreachable_periods: tuple[tuple[float, float], ...] = ()
    outages: tuple[tuple[float, float], ...] = ()
    key_rejected_at: float = float("inf")
    settings: dict[str, object] = field(default_factory=dict)


def draw_plan(rng: random.Random) -> FaultPlan:
    """Draw a plan."""
    faultless = rng.random() < FAULTLESS_SHARE
    share = rng.choice((0.1, 0.2, 0.35))
    faults = frozenset(name for name in FAULTS if not faultless and rng.random() < _probability(name, share))
    faults_end_at = rng.uniform(60, 1800)
    short = "short_deadline" in faults
    lease = rng.choice((12.0, 60.0))
    return FaultPlan(
        faults=faults,
        faults_end_at=faults_end_at,
        throttled_periods=_periods(rng, faults_end_at, 400) if "throttled_period" in faults else (),
        unreachable_periods=_periods(rng, faults_end_at, 400) if "unreachable_period" in faults else (),
        outages=_periods(rng, faults_end_at, 600) if "outage" in faults else (),
        key_rejected_at=rng.uniform(0, 120) if "rejected_key" in faults else float("inf"),
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


def _probability(name: str, share: float) -> float:
    """Return the probability of a fault: a lower one for the faults that end a job early and hide the others."""
    rare = {
        "never_uploaded",
        "input_deleted",
        "rejected_key",
        "short_deadline",
        "cancelled",
        "deleted",
        "very_late",
        "dropped",
    }
    return share / 2 if name in rare else share


def _periods(rng: random.Random, end: float, max_seconds: float) -> tuple[tuple[float, float], ...]:
    starts = sorted(rng.uniform(0, min(end, 300)) for _ in range(rng.randint(1, 2)))
    return tuple((start, min(start + rng.uniform(10, max_seconds), end)) for start in starts)
