"""Authorization of the callers of event functions."""

from typing import Protocol


class CallerAuth(Protocol):
    """Checks the identity token of a request; an empty one if it has none."""

    async def rejection_reason(self, function: str, token: str) -> str | None:
        """Return why the caller may not call the function, in a word for the log, or None if it may.

        Raises Unavailable while that cannot be determined.
        """
        ...
