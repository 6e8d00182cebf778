"""Retry policy: the kinds of failed calls, and how long to wait after each.

PromptForge is the only layer that retries. The transport makes one call.
"""

import random
from enum import StrEnum

MIN_WAIT_SECONDS = 0.5
MAX_WAIT_SECONDS = 300.0
BACKOFF_BASE_SECONDS = 0.5
BACKOFF_CAP_SECONDS = 30.0
FAULT_BACKOFF_SECONDS = 2.0
FAULT_BACKOFF_FACTOR = 3.0
OUTAGE_WAIT_SECONDS = 1.0
OUTAGE_WAIT_FACTOR = 1.5


class FailureKind(StrEnum):
    """How a call failed."""

    NOT_SENT = "not_sent"  # no request left this machine: no cost
    THROTTLED = "throttled"  # rejected for now: wait, and do not count an attempt
    ACCOUNT = "account"  # the key or the account is rejected
    PROMPT = "prompt"  # this prompt is rejected: a further call has the same outcome
    PROVIDER = "provider"  # the provider failed, perhaps for every prompt: an attempt unless it is an outage
    TIMEOUT = "timeout"  # no answer in time, perhaps because of too many calls in flight
    UNREADABLE = "unreadable"  # a complete reply that cannot be understood: a further call rarely helps
    UNKNOWN = "unknown"  # sent, so it may have a cost: retry up to max_retries


MAX_RETRIES_OF_KIND = {FailureKind.TIMEOUT: 1, FailureKind.UNREADABLE: 1}
"""Such a call has its full cost each time, so one more is made at most."""


def can_retry(kind: FailureKind, failures: int, failures_of_kind: int, max_retries: int) -> bool:
    """Return whether a prompt with this many failures may be called again.

    A throttled call and a call that was never sent have no cost. They count as no failure and never end a prompt;
    the deadline of the job does.
    """
    match kind:
        case FailureKind.THROTTLED | FailureKind.NOT_SENT:
            return True
        case FailureKind.PROMPT | FailureKind.ACCOUNT:
            return False
    return failures <= max_retries and failures_of_kind <= MAX_RETRIES_OF_KIND.get(kind, max_retries)


def backoff_seconds(failures: int, rng: random.Random) -> float:
    """Return an exponential backoff with full jitter."""
    ceiling = min(BACKOFF_CAP_SECONDS, BACKOFF_BASE_SECONDS * 2 ** min(failures, 16))
    return rng.uniform(0.0, ceiling)


def fault_backoff_seconds(failures: int, rng: random.Random) -> float:
    """Return the wait after a fault of the provider: 2, 6, 18 seconds and more.

    Four attempts then last longer than a short outage, also where too few prompts are in flight to recognise one.
    """
    wait = min(BACKOFF_CAP_SECONDS, FAULT_BACKOFF_SECONDS * FAULT_BACKOFF_FACTOR ** min(failures - 1, 16))
    return wait * rng.uniform(1.0, 1.25)


def outage_seconds(probes: int, rng: random.Random) -> float:
    """Return how long a provider in an outage gets no call, by the number of probes that failed."""
    wait = min(BACKOFF_CAP_SECONDS, OUTAGE_WAIT_SECONDS * OUTAGE_WAIT_FACTOR ** min(probes, 16))
    return wait * rng.uniform(0.8, 1.2)


def throttle_seconds(retry_after: float | None, throttles_in_a_row: int, rng: random.Random) -> float:
    """Return how long a throttled provider gets no call.

    The provider's own retry-after counts, within bounds. Without one the wait grows with each throttle in a row.
    """
    if retry_after is not None:
        return min(max(retry_after, MIN_WAIT_SECONDS), MAX_WAIT_SECONDS)
    ceiling = min(60.0, 2.0 ** min(throttles_in_a_row, 16))
    return rng.uniform(ceiling / 2, ceiling)
