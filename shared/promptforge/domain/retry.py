"""What a failed call means for the next one. PromptForge alone retries; nothing below it does."""

import email.utils
import math
import random
from datetime import UTC
from enum import StrEnum

MIN_WAIT_SECONDS = 0.5
MAX_WAIT_SECONDS = 300.0
BACKOFF_BASE_SECONDS = 0.5
BACKOFF_CAP_SECONDS = 30.0


class FailureKind(StrEnum):
    """How a call failed, in the order of what it may have cost."""

    NOT_SENT = "not_sent"  # no request left this machine: nothing was paid
    THROTTLED = "throttled"  # refused for now: wait, and never count it as a try
    ACCOUNT = "account"  # the key or the account is refused: no call of this job can succeed
    PROMPT = "prompt"  # this prompt is refused: calling again gives the same
    UNKNOWN = "unknown"  # sent, and perhaps paid: try again, a counted number of times


def can_retry(kind: FailureKind, failures: int, max_retries: int) -> bool:
    """Whether a prompt that has now failed `failures` times is called again. What cannot have been paid, a throttle or
    a call that was never sent, is no failure and never ends a prompt: the job's deadline does."""
    match kind:
        case FailureKind.THROTTLED | FailureKind.NOT_SENT:
            return True
        case FailureKind.UNKNOWN:
            return failures <= max_retries
        case FailureKind.PROMPT | FailureKind.ACCOUNT:
            return False


def backoff_seconds(failures: int, rng: random.Random) -> float:
    """Exponential backoff with full jitter."""
    ceiling = min(BACKOFF_CAP_SECONDS, BACKOFF_BASE_SECONDS * 2 ** min(failures, 16))
    return rng.uniform(0.0, ceiling)


def throttle_seconds(asked: float | None, throttles_in_a_row: int, rng: random.Random) -> float:
    """How long to leave the provider alone: what it asked for, kept within bounds, else a growing wait."""
    if asked is not None:
        return min(max(asked, MIN_WAIT_SECONDS), MAX_WAIT_SECONDS)
    ceiling = min(60.0, 2.0 ** min(throttles_in_a_row, 16))
    return rng.uniform(ceiling / 2, ceiling)


def parse_retry_after(value: str | None, now: float) -> float | None:
    """Seconds a Retry-After header asks for: a number or an HTTP date (RFC 9110, 10.2.3); None if it makes no sense."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            date = email.utils.parsedate_to_datetime(value)
            seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
        except (ValueError, OverflowError):
            return None
    if not math.isfinite(seconds) or seconds < 0 or seconds > 86_400:
        return None
    return seconds
