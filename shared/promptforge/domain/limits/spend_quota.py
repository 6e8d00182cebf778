"""The amount that a client may spend a day (UTC), and how much of it is reserved."""

from typing import Self, TypedDict, Unpack

from promptforge.domain.document import StoredDocument


class SpendQuotaChanges(TypedDict, total=False):
    """The fields that a transition may set."""

    daily_limit_nanos: int | None
    day: str
    reserved_nanos: int


class SpendQuota(StoredDocument):
    """A client's document, in nano-dollars.

    Without `daily_limit_nanos` there is no limit. `reserved_nanos` is what the active jobs of `day` may cost, plus what
    its finished jobs did cost.
    """

    client: str
    daily_limit_nanos: int | None
    day: str = ""
    reserved_nanos: int = 0

    def limited_to(self, daily_limit_nanos: int | None) -> Self:
        """Return the quota with another limit; what is reserved stays reserved."""
        return self._changed(daily_limit_nanos=daily_limit_nanos)

    def for_day(self, day: str) -> Self:
        """Return the quota on that day.

        It never goes back a day: a job created just before midnight and stored after it counts on the later day.
        """
        return self if day <= self.day else self._changed(day=day, reserved_nanos=0)

    @property
    def available(self) -> int | None:
        """The part of the limit that is not reserved, None without a limit."""
        return None if self.daily_limit_nanos is None else max(self.daily_limit_nanos - self.reserved_nanos, 0)

    def reserve(self, amount: int) -> Self:
        """Return the quota with the amount reserved; a negative amount releases, down to 0."""
        return self._changed(reserved_nanos=max(self.reserved_nanos + amount, 0))

    def _changed(self, **changes: Unpack[SpendQuotaChanges]) -> Self:
        return self.model_copy(update=changes)
