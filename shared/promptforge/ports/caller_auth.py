"""Who may call the event functions."""

from typing import Protocol


class CallerAuth(Protocol):
    """Judges the identity token that a request carries; an empty one if it carries none."""

    async def rejection_reason(self, function: str, token: str) -> str | None:
        """Why the token's bearer may not call the function, in a word for the log; None for who may.
        Raises Unavailable while that cannot be told."""
        ...
