"""A job: one uploaded file, one provider, one model; and the only ways its status may change."""

from enum import StrEnum
from typing import Any, Self

from promptforge.domain.formats.params import Params
from promptforge.domain.limits.pricing import Price
from promptforge.domain.model import Model


class Status(StrEnum):
    """Where a job stands."""

    AWAITING_UPLOAD = "AWAITING_UPLOAD"
    QUEUED = "QUEUED"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def final(self) -> bool:
        """A final status never changes."""
        return not TRANSITIONS[self]


TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.AWAITING_UPLOAD: frozenset({Status.QUEUED, Status.FAILED, Status.CANCELLED}),
    Status.QUEUED: frozenset({Status.PROCESSING, Status.FAILED, Status.CANCELLED}),
    Status.PROCESSING: frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED}),
    Status.COMPLETED: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELLED: frozenset(),
}


class JobError(Model):
    """Why a job failed or was stopped: a stable code and a sentence."""

    code: str
    message: str


class PinnedInput(Model):
    """The pinned upload and how it is read, cut and joined: settings may change while a job runs, its own may not."""

    generation: int
    size: int
    crc32c: str
    max_line_bytes: int
    chunk_lines: int
    chunk_bytes: int
    part_lines: int


class Job(Model):
    """A job's document. Times are seconds since 1970 UTC.

    `open` says that the status is not final, `due_at` when the sweeper should look at the job, which at its end is when
    it is to be erased: together they are what the sweeper asks for. `stop` makes the workers call no more: what has no
    answer yet is answered with that problem, and the job ends with it. That happens at the latest at `deadline_at`.
    `waiting` is what some of its chunks waited for, to be told to the client until `waiting_until`. `price` is its
    model's when it was opened; with `max_cost_nanos` it is stopped when its calls have cost so much. Where its client
    may spend only so much a day, `promised` is the day of which that is a part. From `expire_at` on the job is
    forgotten.
    """

    job_id: str
    client: str
    provider: str
    model: str
    max_retries: int
    created_at: float
    upload_expires_at: float
    request_digest: str
    due_at: float
    deadline_at: float
    expire_at: float | None = None
    params: Params = Params()
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
        """Whether its time is over, so that its documents and files may be gone at any moment."""
        return self.expire_at is not None and now >= self.expire_at

    def transition(self, status: Status, **changes: Any) -> Self:
        """The job in its next status. Raises ValueError for a step that is not in NEXT."""
        if status not in TRANSITIONS[self.status]:
            raise ValueError(f"a job cannot go from {self.status} to {status}")
        over = {"due_at": self.expire_at} if status.final and self.expire_at is not None else {}
        return self.model_copy(update={"status": status, "open": not status.final, **over, **changes})

    def finished(self, problem: JobError | None, **changes: Any) -> Self:
        """The job in the final status that fits the problem it ends with. Raises as `to`."""
        status = Status.COMPLETED if problem is None else Status.CANCELLED if problem == CANCELLED else Status.FAILED
        return self.transition(status, error=problem, **changes)


CANCELLED = JobError(code="cancelled", message="The job was cancelled.")
COST_LIMIT = JobError(code="cost_limit", message="The job has cost as much as it may.")
DEADLINE_EXCEEDED = JobError(code="deadline_exceeded", message="The job did not end within its time limit.")
INPUT_CHANGED = JobError(code="input_changed", message="The uploaded file is not there any more.")
EMPTY_INPUT = JobError(code="empty_input", message="The file holds no line with a prompt.")
UPLOAD_EXPIRED = JobError(code="upload_expired", message="No file was uploaded before the upload URL expired.")
NO_VALID_PROMPTS = JobError(code="no_valid_prompts", message="No line of the file is valid; errors.jsonl says why.")
ALL_PROMPTS_FAILED = JobError(code="all_prompts_failed", message="No prompt was answered; errors.jsonl says why.")
RESULT_INCOMPLETE = JobError(
    code="result_incomplete", message="The results did not add up to the input when they were counted again."
)
