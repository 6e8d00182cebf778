"""The published files of a job: parts joined in input order over any number of chunks, whole parts up to a limit."""

from pathlib import Path

import pytest

from promptforge.domain.commands import ProcessChunk
from promptforge.domain.job import Status
from promptforge.pipeline.finalize import finalize
from promptforge.pipeline.split import split
from promptforge.ports.objects import MAX_COMPOSE
from promptforge.worker.process_chunk import process_chunk
from tests.harness.in_process import in_process_stack
from tests.harness.lines import prompts
from tests.harness.processed_job import DIFFERENT_PARTS, processed_job


def numbers(content: bytes) -> list[int]:
    return [int(line) for line in content.splitlines()]


@pytest.mark.parametrize("count", [1, MAX_COMPOSE, MAX_COMPOSE + 1, MAX_COMPOSE**2 + 1])
async def test_publish_joins_the_parts_of_any_number_of_chunks_in_order_and_removes_them(
    tmp_path: Path, count: int
) -> None:
    async with in_process_stack(tmp_path) as stack:
        job_id = await processed_job(stack, [(1, 1)] * count, part_lines=10_000)
        await finalize(stack.context, job_id)
        files = await stack.files(job_id)
        names = [name async for name in stack.context.results.list("")]

    expected = [number % DIFFERENT_PARTS for number in range(count)]
    assert {name: numbers(content) for name, content in files.items()} == {
        "results_part_001.jsonl": expected,
        "errors.jsonl": expected,
    }
    assert names == [f"{job_id}/{name}" for name in ("errors.jsonl", "manifest.json", "results_part_001.jsonl")]


async def test_publish_fills_a_file_with_whole_parts_up_to_its_limit(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        counts = [(2, 0), (3, 0), (5, 1), (1, 0), (0, 2), (4, 0), (1, 0), (7, 0)]
        job_id = await processed_job(stack, counts, part_lines=5)
        await finalize(stack.context, job_id)
        found = await stack.files(job_id)
        finished = await stack.job(job_id)

    assert list(found) == [*(f"results_part_{number:03d}.jsonl" for number in (1, 2, 3, 4, 5)), "errors.jsonl"]
    files = [numbers(content) for content in found.values()]
    assert files == [[0, 0, 1, 1, 1], [2] * 5, [3, 5, 5, 5, 5], [6], [7] * 7, [2, 4, 4]]
    assert (finished.result_parts, finished.completed_count, finished.failed_count) == (5, 23, 3)
    assert finished.tokens_used == 69


async def test_publish_with_missing_parts_joins_the_others_in_order(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        job_id = await processed_job(stack, [(1, 0)] * 6)
        for number in (0, 3):
            await stack.context.results.delete(f"{job_id}/parts/{number}.results")
        await finalize(stack.context, job_id)
        files, finished = await stack.files(job_id), await stack.job(job_id)

        assert (finished.status, finished.error and finished.error.code) == (Status.FAILED, "result_incomplete")
        assert numbers(files["results_part_001.jsonl"]) == [1, 2, 4, 5]
        assert files["errors.jsonl"] == b""


async def test_publish_with_a_part_deleted_after_its_file_was_joined_completes(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        job_id = await stack.submit(prompts(1))
        await split(stack.context, job_id)
        await process_chunk(stack.runtime, ProcessChunk(job_id=job_id, chunk=0))
        (part,) = [name async for name in stack.context.results.list(f"{job_id}/parts/")]
        await stack.context.results.compose(f"{job_id}/results_part_001.jsonl", [part])
        await stack.context.results.delete(part)

        assert (await stack.wait_until_finished(job_id)).status is Status.COMPLETED
