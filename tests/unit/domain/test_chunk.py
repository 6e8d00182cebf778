"""A chunk: when it can be claimed, when it is isolated, and the changes that each named transition makes."""

import json
from typing import Any

import pytest

from promptforge.domain.chunk import ISOLATE_AFTER_CRASHES, Chunk, ChunkCounts, ChunkPart, ChunkRange, Segment
from promptforge.domain.timeouts import CLOCK_SKEW_SECONDS

RANGE = ChunkRange(number=3, start=0, end=9, first_line=10, last_line=14, line_count=2)
COUNTS = ChunkCounts(completed=1, failed=2, tokens=30, output_tokens=20)
COUNTED = {"completed": 1, "failed": 2, "tokens": 30, "output_tokens": 20}


def new_chunk(**changes: Any) -> Chunk:
    return Chunk(**RANGE.model_dump(), due_at=1.5).model_copy(update=changes)


def changes(before: Chunk, after: Chunk) -> dict[str, object]:
    """Return the fields that differ, with their new values."""
    old, new = dict(before), dict(after)
    return {name: value for name, value in new.items() if old[name] != value}


def test_chunk_when_new_is_open_without_holder_and_counts() -> None:
    chunk = new_chunk()

    assert (chunk.open, chunk.epoch, chunk.holder, chunk.segments) == (True, 0, None, [])
    assert chunk.completed == chunk.failed == chunk.tokens == 0
    assert (chunk.results, chunk.errors) == (None, None)


def test_chunk_equals_its_stored_document_with_line_numbers() -> None:
    chunk = new_chunk().model_copy(update={"duplicates": {12: 5, 14: 5}, "holder": "h", "epoch": 2})

    assert Chunk.model_validate(json.loads(json.dumps(chunk.model_dump(mode="json")))) == chunk


def test_chunk_with_unknown_fields_is_read() -> None:
    document = new_chunk().model_dump(mode="json") | {"from_the_future": [1]}

    read = Chunk.model_validate(document)
    assert read.model_dump(mode="json", exclude={"from_the_future"}) == new_chunk().model_dump(mode="json")
    assert read.model_extra == {"from_the_future": [1]}


@pytest.mark.parametrize(("seconds_early", "can_claim"), [(-1.0, True), (0.0, True), (0.5, False), (60.0, False)])
def test_chunk_deferred_can_be_claimed_at_its_time_minus_the_clock_skew(seconds_early: float, can_claim: bool) -> None:
    deferred = new_chunk(epoch=1, resume_at=500.0)

    assert deferred.can_claim(500.0 - CLOCK_SKEW_SECONDS - seconds_early) is can_claim


@pytest.mark.parametrize(("now", "can_claim"), [(499.5, False), (500.0, True), (501.0, True)])
def test_chunk_leased_can_be_claimed_at_the_end_of_its_lease(now: float, can_claim: bool) -> None:
    assert new_chunk(holder="h", epoch=1, due_at=500.0).can_claim(now) is can_claim


@pytest.mark.parametrize("holder", ["h", None])
def test_chunk_complete_can_never_be_claimed(holder: str | None) -> None:
    assert not new_chunk(holder=holder, epoch=1, open=False).can_claim(1e12)


@pytest.mark.parametrize(
    ("crash_count", "isolated", "after"), [(0, False, 0), (1, False, 1), (2, True, 2), (9, True, 2)]
)
def test_chunk_after_two_crashes_stays_isolated_in_spite_of_progress(
    crash_count: int, isolated: bool, after: int
) -> None:
    chunk = new_chunk(crash_count=crash_count)
    progressed = chunk.checkpointed(Segment(name="s", size=5), COUNTS, until=60.0)

    assert ISOLATE_AFTER_CRASHES == 2
    assert (chunk.isolated, progressed.isolated, progressed.crash_count) == (isolated, isolated, after)


def test_chunk_claimed_counts_a_holder_that_it_still_has_as_crashed() -> None:
    free = new_chunk(epoch=1)
    leased = new_chunk(epoch=1, holder="old", isolated_lines=(11, 11), isolated_calls_active=True)
    claim = {"epoch": 2, "holder": "new", "due_at": 60.0}

    assert changes(free, free.claimed("new", until=60.0)) == claim
    assert changes(leased, leased.claimed("new", until=60.0)) == {
        **claim,
        "crash_count": 1,
        "isolated_crash_count": 1,
        "isolated_calls_active": False,
    }


def test_chunk_with_crashed_holder_counts_an_isolated_crash_only_during_the_call() -> None:
    leased = new_chunk(holder="h", isolated_lines=(11, 11), isolated_crash_count=2)

    assert changes(leased, leased.with_crashed_holder()) == {"crash_count": 1}
    assert new_chunk(isolated_calls_active=True).with_crashed_holder() == new_chunk(isolated_calls_active=True)


