"""Random numbers for tests."""

import random


class MinimumDelay(random.Random):
    """Returns the lower end of every range, so that delays between attempts take no time."""

    def uniform(self, a: float, b: float) -> float:
        return a
