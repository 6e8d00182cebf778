"""What a client may spend in a day (UTC), and how much of it is spoken for."""

from typing import Self

from promptforge.domain.frozen import Frozen


class Allowance(Frozen):
    """A client's document, in nano-dollars. `reserved_nanos` counts what the jobs that were opened on `day` may cost,
    and of those that have ended what they did cost."""

    client: str
    max_nanos: int
    day: str = ""
    reserved_nanos: int = 0

    def left(self, day: str) -> int:
        """How much may still be promised to a job of that day."""
        return max(self.max_nanos - (self.reserved_nanos if self.day == day else 0), 0)

    def promising(self, day: str, amount: int) -> Self:
        """The allowance with so much promised to a job of that day."""
        before = self.reserved_nanos if self.day == day else 0
        return self.model_copy(update={"day": day, "reserved_nanos": before + amount})
