"""Stored documents: an older version writes back the unknown fields of a newer one, after every transition."""

from collections.abc import Callable
from typing import Any, get_type_hints

import pytest

from promptforge.domain.chunk import Chunk, ChunkChanges, ChunkCounts, ChunkPart, Segment
from promptforge.domain.document import StoredDocument
from promptforge.domain.job import CANCELLED, Job, JobChanges, JobTotals, PinnedInput
from promptforge.domain.limits.spend_quota import SpendQuota, SpendQuotaChanges
from promptforge.domain.tombstone import Tombstone, TombstoneChanges
from promptforge.state.api_keys import StoredApiKey

NEWER: dict[str, Any] = {"schema": 7, "from_the_future": {"x": [1, None, "é"]}}
"""The layout number of a newer version, and a field that this version does not know."""

INPUT = {
    "generation": 1,
    "size": 2,
    "crc32c": "c",
    "max_line_bytes": 3,
    "chunk_lines": 4,
    "chunk_bytes": 5,
    "part_lines": 6,
    "etag": "new",
}
PARAMS = {
    "temperature": 0.5,
    "response_format": {"type": "json_schema", "schema": {"type": "object"}, "strict": True},
    "reasoning": {"effort": "low"},
}
ERROR = {"code": "throttled", "message": "Wait.", "retry_at": 9.0}

JOB: dict[str, Any] = {
    "job_id": "00000000-0000-4000-8000-000000000000",
    "client": "c",
    "provider": "echo",
    "model": "echo-1",
    "max_retries": 3,
    "created_at": 100.0,
    "upload_expires_at": 1000.0,
    "request_digest": "d",
    "due_at": 1000.0,
    "deadline_at": 9000.0,
    "params": PARAMS,
    "waiting": ERROR,
    **NEWER,
}
CHUNK: dict[str, Any] = {
    "number": 0,
    "start": 0,
    "end": 9,
    "first_line": 1,
    "last_line": 3,
    "line_count": 3,
    "due_at": 1.0,
    "holder": "h",
    "segments": [{"name": "a", "size": 1, "codec": "zstd"}],
    "errors": {"name": "p", "lines": 1, "crc32c": "c"},
    **NEWER,
}
TOMBSTONE: dict[str, Any] = {
    "tombstone": True,
    "open": False,
    "due_at": 1.0,
    "delete_writes_until": 2.0,
    **NEWER,
}
QUOTA: dict[str, Any] = {"client": "c", "daily_limit_nanos": 9, "day": "2026-11-26", "reserved_nanos": 1, **NEWER}
API_KEY: dict[str, Any] = {"hash": "h", "client": "c", "created_at": 1.0, **NEWER}

PINNED = PinnedInput(**{name: value for name, value in INPUT.items() if name != "etag"})
PROCESSING = {**JOB, "status": "PROCESSING", "input": INPUT}
QUEUED = {**JOB, "status": "QUEUED", "input": INPUT}

TRANSITIONS: list[tuple[type[StoredDocument], dict[str, Any], Callable[[Any], StoredDocument]]] = [
    (Job, JOB, lambda job: job.within_quota(1, "2026-11-26")),
    (Job, JOB, lambda job: job.queued(PINNED, 2.0)),
    (Job, QUEUED, lambda job: job.counted(1, 2)),
    (Job, QUEUED, lambda job: job.processing(1, 2.0, 3.0)),
    (Job, QUEUED, lambda job: job.rejected(CANCELLED, 2.0)),
    (Job, PROCESSING, lambda job: job.published()),
    (Job, PROCESSING, lambda job: job.stopped(CANCELLED)),
    (Job, PROCESSING, lambda job: job.rescheduled(3.0)),
    (Job, PROCESSING, lambda job: job.with_totals(JobTotals(completed=1))),
    (Job, PROCESSING, lambda job: job.with_results(JobTotals(completed=1), 1)),
    (Job, PROCESSING, lambda job: job.finished(None, 2.0)),
    (Chunk, CHUNK, lambda chunk: chunk.claimed("other", 2.0)),
    (Chunk, CHUNK, lambda chunk: chunk.with_crashed_holder()),
    (Chunk, CHUNK, lambda chunk: chunk.renewed(2.0)),
    (Chunk, CHUNK, lambda chunk: chunk.with_calls({1: 2}, 3)),
    (Chunk, CHUNK, lambda chunk: chunk.checkpointed(Segment(name="b", size=2), ChunkCounts(1), 2.0)),
    (Chunk, CHUNK, lambda chunk: chunk.isolating(1, 2, 2.0)),
    (Chunk, CHUNK, lambda chunk: chunk.completed_with(ChunkPart(name="q", lines=1), chunk.errors, ChunkCounts(1))),
    (Chunk, CHUNK, lambda chunk: chunk.released(1.0, 2.0, True)),
    (Chunk, CHUNK, lambda chunk: chunk.released_after_error(1.0, True)),
    (Chunk, CHUNK, lambda chunk: chunk.lease_expired(2.0)),
    (Tombstone, TOMBSTONE, lambda tombstone: tombstone.rescheduled(3.0)),
    (Tombstone, TOMBSTONE, lambda tombstone: tombstone.retained(3.0)),
    (SpendQuota, QUOTA, lambda quota: quota.limited_to(None)),
    (SpendQuota, QUOTA, lambda quota: quota.for_day("2026-11-27")),
    (SpendQuota, QUOTA, lambda quota: quota.reserve(2)),
    (StoredApiKey, API_KEY, lambda key: key.revoked(2.0)),
]


