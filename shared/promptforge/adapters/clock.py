"""The machine's clock."""

import time


class SystemClock:
    """Clock of the operating system."""

    def now(self) -> float:
        return time.time()
