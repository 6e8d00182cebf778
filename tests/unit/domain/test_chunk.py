import json
from typing import Any

import pytest

from promptforge.domain.chunk import ISOLATE_AFTER_CRASHES, Chunk, ChunkRange
from promptforge.domain.timeouts import CLOCK_SKEW_SECONDS

CUT = ChunkRange(number=3, start=0, end=9, first_line=10, last_line=14, line_count=2)


def new_chunk(**changes: Any) -> Chunk:
    return Chunk(**CUT.model_dump(), due_at=1.5).model_copy(update=changes)


def test_a_new_chunk_is_open_unheld_and_has_counted_nothing() -> None:
    chunk = new_chunk()

    assert (chunk.open, chunk.epoch, chunk.holder, chunk.segments) == (True, 0, None, [])
    assert chunk.completed == chunk.failed == chunk.tokens == 0
    assert (chunk.results, chunk.errors) == (None, None)


def test_a_chunk_survives_its_document_with_its_line_numbers() -> None:
    chunk = new_chunk().model_copy(update={"duplicates": {12: 5, 14: 5}, "holder": "h", "epoch": 2})

    assert Chunk.model_validate(json.loads(json.dumps(chunk.model_dump(mode="json")))) == chunk


def test_a_chunk_of_a_newer_version_is_still_read() -> None:
    document = new_chunk().model_dump(mode="json") | {"from_the_future": [1]}

    assert Chunk.model_validate(document) == new_chunk()


@pytest.mark.parametrize(("seconds_early", "free"), [(-1.0, True), (0.0, True), (0.5, False), (60.0, False)])
def test_a_chunk_given_back_until_later_waits_for_its_time_but_for_the_skew(seconds_early: float, free: bool) -> None:
    parked = new_chunk(epoch=1, resume_at=500.0)

    assert parked.can_claim(500.0 - CLOCK_SKEW_SECONDS - seconds_early) is free


@pytest.mark.parametrize(("now", "free"), [(499.5, False), (500.0, True), (501.0, True)])
def test_a_chunk_is_free_at_the_very_moment_its_lease_ends(now: float, free: bool) -> None:
    assert new_chunk(holder="h", epoch=1, due_at=500.0).can_claim(now) is free


@pytest.mark.parametrize("holder", ["h", None])
def test_a_settled_chunk_is_never_free_again(holder: str | None) -> None:
    assert not new_chunk(holder=holder, epoch=1, open=False).can_claim(1e12)


@pytest.mark.parametrize(
    ("crash_count", "careful", "after"), [(0, False, 0), (2, False, 0), (3, True, 3), (9, True, 3)]
)
def test_three_deaths_in_a_row_make_a_chunk_careful_for_good(crash_count: int, careful: bool, after: int) -> None:
    chunk = new_chunk(crash_count=crash_count)

    assert ISOLATE_AFTER_CRASHES == 3
    assert (chunk.isolated, chunk.crashes_after_progress) == (careful, after)
