"""The document that replaces a job's document while the job is erased."""

from typing import Literal, TypedDict

from promptforge.domain.document import StoredDocument


class TombstoneChanges(TypedDict, total=False):
    """The fields that a transition may set."""

    due_at: float
    expire_at: float | None


class Tombstone(StoredDocument):
    """A deleted job.

    The job is unknown to every caller, and its id is not assigned again.

    `open` and `due_at` are the fields that the sweeper queries, as in a job. Until `delete_writes_until` the eraser
    removes late writes of the job. The run at that time or later is the last one and sets `expire_at`. After that the
    tombstone itself is removed. `delete_writes_until` also tells apart two tombstones of one id.
    """

    tombstone: Literal[True] = True
    open: Literal[False] = False
    due_at: float
    delete_writes_until: float
    expire_at: float | None = None

    def rescheduled(self, due_at: float) -> "Tombstone":
        """Return the tombstone due for the sweeper at that time."""
        return self.model_copy(update=TombstoneChanges(due_at=due_at))

    def retained(self, until: float) -> "Tombstone":
        """Return the tombstone that nothing is removed for any more, kept until then."""
        return self.model_copy(update=TombstoneChanges(due_at=until, expire_at=until))
