"""What a client may spend in a day (UTC), and how much of it is spoken for."""

from typing import Self

from promptforge.domain.model import Model


class SpendQuota(Model):
    """A client's document, in nano-dollars; without a `max_nanos` it has no limit. `reserved_nanos` counts what the
    jobs that were promised their share on `day` may cost, and of those that have ended what they did cost."""

    client: str
    daily_limit_nanos: int | None
    day: str = ""
    reserved_nanos: int = 0

    def for_day(self, day: str) -> Self:
        """The allowance on that day. It never goes back: an order of before midnight that comes through after it counts
        on the later day, like one that began there."""
        return self if day <= self.day else self.model_copy(update={"day": day, "reserved_nanos": 0})

    def available(self, max_nanos: int) -> int:
        """How much of so much may still be promised."""
        return max(max_nanos - self.reserved_nanos, 0)

    def reserve(self, amount: int) -> Self:
        """The allowance with so much more promised; or less, but never less than nothing."""
        return self.model_copy(update={"reserved_nanos": max(self.reserved_nanos + amount, 0)})
