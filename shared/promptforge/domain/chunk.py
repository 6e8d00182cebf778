"""A chunk: a run of whole lines of the input, worked on by one lease holder at a time."""

from typing import Self

from pydantic import Field

from promptforge.domain.model import Model

ISOLATE_AFTER_CRASHES = 3  # holders dead in a row after which a chunk is asked one prompt at a time
CLOCK_SKEW_SECONDS = 2.0  # how far apart the clocks of well-kept machines may be


class Segment(Model):
    """A run of answered lines that is safe in an object of the work bucket."""

    name: str
    size: int


class ChunkPart(Model):
    """A chunk's finished lines of one kind, in input order, in an object of the results bucket."""

    name: str
    lines: int


class ChunkRange(Model):
    """Where a chunk lies in the input: bytes [start, end), the physical lines `first_line` to `last_line`.

    `line_count` counts its non-blank lines; `duplicates` maps a line whose prompt_id is taken to the line that took it.
    """

    number: int
    start: int
    end: int
    first_line: int
    last_line: int
    line_count: int
    duplicates: dict[int, int] = Field(default_factory=dict)


class Chunk(ChunkRange):
    """A chunk's document.

    `open` ends with the settling. `due_at` is when the sweeper should announce the chunk again: for a chunk that is
    held it is the end of the lease. A chunk without a holder may not be claimed before `resume_at`. `epoch` rises with
    every claim; `holder` names the claim and stays after the settling, so that a holder whose answer was lost knows its
    own commit. `failures` counts, by line, the failed calls of prompts that are not answered yet. `faults` counts how
    often work on the chunk ended in an unforeseen fault, `deaths` how many holders in a row were never heard of again
    and got nothing done. `alone` is the line of the prompt that is asked while nothing else is under way in the
    process, `asking_alone` whether its holder is at that now, `alone_deaths` how many holders in a row died of it.
    `cost_nanos` is what its calls cost, also those whose answer was of no use, where there is a price.
    It is forgotten with its job, at `expire_at`.
    """

    due_at: float
    expire_at: float | None = None
    open: bool = True
    resume_at: float = 0.0
    epoch: int = 0
    holder: str | None = None
    attempt_failures: dict[int, int] = Field(default_factory=dict)
    error_count: int = 0
    crash_count: int = 0
    isolated_line: int | None = None
    isolated_call_active: bool = False
    isolated_crash_count: int = 0
    segments: list[Segment] = Field(default_factory=list)
    completed: int = 0
    failed: int = 0
    tokens: int = 0
    output_tokens: int = 0
    cost_nanos: int = 0
    results: ChunkPart | None = None
    errors: ChunkPart | None = None

    @property
    def isolated(self) -> bool:
        """Whether it is asked one prompt at a time, because its holders keep dying."""
        return self.crash_count >= ISOLATE_AFTER_CRASHES

    @property
    def crashes_after_progress(self) -> int:
        """What its deaths are to be set to when a holder has got something done: who was careful stays so, for the
        next prompt that kills may be in the same chunk."""
        return ISOLATE_AFTER_CRASHES if self.isolated else 0

    def with_crashed_holder(self) -> Self:
        """The chunk when whoever still holds it is taken for dead."""
        if self.holder is None:
            return self
        died = {
            "crash_count": self.crash_count + 1,
            "isolated_crash_count": self.isolated_crash_count + self.isolated_call_active,
            "isolated_call_active": False,
        }
        return self.model_copy(update=died)

    def can_claim(self, now: float) -> bool:
        """Whether it may be claimed: it is open, no lease runs, and it is not given back until a later time."""
        if self.holder is None:
            return self.open and self.resume_at <= now + CLOCK_SKEW_SECONDS
        return self.open and self.due_at <= now
