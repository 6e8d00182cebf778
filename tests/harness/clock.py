"""A clock that only the test moves."""


class ManualClock:
    """The clock port with a time that `advance` sets."""

    def __init__(self, time: float = 1_800_000_000.0) -> None:
        self.time = time

    def now(self) -> float:
        return self.time

    def advance(self, seconds: float) -> None:
        """Move the time forward, or backward if negative."""
        self.time += seconds
