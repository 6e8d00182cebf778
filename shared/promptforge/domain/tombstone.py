"""What stands in the place of a job's document while the job is erased."""

from typing import Literal

from promptforge.domain.model import Model


class Tombstone(Model):
    """Nobody who asks for the job finds it, and its id is not given again while anybody may still act on it.

    `open` and `due_at` are what the sweeper asks for, as in a job. At each look what is found of the job is removed,
    and the look that is taken at `until` or later is the last such one; it sets `expire_at`, from when on the erasure
    itself may go. `until` also tells one erasure of an id from the next.
    """

    tombstone: Literal[True] = True
    open: Literal[False] = False
    due_at: float
    delete_writes_until: float
    expire_at: float | None = None
