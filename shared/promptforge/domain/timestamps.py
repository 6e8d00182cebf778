"""RFC 3339 timestamps."""

from datetime import UTC, datetime
from typing import Annotated, overload

from pydantic import WithJsonSchema

DAY_SECONDS = 24 * 60 * 60

Rfc3339 = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
"""A timestamp in a response."""


@overload
def rfc3339(seconds: float) -> str: ...
@overload
def rfc3339(seconds: None) -> None: ...
def rfc3339(seconds: float | None) -> str | None:
    """Return seconds since 1970 UTC as RFC 3339 with milliseconds and Z, and None for None."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
