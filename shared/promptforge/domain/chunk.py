"""A chunk: a run of whole input lines, processed by one lease holder at a time."""

from typing import NamedTuple, Self, TypedDict, Unpack

from pydantic import Field

from promptforge.domain.document import StoredDocument, StoredModel
from promptforge.domain.model import Model
from promptforge.domain.timeouts import CLOCK_SKEW_SECONDS

ISOLATE_AFTER_CRASHES = 3
"""After this many crashes in a row a chunk is processed one prompt at a time."""


class Segment(StoredModel):
    """A flushed run of answered lines: an object of the work bucket."""

    name: str
    size: int


class ChunkPart(StoredModel):
    """A chunk's finished lines of one kind, in input order: an object of the results bucket."""

    name: str
    lines: int


class ChunkCounts(NamedTuple):
    """The answered lines of a chunk and the tokens of its results."""

    completed: int = 0
    failed: int = 0
    tokens: int = 0
    output_tokens: int = 0


class ChunkRange(Model):
    """The place of a chunk in the input: bytes [start, end), physical lines `first_line` to `last_line`.

    `line_count` counts its non-blank lines. `duplicates` maps a line with a repeated prompt_id to the first line that
    has this prompt_id.
    """

    number: int
    start: int
    end: int
    first_line: int
    last_line: int
    line_count: int
    duplicates: dict[int, int] = Field(default_factory=dict)


class ChunkChanges(TypedDict, total=False):
    """The fields that a transition may set.

    The place in the input is not among them.
    """

    due_at: float
    open: bool
    resume_at: float
    epoch: int
    holder: str | None
    attempt_failures: dict[int, int]
    error_count: int
    crash_count: int
    isolated_line: int | None
    isolated_call_active: bool
    isolated_crash_count: int
    segments: list[Segment]
    completed: int
    failed: int
    tokens: int
    output_tokens: int
    cost_nanos: int
    results: ChunkPart | None
    errors: ChunkPart | None


class Chunk(ChunkRange, StoredDocument):
    """A chunk's document.

    Times are seconds since 1970 UTC.

    `open` is true until the chunk is completed. `due_at` is the time at which the sweeper publishes the chunk again;
    for a leased chunk it is the end of the lease. A chunk without a holder cannot be claimed before `resume_at`.
    `epoch` rises with every claim. `holder` names the claim and stays after completion, so that a holder recognises its
    own commit when the answer to it was lost.

    `attempt_failures` counts, by line, the failed calls of prompts without an answer. `error_count` counts the
    processings that ended in an unexpected error, `crash_count` the holders in a row that vanished without progress.
    `isolated_line` is the line of the prompt that is called alone in its process. `isolated_call_active` tells whether
    the holder is calling it now. `isolated_crash_count` counts the holders in a row that crashed during that call.
    `cost_nanos` is the cost of all calls in nano-dollars, unusable answers included, where the model has a price. The
    document expires with its job, at `expire_at`.
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
        """Whether the chunk is processed one prompt at a time."""
        return self.crash_count >= ISOLATE_AFTER_CRASHES

    @property
    def crashes_after_progress(self) -> int:
        """The crash count after a holder made progress.

        An isolated chunk stays isolated: it may hold more than one poison prompt.
        """
        return ISOLATE_AFTER_CRASHES if self.isolated else 0

    def can_claim(self, now: float) -> bool:
        """Whether the chunk is open, not leased, and not deferred to a later time."""
        if self.holder is None:
            return self.open and self.resume_at <= now + CLOCK_SKEW_SECONDS
        return self.open and self.due_at <= now

    def claimed(self, holder: str, until: float) -> Self:
        """Return the chunk leased to `holder` under the next epoch.

        A holder that it still had counts as crashed.
        """
        return self.with_crashed_holder()._changed(epoch=self.epoch + 1, holder=holder, due_at=until)

    def with_crashed_holder(self) -> Self:
        """Return the chunk with its current holder counted as crashed."""
        if self.holder is None:
            return self
        return self._changed(
            crash_count=self.crash_count + 1,
            isolated_crash_count=self.isolated_crash_count + int(self.isolated_call_active),
            isolated_call_active=False,
        )

    def renewed(self, until: float) -> Self:
        """Return the chunk with its lease extended."""
        return self._changed(due_at=until)

    def with_calls(self, attempt_failures: dict[int, int], cost_nanos: int) -> Self:
        """Return the chunk with the failed calls and the cost so far.

        Every write of a holder carries them.
        """
        return self._changed(attempt_failures=attempt_failures, cost_nanos=cost_nanos)

    def checkpointed(self, segment: Segment, counts: ChunkCounts, until: float) -> Self:
        """Return the chunk with one more segment.

        A flush is progress: it ends a row of crashes.
        """
        return self._changed(
            segments=[*self.segments, segment],
            crash_count=self.crashes_after_progress,
            isolated_line=None,
            isolated_call_active=False,
            isolated_crash_count=0,
            due_at=until,
        )._counted(counts)

    def isolating(self, line: int, until: float) -> Self:
        """Return the chunk that names the prompt about to be called alone."""
        crashes = self.isolated_crash_count if self.isolated_line == line else 0
        return self._changed(isolated_line=line, isolated_call_active=True, isolated_crash_count=crashes, due_at=until)

    def completed_with(self, results: ChunkPart | None, errors: ChunkPart | None, counts: ChunkCounts) -> Self:
        """Return the completed chunk."""
        return self._changed(open=False, results=results, errors=errors)._counted(counts)

    def released(self, resume_at: float, due_at: float, progressed: bool) -> Self:
        """Return the chunk without a holder, deferred until `resume_at`.

        A holder that made a call and survived it has progressed.
        """
        return self._changed(
            holder=None,
            resume_at=resume_at,
            due_at=due_at,
            crash_count=self.crashes_after_progress if progressed else self.crash_count,
            isolated_call_active=False,
        )

    def released_after_error(self, now: float, unexpected: bool) -> Self:
        """Return the chunk without a holder, to be claimed at once.

        Only an unexpected error counts.
        """
        return self._changed(holder=None, due_at=now, error_count=self.error_count + int(unexpected))

    def lease_expired(self, due_at: float) -> Self:
        """Return the chunk without a holder, to be published again at `due_at`; the holder counts as crashed."""
        return self.with_crashed_holder()._changed(holder=None, due_at=due_at, resume_at=0.0)

    def _counted(self, counts: ChunkCounts) -> Self:
        return self._changed(
            completed=counts.completed,
            failed=counts.failed,
            tokens=counts.tokens,
            output_tokens=counts.output_tokens,
        )

    def _changed(self, **changes: Unpack[ChunkChanges]) -> Self:
        return self.model_copy(update=changes)
