"""Parser of the HTTP header Retry-After (RFC 9110, section 10.2.3)."""

import email.utils
import math
from datetime import UTC

MAX_RETRY_AFTER_SECONDS = 86_400


def parse_retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds that a Retry-After header demands.

    The value is a number or an HTTP date; a date without a zone is in UTC.
    Returns None for a malformed or negative value, and for one over MAX_RETRY_AFTER_SECONDS.
    """
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
    if not math.isfinite(seconds) or seconds < 0 or seconds > MAX_RETRY_AFTER_SECONDS:
        return None
    return seconds
