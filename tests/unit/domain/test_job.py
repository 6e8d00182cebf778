"""A job: the transitions of its status, and the changes that each named transition makes."""

from collections.abc import Callable
from itertools import product

import pytest
from pydantic import ValidationError

from promptforge.domain.job import (
    CANCELLED,
    COST_LIMIT,
    EMPTY_INPUT,
    TRANSITIONS,
    Job,
    JobTotals,
    PinnedInput,
    Status,
)

ALLOWED = {
    ("AWAITING_UPLOAD", "QUEUED"),
    ("AWAITING_UPLOAD", "FAILED"),
    ("AWAITING_UPLOAD", "CANCELLED"),
    ("QUEUED", "PROCESSING"),
    ("QUEUED", "FAILED"),
    ("QUEUED", "CANCELLED"),
    ("PROCESSING", "COMPLETED"),
    ("PROCESSING", "FAILED"),
    ("PROCESSING", "CANCELLED"),
}
FINAL = {"COMPLETED", "FAILED", "CANCELLED"}
PINNED = PinnedInput(generation=1, size=2, crc32c="c", max_line_bytes=3, chunk_lines=4, chunk_bytes=5, part_lines=6)
MOVES: dict[Status, Callable[[Job], Job]] = {
    Status.QUEUED: lambda job: job.queued(PINNED, due_at=7.0),
    Status.PROCESSING: lambda job: job.processing(8, now=9.0, due_at=10.0),
    Status.COMPLETED: lambda job: job.finished(None, now=11.0),
    Status.FAILED: lambda job: job.finished(EMPTY_INPUT, now=11.0),
    Status.CANCELLED: lambda job: job.finished(CANCELLED, now=11.0),
}
STEPS = list(product(Status, MOVES))


def job(status: Status = Status.AWAITING_UPLOAD) -> Job:
    return Job(
        job_id="00000000-0000-4000-8000-000000000000",
        client="c",
        provider="echo",
        model="echo-1",
        max_retries=3,
        created_at=100.0,
        upload_expires_at=1000.0,
        request_digest="d",
        due_at=1000.0,
        deadline_at=9000.0,
        status=status,
        open=not status.final,
    )


def changes(before: Job, after: Job) -> dict[str, object]:
    """Return the fields that differ, with their new values."""
    old, new = dict(before), dict(after)
    return {name: value for name, value in new.items() if old[name] != value}


@pytest.mark.parametrize(("before", "after"), [step for step in STEPS if step in ALLOWED])
def test_job_transition_in_the_table_is_made(before: Status, after: Status) -> None:
    moved = MOVES[after](job(before))

    assert moved.status is after
    assert moved.open == (after not in FINAL)


@pytest.mark.parametrize(("before", "after"), [step for step in STEPS if step not in ALLOWED])
def test_job_transition_not_in_the_table_raises(before: Status, after: Status) -> None:
    with pytest.raises(ValueError, match=f"from {before} to {after}"):
        MOVES[after](job(before))


@pytest.mark.parametrize("before", Status)
def test_job_transition_back_to_awaiting_upload_is_never_allowed(before: Status) -> None:
    assert Status.AWAITING_UPLOAD not in TRANSITIONS[before]


@pytest.mark.parametrize("status", Status)
def test_status_final_is_true_for_three_statuses(status: Status) -> None:
    assert status.final == (status in FINAL)


def test_job_transition_returns_a_changed_copy() -> None:
    before = job(Status.QUEUED)

    after = before.finished(EMPTY_INPUT, now=5.0)

    assert (after.error, after.completed_at) == (EMPTY_INPUT, 5.0)
    assert (before.status, before.error, before.open) == (Status.QUEUED, None, True)


def test_job_transitions_change_only_their_fields() -> None:
    new, queued, processing = job(), job(Status.QUEUED), job(Status.PROCESSING)

    assert changes(new, new.within_quota(5, "2026-11-26")) == {"max_cost_nanos": 5, "quota_day": "2026-11-26"}
    assert changes(new, new.queued(PINNED, due_at=7.0)) == {"status": Status.QUEUED, "input": PINNED, "due_at": 7.0}
    assert changes(queued, queued.counted(4, 1)) == {"prompt_count": 4, "invalid_count": 1}
    assert changes(queued, queued.processing(8, now=9.0, due_at=10.0)) == {
        "status": Status.PROCESSING,
        "chunk_count": 8,
        "started_processing_at": 9.0,
        "due_at": 10.0,
    }
    assert changes(processing, processing.published()) == {"chunks_published": True}
    assert changes(processing, processing.stopped(COST_LIMIT)) == {"stop_reason": COST_LIMIT}
    assert changes(processing, processing.rescheduled(12.0)) == {"due_at": 12.0}
    assert changes(processing, processing.waiting_for(COST_LIMIT, until=13.0)) == {
        "waiting": COST_LIMIT,
        "waiting_until": 13.0,
    }


def test_job_rejected_at_its_split_fails_every_prompt() -> None:
    rejected = job(Status.QUEUED).counted(4, 1).rejected(EMPTY_INPUT, now=5.0)

    assert (rejected.status, rejected.error, rejected.completed_at) == (Status.FAILED, EMPTY_INPUT, 5.0)
    assert (rejected.prompt_count, rejected.completed_count, rejected.failed_count) == (4, 0, 4)


@pytest.mark.parametrize(("completed", "counts"), [(3, (3, 2)), (5, (5, 0)), (6, (5, 0))])
def test_job_with_results_counts_every_other_prompt_as_failed(completed: int, counts: tuple[int, int]) -> None:
    totals = JobTotals(completed=completed, failed=9, tokens=30, output_tokens=20, cost_nanos=10)
    published = job(Status.PROCESSING).counted(5, 0).with_results(totals, result_parts=2)

    assert (published.completed_count, published.failed_count) == counts
    assert (published.tokens_used, published.output_tokens, published.cost_nanos) == (30, 20, 10)
    assert published.result_parts == 2


@pytest.mark.parametrize(("expire_at", "due_at"), [(None, 1000.0), (5000.0, 5000.0)])
def test_job_finished_is_due_for_erasing_when_it_expires(expire_at: float | None, due_at: float) -> None:
    finished = job(Status.PROCESSING).model_copy(update={"expire_at": expire_at}).finished(None, now=5.0)

    assert finished.due_at == due_at
    assert [finished.expired(now) for now in (4999.9, 5000.0)] == [False, expire_at is not None]


def test_job_when_new_is_open_and_has_no_counts() -> None:
    new = Job(**job().model_dump(include=set(Job.model_fields) - {"status", "open"}, exclude_defaults=True))

    assert (new.status, new.open, new.chunks_published) == (Status.AWAITING_UPLOAD, True, False)
    assert new.prompt_count == new.invalid_count == new.completed_count == new.failed_count == new.tokens_used == 0


def test_job_is_immutable() -> None:
    with pytest.raises(ValidationError):
        setattr(job(), "status", Status.COMPLETED)  # noqa: B010


def test_job_equals_its_stored_document() -> None:
    original = job(Status.QUEUED).finished(EMPTY_INPUT, now=5.0)

    assert Job.model_validate(original.model_dump(mode="json")) == original


def test_job_with_unknown_fields_is_read() -> None:
    document = job().model_dump(mode="json") | {"from_the_future": {"x": 1}}

    read = Job.model_validate(document)
    assert read.model_dump(mode="json", exclude={"from_the_future"}) == job().model_dump(mode="json")
    assert read.model_extra == {"from_the_future": {"x": 1}}
