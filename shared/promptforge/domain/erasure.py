"""What stands in the place of a job's document while the job is erased."""

from typing import Literal

from promptforge.domain.frozen import Frozen


class Erasure(Frozen):
    """Nobody who asks for the job finds it, and its id is not given again while something of it may still be written.

    `open` and `due_at` are what the sweeper asks for, as in a job. The look that is taken at `until` or later is the
    last one.
    """

    erasing: Literal[True] = True
    open: Literal[False] = False
    due_at: float
    until: float
