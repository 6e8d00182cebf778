"""A job: one uploaded file, one provider, one model; and the transitions of its status."""

from enum import StrEnum
from typing import NamedTuple, Self, TypedDict, Unpack

from pydantic import ConfigDict

from promptforge.domain.document import StoredDocument, StoredModel
from promptforge.domain.formats.params import Params, ResponseFormat
from promptforge.domain.limits.pricing import Price


class Status(StrEnum):
    """The status of a job."""

    AWAITING_UPLOAD = "AWAITING_UPLOAD"
    QUEUED = "QUEUED"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def final(self) -> bool:
        """Whether the status never changes again."""
        return not TRANSITIONS[self]


TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.AWAITING_UPLOAD: frozenset({Status.QUEUED, Status.FAILED, Status.CANCELLED}),
    Status.QUEUED: frozenset({Status.PROCESSING, Status.FAILED, Status.CANCELLED}),
    Status.PROCESSING: frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED}),
    Status.COMPLETED: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELLED: frozenset(),
}


class JobError(StoredModel):
    """Why a job failed, was stopped or waits: a stable code and a sentence."""

    code: str
    message: str


class PinnedInput(StoredModel):
    """The upload as it was found, and how it is read, split and joined.

    Settings may change while a job runs; these values do not.
    """

    generation: int
    size: int
    crc32c: str
    max_line_bytes: int
    chunk_lines: int
    chunk_bytes: int
    part_lines: int


class StoredResponseFormat(ResponseFormat):
    """A response format inside a document.

    Unknown fields survive reading and writing.
    """

    model_config = ConfigDict(extra="allow")


class JobParams(Params):
    """The parameters of all prompts of a job.

    Unknown parameters survive reading and writing.
    """

    model_config = ConfigDict(extra="allow")

    response_format: StoredResponseFormat | None = None


class JobTotals(NamedTuple):
    """The counts of a job's chunks, added up."""

    completed: int = 0
    failed: int = 0
    tokens: int = 0
    output_tokens: int = 0
    cost_nanos: int = 0


class JobChanges(TypedDict, total=False):
    """The fields that a transition may set.

    The fields of the client's request are not among them.
    """

    due_at: float
    status: Status
    open: bool
    input: PinnedInput | None
    chunk_count: int | None
    chunks_published: bool
    prompt_count: int
    invalid_count: int
    completed_count: int
    failed_count: int
    tokens_used: int
    output_tokens: int
    max_cost_nanos: int | None
    cost_nanos: int
    quota_day: str | None
    result_parts: int | None
    started_processing_at: float | None
    completed_at: float | None
    stop_reason: JobError | None
    waiting: JobError | None
    waiting_until: float
    error: JobError | None


