"""The end of a job: parts joined in order over any number of chunks, every count checked, nothing left lying about."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.harness.clock import HandClock
from tests.harness.in_process import InProcessStack, in_process_stack

from promptforge.adapters.local.objects import FileObjects
from promptforge.domain.chunk import Chunk, ChunkPart
from promptforge.domain.job import CANCELLED, Job, PinnedInput, Status
from promptforge.errors import Unavailable
from promptforge.pipeline.finalize import finalize, finalize_if_done
from promptforge.ports.documents import Create
from promptforge.ports.objects import MAX_COMPOSE

Counts = Sequence[tuple[int, int]]
"""How many results and errors each chunk has."""


def settled(number: int, completed: int, failed: int, parts: dict[str, ChunkPart], changes: dict[str, Any]) -> Chunk:
    counts = {"completed": completed, "failed": failed, "tokens": 3 * completed, "line_count": completed + failed}
    place = {"number": number, "start": number, "end": number + 1, "first_line": 1, "last_line": completed + failed}
    return Chunk.model_validate({**place, **counts, **parts, "due_at": 0.0, "open": False, "holder": "h", **changes})


async def worked(one: InProcessStack, counts: Counts, part_lines: int = 10, **changes: Any) -> str:
    """A job that is cut and whose chunks are settled; `changes` spoil the first of them. Line by line the files hold
    the number of the chunk, modulo 37: so many different parts there are."""
    job_id: str = (await one.init())["job_id"]
    for number in range(min(len(counts), 37)):
        for kind, lines in zip(("results", "errors"), counts[number], strict=True):
            if lines:
                await one.app.results.create(f"{job_id}/parts/{number}.{kind}", b"%d\n" % number * lines)
    chunks = []
    for number, (completed, failed) in enumerate(counts):
        parts = {
            kind: ChunkPart(name=f"{job_id}/parts/{number % 37}.{kind}", lines=lines)
            for kind, lines in (("results", completed), ("errors", failed))
            if lines
        }
        chunks.append(settled(number, completed, failed, parts, changes if number == 0 else {}))
    paths = [f"jobs/{job_id}/chunks/{chunk.number:08d}" for chunk in chunks]
    await one.app.documents.commit(
        [Create(path, chunk.model_dump(mode="json")) for path, chunk in zip(paths, chunks, strict=True)]
    )
    await one.app.jobs.update(job_id, lambda job: _processing(job, counts, part_lines))
    return job_id


def _processing(job: Job, counts: Counts, part_lines: int) -> Job:
    limits = {"max_line_bytes": 1, "chunk_lines": 1, "chunk_bytes": 1, "part_lines": part_lines}
    pinned = PinnedInput(generation=1, size=1, crc32c="", **limits)
    total = sum(completed + failed for completed, failed in counts)
    facts = {"input": pinned, "prompt_count": total, "chunk_count": len(counts), "chunks_published": True}
    return job.transition(Status.QUEUED).transition(Status.PROCESSING, **facts)


def numbers(content: bytes) -> list[int]:
    return [int(line) for line in content.splitlines()]


async def outcome(one: InProcessStack, job_id: str) -> tuple[str, str | None]:
    job = await one.job(job_id)
    return job.status.value, job.error.code if job.error else None


@pytest.mark.parametrize("count", [1, MAX_COMPOSE, MAX_COMPOSE + 1, MAX_COMPOSE**2 + 1])
async def test_the_parts_of_any_number_of_chunks_are_joined_in_order_and_removed(tmp_path: Path, count: int) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await worked(one, [(1, 1)] * count, part_lines=10_000)
        await finalize(one.app, job_id)
        files = await one.files(job_id)
        names = [name async for name in one.app.results.list("")]

    expected = [number % 37 for number in range(count)]
    assert {name: numbers(content) for name, content in files.items()} == {
        "results_part_001.jsonl": expected,
        "errors.jsonl": expected,
    }
    assert names == [f"{job_id}/{name}" for name in ("errors.jsonl", "manifest.json", "results_part_001.jsonl")]


async def test_a_file_takes_whole_parts_up_to_its_limit_and_not_one_line_more(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await worked(one, [(2, 0), (3, 0), (5, 1), (1, 0), (0, 2), (4, 0), (1, 0), (7, 0)], part_lines=5)
        await finalize(one.app, job_id)
        found = await one.files(job_id)
        ended = await one.job(job_id)

    assert list(found) == [*(f"results_part_{number:03d}.jsonl" for number in (1, 2, 3, 4, 5)), "errors.jsonl"]
    files = [numbers(content) for content in found.values()]
    assert files == [[0, 0, 1, 1, 1], [2] * 5, [3, 5, 5, 5, 5], [6], [7] * 7, [2, 4, 4]]
    assert (ended.result_parts, ended.completed_count, ended.failed_count, ended.tokens_used) == (5, 23, 3, 69)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"completed": 3, "failed": 1}, id="the chunk counts a failure as an answer"),
        pytest.param({"completed": 1, "failed": 3}, id="the chunk counts an answer as a failure"),
        pytest.param({"completed": 3}, id="the chunk counts an answer too many"),
        pytest.param({"failed": 1}, id="the chunk counts a failure too few"),
        pytest.param({"line_count": 5}, id="the chunk has more lines than answers"),
        pytest.param({"errors": None}, id="the chunk names no errors"),
    ],
)
async def test_whatever_does_not_add_up_is_told_and_never_called_completed(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await worked(one, [(2, 2), (2, 2)], **changes)
        await finalize(one.app, job_id)

        assert await outcome(one, job_id) == ("FAILED", "result_incomplete")


async def test_a_line_that_no_chunk_has_is_missed(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await worked(one, [(2, 2)])
        await one.app.jobs.update(job_id, lambda job: job.model_copy(update={"prompt_count": 5}))
        await finalize(one.app, job_id)
        ended = await one.job(job_id)

    assert (ended.status, ended.error and ended.error.code) == (Status.FAILED, "result_incomplete")
    assert (ended.completed_count, ended.failed_count) == (2, 3)


@pytest.mark.parametrize(
    ("counts", "changes", "expected"),
    [
        ((1, 3), {}, ("COMPLETED", None)),
        ((1, 3), {"invalid_count": 4}, ("COMPLETED", None)),
        ((0, 4), {"invalid_count": 4}, ("FAILED", "no_valid_prompts")),
        ((0, 4), {"invalid_count": 3}, ("FAILED", "all_prompts_failed")),
        ((4, 0), {"stop_reason": CANCELLED}, ("CANCELLED", "cancelled")),
        ((0, 4), {"stop_reason": CANCELLED, "invalid_count": 4}, ("CANCELLED", "cancelled")),
        ((4, 0), {"stop_reason": CANCELLED, "prompt_count": 5}, ("FAILED", "result_incomplete")),
    ],
)
async def test_a_job_ends_with_the_gravest_thing_there_is_to_say(
    tmp_path: Path, counts: tuple[int, int], changes: dict[str, Any], expected: tuple[str, str | None]
) -> None:
    clock = HandClock()
    async with in_process_stack(tmp_path, clock) as one:
        job_id = await worked(one, [counts])
        await one.app.jobs.update(job_id, lambda job: job.model_copy(update=changes))
        clock.move(12)
        await finalize(one.app, job_id)

        assert await outcome(one, job_id) == expected
        assert (await one.job(job_id)).completed_at == clock.time


async def test_only_a_job_without_an_open_chunk_is_asked_to_be_finished_and_once(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        busy = await worked(one, [(1, 0), (1, 0)], open=True)
        done = await worked(one, [(1, 0)])
        unsplit: str = (await one.init())["job_id"]
        for job_id in (busy, done, unsplit, "unknown", done):
            await finalize_if_done(one.app, job_id)
        await finalize_if_done(one.app, done, name="finish-again")
        bodies = await _owed(one, "queue:finalizer")

    assert len(bodies) == 2
    assert all(done.encode() in body for body in bodies)


async def _owed(one: InProcessStack, source: str) -> list[bytes]:
    sql = "select body from deliveries where source = ?"
    rows = await one.database.read(lambda connection: connection.execute(sql, (source,)).fetchall())
    return [body for (body,) in rows]


async def test_a_finalizer_that_comes_too_early_or_for_nobody_changes_nothing(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        busy = await worked(one, [(1, 0), (1, 0)], open=True)
        before = await one.job(busy), [name async for name in one.app.results.list("")]
        await finalize(one.app, busy)
        await finalize(one.app, "unknown")

        assert (await one.job(busy), [name async for name in one.app.results.list("")]) == before


async def test_a_finalizer_that_failed_half_way_is_done_again_and_no_part_was_removed(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await worked(one, [(1, 1)] * (MAX_COMPOSE + 1))
        assert isinstance(one.app.results, FileObjects)
        folder = one.app.results.folder
        away = folder.rename(folder.with_name("away"))
        with pytest.raises(Unavailable):
            await finalize(one.app, job_id)
        away.rename(folder)
        still_open = (await one.job(job_id)).open
        await finalize(one.app, job_id)

        assert still_open
        assert await outcome(one, job_id) == ("COMPLETED", None)


async def test_a_finalizer_that_comes_after_the_end_removes_what_was_left_lying_about(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id, neighbour = await worked(one, [(1, 0)]), await worked(one, [(1, 0)])
        await finalize(one.app, job_id)
        for bucket, name in ((one.app.work, "00000000/000001-000000"), (one.app.results, "parts/x")):
            for owner in (job_id, neighbour):
                await bucket.create(f"{owner}/{name}", b"late")
        ended = await one.job(job_id)
        await finalize(one.app, job_id)

        assert [name async for name in one.app.work.list("")] == [f"{neighbour}/00000000/000001-000000"]
        assert [name async for name in one.app.results.list(f"{job_id}/parts/")] == []
        assert len([name async for name in one.app.results.list(f"{neighbour}/parts/")]) == 2
        assert await one.job(job_id) == ended


async def test_what_is_left_of_the_parts_is_published_in_order_when_some_are_gone(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await worked(one, [(1, 0)] * 6)
        for number in (0, 3):
            await one.app.results.delete(f"{job_id}/parts/{number}.results")
        await finalize(one.app, job_id)
        files = await one.files(job_id)

        assert await outcome(one, job_id) == ("FAILED", "result_incomplete")
        assert numbers(files["results_part_001.jsonl"]) == [1, 2, 4, 5]
        assert files["errors.jsonl"] == b""