@pytest.mark.parametrize(("model", "document", "transition"), TRANSITIONS)
def test_stored_document_transition_keeps_unknown_fields_and_the_newer_schema(
    model: type[StoredDocument], document: dict[str, Any], transition: Callable[[Any], StoredDocument]
) -> None:
    before = model.model_validate(document)
    written = transition(before).model_dump(mode="json")
    unchanged = before.model_dump(mode="json")

    assert {name: written[name] for name in NEWER} == NEWER
    assert written.keys() == unchanged.keys() >= document.keys()
    assert written != unchanged


@pytest.mark.parametrize(
    ("model", "document", "fields"),
    [(Job, PROCESSING, ("params", "input", "waiting")), (Chunk, CHUNK, ("segments", "errors"))],
)
def test_stored_document_keeps_unknown_fields_inside_its_values(
    model: type[StoredDocument], document: dict[str, Any], fields: tuple[str, ...]
) -> None:
    written = model.model_validate(document).model_dump(mode="json")

    for field in fields:
        assert contains(written[field], document[field])


def contains(written: Any, read: Any) -> bool:
    """Return whether every value that was read is still there; defaults may have been added."""
    match written, read:
        case dict(), dict():
            return all(name in written and contains(written[name], value) for name, value in read.items())
        case list(), list():
            return len(written) == len(read) and all(map(contains, written, read))
        case _:
            return bool(written == read)


def test_stored_document_keeps_an_added_segment_beside_a_newer_one() -> None:
    chunk = Chunk.model_validate(CHUNK).checkpointed(Segment(name="b", size=2), ChunkCounts(1), 2.0)

    segments = chunk.model_dump(mode="json")["segments"]
    assert segments == [{"name": "a", "size": 1, "codec": "zstd"}, {"name": "b", "size": 2}]


@pytest.mark.parametrize(
    ("model", "document"),
    [(Job, JOB), (Chunk, CHUNK), (Tombstone, TOMBSTONE), (SpendQuota, QUOTA), (StoredApiKey, API_KEY)],
)
def test_stored_document_without_a_schema_number_is_of_the_first_layout(
    model: type[StoredDocument], document: dict[str, Any]
) -> None:
    first = {name: value for name, value in document.items() if name not in NEWER}

    assert model.model_validate(first).model_dump(mode="json")["schema"] == 1
    assert model.model_validate(document).schema_version == 7


@pytest.mark.parametrize(
    ("model", "changes", "fixed"),
    [
        (
            Job,
            JobChanges,
            {
                "schema_version",
                "job_id",
                "client",
                "provider",
                "model",
                "provider_url",
                "endpoint",
                "max_retries",
                "timeout_seconds",
                "max_in_flight",
                "created_at",
                "upload_expires_at",
                "request_digest",
                "deadline_at",
                "expire_at",
                "params",
                "price",
            },
        ),
        (
            Chunk,
            ChunkChanges,
            {
                "schema_version",
                "number",
                "start",
                "end",
                "first_line",
                "last_line",
                "line_count",
                "duplicates",
                "expire_at",
            },
        ),
        (Tombstone, TombstoneChanges, {"schema_version", "tombstone", "open", "delete_writes_until"}),
        (SpendQuota, SpendQuotaChanges, {"schema_version", "client"}),
    ],
)
def test_changes_name_the_fields_of_their_document_with_the_same_types(
    model: type[StoredDocument], changes: type, fixed: set[str]
) -> None:
    fields, changeable = get_type_hints(model), get_type_hints(changes)

    assert {name: fields[name] for name in changeable} == changeable
    assert set(model.model_fields) - set(changeable) == fixed
