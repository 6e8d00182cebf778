"""A clock that stands still until a test moves it."""


class ManualClock:
    """The clock port, moved by hand."""

    def __init__(self, at: float = 1_800_000_000.0) -> None:
        self.time = at

    def now(self) -> float:
        return self.time

    def advance(self, seconds: float) -> None:
        """Go on, or back."""
        self.time += seconds
