"""A clock that stands still until a test moves it."""


class HandClock:
    """The clock port, moved by hand."""

    def __init__(self, at: float = 1_700_000_000.0) -> None:
        self._at = at

    def now(self) -> float:
        return self._at

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self._at += seconds
