"""Retry policy: the kinds of failed calls, and how long to wait after each.

PromptForge is the only layer that retries. The transport makes one call.
"""

import random
from enum import StrEnum

MIN_WAIT_SECONDS = 0.5
MAX_WAIT_SECONDS = 300.0
BACKOFF_BASE_SECONDS = 0.5
BACKOFF_CAP_SECONDS = 30.0


class FailureKind(StrEnum):
    """How a call failed, in the order of possible cost."""

    NOT_SENT = "not_sent"  # no request left this machine: no cost
    THROTTLED = "throttled"  # rejected for now: wait, and do not count an attempt
    ACCOUNT = "account"  # the key or the account is rejected: no call of this job can succeed
    PROMPT = "prompt"  # this prompt is rejected: a further call has the same outcome
    UNKNOWN = "unknown"  # sent, so it may have a cost: retry up to max_retries


def can_retry(kind: FailureKind, failures: int, max_retries: int) -> bool:
    """Return whether a prompt with this many failures may be called again.

    A throttled call and a call that was never sent have no cost. They count as no failure and never end a prompt;
    the deadline of the job does.
    """
    match kind:
        case FailureKind.THROTTLED | FailureKind.NOT_SENT:
            return True
        case FailureKind.UNKNOWN:
            return failures <= max_retries
        case FailureKind.PROMPT | FailureKind.ACCOUNT:
            return False


def backoff_seconds(failures: int, rng: random.Random) -> float:
    """Return an exponential backoff with full jitter."""
    ceiling = min(BACKOFF_CAP_SECONDS, BACKOFF_BASE_SECONDS * 2 ** min(failures, 16))
    return rng.uniform(0.0, ceiling)


def throttle_seconds(retry_after: float | None, throttles_in_a_row: int, rng: random.Random) -> float:
    """Return how long a throttled provider gets no call.

    The provider's own retry-after counts, within bounds. Without one the wait grows with each throttle in a row.
    """
    if retry_after is not None:
        return min(max(retry_after, MIN_WAIT_SECONDS), MAX_WAIT_SECONDS)
    ceiling = min(60.0, 2.0 ** min(throttles_in_a_row, 16))
    return rng.uniform(ceiling / 2, ceiling)