class Job(StoredDocument):
    """A job's document.

    Times are seconds since 1970 UTC.

    `open` is true until the status is final. `due_at` is the time at which the sweeper looks at the job; for a finished
    job, the time at which it is erased. The sweeper queries these two fields.

    `stop_reason` makes the workers stop calling: prompts without an answer get this error, and the job finishes with
    it. The sweeper sets it at `deadline_at` at the latest. `waiting` is the last reason for which a chunk was deferred,
    shown to the client until `waiting_until`.

    `provider_url` is the base URL of the provider when the job was created, and `endpoint` the path below it. No call
    goes to another address.

    `timeout_seconds` limits each call of the job, and `max_in_flight` its concurrent calls in each worker process.

    `price` is the price of the model when the job was created. A job is stopped when its calls cost `max_cost_nanos`.
    `quota_day` is the day whose spend quota contains that amount, if the client has a daily quota.
    """

    job_id: str
    client: str
    provider: str
    model: str
    provider_url: str | None = None
    endpoint: str | None = None
    max_retries: int
    timeout_seconds: float | None = None
    max_in_flight: int | None = None
    created_at: float
    upload_expires_at: float
    request_digest: str
    due_at: float
    deadline_at: float
    expire_at: float | None = None
    params: JobParams = JobParams()
    status: Status = Status.AWAITING_UPLOAD
    open: bool = True
    input: PinnedInput | None = None
    chunk_count: int | None = None
    chunks_published: bool = False
    prompt_count: int = 0
    invalid_count: int = 0
    completed_count: int = 0
    failed_count: int = 0
    tokens_used: int = 0
    output_tokens: int = 0
    price: Price | None = None
    max_cost_nanos: int | None = None
    cost_nanos: int = 0
    quota_day: str | None = None
    result_parts: int | None = None
    started_processing_at: float | None = None
    completed_at: float | None = None
    stop_reason: JobError | None = None
    waiting: JobError | None = None
    waiting_until: float = 0.0
    error: JobError | None = None

    def expired(self, now: float) -> bool:
        """Whether the retention time is over, so that documents and files may be gone at any moment."""
        return self.expire_at is not None and now >= self.expire_at

    def within_quota(self, share: int, day: str) -> Self:
        """Return the job limited to its share of the client's daily quota."""
        return self._changed(max_cost_nanos=share, quota_day=day)

    def queued(self, pinned: PinnedInput, due_at: float) -> Self:
        """Return the job with its upload pinned.

        Raises ValueError as `_transition`.
        """
        return self._transition(Status.QUEUED)._changed(input=pinned, due_at=due_at)

    def counted(self, prompts: int, invalid: int) -> Self:
        """Return the job with the number of its non-blank lines and of the invalid ones among them."""
        return self._changed(prompt_count=prompts, invalid_count=invalid)

    def processing(self, chunks: int, now: float, due_at: float) -> Self:
        """Return the job split into chunks.

        Raises ValueError as `_transition`.
        """
        return self._transition(Status.PROCESSING)._changed(
            chunk_count=chunks, started_processing_at=now, due_at=due_at
        )

    def rejected(self, error: JobError, now: float) -> Self:
        """Return the job failed at its split: no prompt is answered.

        Raises ValueError as `_transition`.
        """
        return self._changed(failed_count=self.prompt_count).finished(error, now)

    def published(self) -> Self:
        """Return the job with all its chunks published."""
        return self._changed(chunks_published=True)

    def stopped(self, reason: JobError) -> Self:
        """Return the job with a reason to stop its calls."""
        return self._changed(stop_reason=reason)

    def waiting_for(self, reason: JobError, until: float) -> Self:
        """Return the job with what it waits for, shown until then."""
        return self._changed(waiting=reason, waiting_until=until)

    def rescheduled(self, due_at: float) -> Self:
        """Return the job due for the sweeper at that time."""
        return self._changed(due_at=due_at)

    def with_totals(self, totals: JobTotals) -> Self:
        """Return the job with the counts of its chunks as its own."""
        return self._changed(
            completed_count=totals.completed,
            failed_count=totals.failed,
            tokens_used=totals.tokens,
            output_tokens=totals.output_tokens,
            cost_nanos=totals.cost_nanos,
        )

    def with_results(self, totals: JobTotals, result_parts: int) -> Self:
        """Return the job with its published files.

        Every prompt without a result counts as failed.
        """
        completed = min(totals.completed, self.prompt_count)
        counted = totals._replace(completed=completed, failed=self.prompt_count - completed)
        return self.with_totals(counted)._changed(result_parts=result_parts)

    def finished(self, error: JobError | None, now: float) -> Self:
        """Return the job in the final status that fits its error.

        Raises ValueError as `_transition`.
        """
        status = Status.COMPLETED if error is None else Status.CANCELLED if error == CANCELLED else Status.FAILED
        return self._transition(status)._changed(error=error, completed_at=now)

    def _transition(self, status: Status) -> Self:
        """Raises ValueError for a step that is not in TRANSITIONS."""
        if status not in TRANSITIONS[self.status]:
            raise ValueError(f"a job cannot go from {self.status} to {status}")
        moved = self._changed(status=status, open=not status.final)
        return moved if not status.final or self.expire_at is None else moved._changed(due_at=self.expire_at)

    def _changed(self, **changes: Unpack[JobChanges]) -> Self:
        return self.model_copy(update=changes)


CANCELLED = JobError(code="cancelled", message="The job was cancelled.")
COST_LIMIT = JobError(code="cost_limit", message="The job reached its cost limit.")
COST_UNKNOWN = JobError(code="cost_unknown", message="The job's current cost is temporarily unavailable.")
DEADLINE_EXCEEDED = JobError(code="deadline_exceeded", message="The job did not finish within its time limit.")
INPUT_CHANGED = JobError(code="input_changed", message="The uploaded file no longer exists.")
EMPTY_INPUT = JobError(code="empty_input", message="The file contains no line with a prompt.")
UPLOAD_EXPIRED = JobError(code="upload_expired", message="No file was uploaded before the upload URL expired.")
NO_VALID_PROMPTS = JobError(code="no_valid_prompts", message="No line of the file is valid; see errors.jsonl.")
ALL_PROMPTS_FAILED = JobError(code="all_prompts_failed", message="No prompt was answered; see errors.jsonl.")
RESULT_INCOMPLETE = JobError(
    code="result_incomplete", message="The lines of the result files do not match the lines of the input."
)
