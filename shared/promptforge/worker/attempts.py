"""The calls of a chunk so far: failed attempts by line, and the cost of all calls."""

from promptforge.domain.chunk import Chunk
from promptforge.worker.cost_budget import CostBudget


class ChunkAttempts:
    """Failed attempts of prompts without an answer, and the cost of all calls in nano-dollars.

    Every write of the chunk's document stores both, so that the next holder continues with them. Each write is
    registered with the cost budget, which reads the stored costs of all chunks.
    """

    def __init__(self, chunk: Chunk, budget: CostBudget) -> None:
        self._number = chunk.number
        self._failures = dict(chunk.attempt_failures)
        self._cost = self._stored_cost = chunk.cost_nanos
        self._budget = budget
        self.called = False

    @property
    def failures(self) -> dict[int, int]:
        """The failed attempts by line."""
        return dict(self._failures)

    @property
    def has_unstored_cost(self) -> bool:
        """Whether calls cost something since the last write."""
        return self._cost > self._stored_cost

    def failed(self, line: int) -> int:
        """Return how often the call for a line has failed."""
        return self._failures.get(line, 0)

    def record_failure(self, line: int) -> int:
        """Count a failed call.

        Returns how many there are now.
        """
        self._failures[line] = self.failed(line) + 1
        return self._failures[line]

    def discard(self, line: int) -> None:
        """Drop the failures of a line that has its answer."""
        self._failures.pop(line, None)

    def add_cost(self, nanos: int) -> None:
        """Count the cost of a call, whatever its answer is worth."""
        self._cost += nanos
        self._budget.add_spent(nanos)

    def write_started(self) -> int:
        """Register a write of the chunk.

        Returns the cost that it stores.
        """
        if self.has_unstored_cost:
            self._budget.write_started(self._number)
        return self._cost

    def write_finished(self, cost: int) -> None:
        """Confirm a write that stored `cost`.

        A write that failed is never confirmed: it may have been stored.
        """
        self._budget.write_finished(self._number, cost - self._stored_cost)
        self._stored_cost = cost

    def close(self) -> None:
        """Leave the chunk: a write without an answer is taken as stored."""
        self._budget.drop_chunk(self._number, self._cost - self._stored_cost)
