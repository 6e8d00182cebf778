"""The finalization of a job: every count is checked, the final status fits, and no intermediate object remains."""

from pathlib import Path
from typing import Any

import pytest

from promptforge.adapters.local.objects import FileObjects
from promptforge.domain.job import CANCELLED, Status
from promptforge.errors import Unavailable
from promptforge.pipeline.finalize import finalize
from promptforge.ports.objects import MAX_COMPOSE
from tests.harness.clock import ManualClock
from tests.harness.in_process import InProcessStack, in_process_stack
from tests.harness.lines import prompts
from tests.harness.processed_job import processed_job


async def outcome(stack: InProcessStack, job_id: str) -> tuple[str, str | None]:
    job = await stack.job(job_id)
    return job.status.value, job.error.code if job.error else None


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
async def test_finalize_with_counts_that_differ_fails_the_job(tmp_path: Path, changes: dict[str, Any]) -> None:
    async with in_process_stack(tmp_path) as stack:
        job_id = await processed_job(stack, [(2, 2), (2, 2)], **changes)
        await finalize(stack.context, job_id)

        assert await outcome(stack, job_id) == ("FAILED", "result_incomplete")


async def test_finalize_with_a_line_in_no_chunk_fails_the_job(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        job_id = await processed_job(stack, [(2, 2)])
        await stack.context.jobs.update(job_id, lambda job: job.model_copy(update={"prompt_count": 5}))
        await finalize(stack.context, job_id)
        finished = await stack.job(job_id)

    assert (finished.status, finished.error and finished.error.code) == (Status.FAILED, "result_incomplete")
    assert (finished.completed_count, finished.failed_count) == (2, 3)


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
async def test_finalize_sets_the_status_of_the_most_severe_error(
    tmp_path: Path, counts: tuple[int, int], changes: dict[str, Any], expected: tuple[str, str | None]
) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock) as stack:
        job_id = await processed_job(stack, [counts])
        await stack.context.jobs.update(job_id, lambda job: job.model_copy(update=changes))
        clock.advance(12)
        await finalize(stack.context, job_id)

        assert await outcome(stack, job_id) == expected
        assert (await stack.job(job_id)).completed_at == clock.time


async def test_finalize_with_open_chunk_or_unknown_job_changes_nothing(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        busy = await processed_job(stack, [(1, 0), (1, 0)], open=True)
        before = await stack.job(busy), [name async for name in stack.context.results.list("")]
        await finalize(stack.context, busy)
        await finalize(stack.context, "unknown")

        assert (await stack.job(busy), [name async for name in stack.context.results.list("")]) == before


async def test_finalize_after_a_failed_run_completes_the_job(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        job_id = await processed_job(stack, [(1, 1)] * (MAX_COMPOSE + 1))
        assert isinstance(stack.context.results, FileObjects)
        folder = stack.context.results.folder
        away = folder.rename(folder.with_name("away"))
        with pytest.raises(Unavailable):
            await finalize(stack.context, job_id)
        away.rename(folder)
        still_open = (await stack.job(job_id)).open
        await finalize(stack.context, job_id)

        assert still_open
        assert await outcome(stack, job_id) == ("COMPLETED", None)


async def test_finalize_of_a_finished_job_removes_late_objects_of_this_job_only(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        job_id, neighbour = await processed_job(stack, [(1, 0)]), await processed_job(stack, [(1, 0)])
        await finalize(stack.context, job_id)
        for bucket, name in ((stack.context.work, "00000000/000001-000000"), (stack.context.results, "parts/x")):
            for owner in (job_id, neighbour):
                await bucket.create(f"{owner}/{name}", b"late")
        finished = await stack.job(job_id)
        await finalize(stack.context, job_id)

        assert [name async for name in stack.context.work.list("")] == [f"{neighbour}/00000000/000001-000000"]
        assert [name async for name in stack.context.results.list(f"{job_id}/parts/")] == []
        assert len([name async for name in stack.context.results.list(f"{neighbour}/parts/")]) == 2
        assert await stack.job(job_id) == finished


async def test_finalize_removes_objects_of_stale_epochs(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        job_id = await stack.submit(prompts(3))
        await stack.context.work.create(f"{job_id}/00000000/000009-000000", b"of a stale epoch")
        await stack.context.results.create(f"{job_id}/parts/00000000-000009.results", b"of a stale epoch")
        await stack.wait_until_finished(job_id)
        await finalize(stack.context, job_id)

        assert [name async for name in stack.context.work.list("")] == []
        assert [name async for name in stack.context.results.list(f"{job_id}/parts/")] == []
