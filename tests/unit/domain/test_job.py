from itertools import product

import pytest
from pydantic import ValidationError

from promptforge.domain.job import EMPTY_INPUT, Job, Status

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
STEPS = list(product(Status, Status))


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


@pytest.mark.parametrize(("before", "after"), [step for step in STEPS if step in ALLOWED])
def test_a_step_of_the_table_is_taken(before: Status, after: Status) -> None:
    moved = job(before).transition(after)

    assert moved.status is after
    assert moved.open == (after not in FINAL)


@pytest.mark.parametrize(("before", "after"), [step for step in STEPS if step not in ALLOWED])
def test_every_other_step_is_refused(before: Status, after: Status) -> None:
    with pytest.raises(ValueError, match=f"from {before} to {after}"):
        job(before).transition(after)


@pytest.mark.parametrize("status", Status)
def test_exactly_the_three_ends_are_final(status: Status) -> None:
    assert status.final == (status in FINAL)


def test_a_step_carries_its_changes_and_leaves_the_old_job_alone() -> None:
    before = job(Status.QUEUED)

    after = before.transition(Status.FAILED, error=EMPTY_INPUT, completed_at=5.0)

    assert (after.error, after.completed_at) == (EMPTY_INPUT, 5.0)
    assert (before.status, before.error, before.open) == (Status.QUEUED, None, True)


def test_a_new_job_is_open_and_has_counted_nothing() -> None:
    new = Job(**job().model_dump(include=set(Job.model_fields) - {"status", "open"}, exclude_defaults=True))

    assert (new.status, new.open, new.chunks_published) == (Status.AWAITING_UPLOAD, True, False)
    assert new.prompt_count == new.invalid_count == new.completed_count == new.failed_count == new.tokens_used == 0


def test_a_job_is_replaced_and_never_changed() -> None:
    with pytest.raises(ValidationError):
        setattr(job(), "status", Status.COMPLETED)  # noqa: B010


def test_a_job_survives_its_document() -> None:
    original = job(Status.QUEUED).transition(Status.FAILED, error=EMPTY_INPUT)

    assert Job.model_validate(original.model_dump(mode="json")) == original


def test_a_job_of_a_newer_version_is_still_read() -> None:
    document = job().model_dump(mode="json") | {"from_the_future": {"x": 1}}

    assert Job.model_validate(document) == job()