def test_chunk_with_crashed_holder_counts_no_isolated_crash_for_a_group_and_keeps_its_lines() -> None:
    leased = new_chunk(holder="h", isolated_lines=(11, 12), isolated_calls_active=True)

    assert changes(leased, leased.with_crashed_holder()) == {"crash_count": 1, "isolated_calls_active": False}


def test_chunk_transitions_of_a_holder_change_only_their_fields() -> None:
    leased = new_chunk(epoch=1, holder="h", crash_count=2, resume_at=4.0)
    segment, part = Segment(name="s", size=5), ChunkPart(name="p", lines=1)

    assert changes(leased, leased.renewed(60.0)) == {"due_at": 60.0}
    assert changes(leased, leased.with_calls({11: 2}, 7)) == {"attempt_failures": {11: 2}, "cost_nanos": 7}
    assert changes(leased, leased.checkpointed(segment, COUNTS, until=60.0)) == {
        "segments": [segment],
        "due_at": 60.0,
        **COUNTED,
    }
    assert changes(leased, leased.isolating(11, 13, until=60.0)) == {
        "isolated_lines": (11, 13),
        "isolated_calls_active": True,
        "due_at": 60.0,
    }
    assert changes(leased, leased.completed_with(part, None, COUNTS)) == {"open": False, "results": part, **COUNTED}


@pytest.mark.parametrize(
    ("before", "after", "crashes"),
    [
        ((11, 11), (11, 11), 2),  # the same prompt alone
        ((11, 11), (12, 12), 0),  # another prompt
        ((11, 11), (11, 12), 0),  # a group that has the prompt
        ((11, 12), (11, 12), 0),  # the same group
        (None, (11, 11), 0),
    ],
)
def test_chunk_isolating_keeps_the_crash_count_only_for_the_same_prompt_alone(
    before: tuple[int, int] | None, after: tuple[int, int], crashes: int
) -> None:
    chunk = new_chunk(holder="h", isolated_lines=before, isolated_crash_count=2)

    assert chunk.isolating(*after, until=60.0).isolated_crash_count == crashes


def test_chunk_checkpointed_limits_the_crash_count_and_keeps_the_isolated_lines() -> None:
    isolated = new_chunk(
        holder="h", crash_count=7, isolated_lines=(11, 13), isolated_calls_active=True, isolated_crash_count=2
    )
    chunk = isolated.checkpointed(Segment(name="s", size=5), COUNTS, until=60.0)

    assert (chunk.isolated_lines, chunk.isolated_calls_active, chunk.isolated_crash_count) == ((11, 13), True, 2)
    assert (chunk.crash_count, chunk.isolated) == (ISOLATE_AFTER_CRASHES, True)


@pytest.mark.parametrize(("progressed", "crash_count"), [(True, ISOLATE_AFTER_CRASHES), (False, 7)])
def test_chunk_released_has_no_holder_until_its_time(progressed: bool, crash_count: int) -> None:
    leased = new_chunk(epoch=1, holder="h", crash_count=7)
    released = leased.released(resume_at=50.0, due_at=110.0, progressed=progressed)

    expected = {"holder": None, "resume_at": 50.0, "due_at": 110.0}
    assert changes(leased, released) == expected | ({} if crash_count == 7 else {"crash_count": crash_count})


@pytest.mark.parametrize("after_error", [False, True])
def test_chunk_released_during_isolated_calls_suspects_no_line(after_error: bool) -> None:
    leased = new_chunk(holder="h", isolated_lines=(11, 11), isolated_calls_active=True, isolated_crash_count=2)
    released = leased.released_after_error(50.0, True) if after_error else leased.released(50.0, 110.0, True)

    assert (released.isolated_lines, released.isolated_calls_active) == (None, False)
    assert released.isolated_crash_count == 0


@pytest.mark.parametrize("after_error", [False, True])
def test_chunk_released_before_isolated_calls_keeps_the_lines_of_the_last_crash(after_error: bool) -> None:
    leased = new_chunk(holder="h", isolated_lines=(11, 11), isolated_crash_count=2)
    released = leased.released_after_error(50.0, True) if after_error else leased.released(50.0, 110.0, False)

    assert (released.isolated_lines, released.isolated_crash_count) == ((11, 11), 2)


@pytest.mark.parametrize(("unexpected", "error_count"), [(True, 1), (False, 0)])
def test_chunk_released_after_error_counts_only_an_unexpected_one(unexpected: bool, error_count: int) -> None:
    released = new_chunk(epoch=1, holder="h").released_after_error(now=50.0, unexpected=unexpected)

    assert (released.holder, released.due_at, released.error_count) == (None, 50.0, error_count)


def test_chunk_lease_expired_is_not_deferred_and_counts_a_crash() -> None:
    leased = new_chunk(epoch=1, holder="h", resume_at=99.0)

    assert changes(leased, leased.lease_expired(due_at=50.0)) == {
        "holder": None,
        "due_at": 50.0,
        "resume_at": 0.0,
        "crash_count": 1,
    }
