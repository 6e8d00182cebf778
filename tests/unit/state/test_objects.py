"""The names of a job's objects, and their removal."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptforge.domain.commands import JobUploaded
from promptforge.ports.objects import Objects
from promptforge.state.objects import (
    CONCURRENT_DELETES,
    chunk_part_object,
    compose_step_object,
    delete_intermediate_objects,
    delete_job_objects,
    delete_prefix,
    result_object,
    segment_object,
    upload_object,
    uploaded_job,
)
from tests.harness.in_process import in_process_stack

JOB = "01234567-89ab-4def-8123-456789abcdef"
OTHER = "01234567-89ab-4def-8123-456789abcde0"

OTHER_OBJECTS = [
    "",
    "/",
    "input.jsonl",
    JOB,
    f"{JOB}/",
    f"{JOB}/other.jsonl",
    f"{JOB}/a/input.jsonl",
    f"{JOB}/input.jsonl/evil",
    f"{JOB}/input.jsonl/",
    f"{JOB}//input.jsonl",
    f"{JOB}/INPUT.JSONL",
    f"{JOB}/input.jsonl\n",
    f"/{JOB}/input.jsonl",
    f"../{JOB}/input.jsonl",
    f"{JOB}/../input.jsonl",
    f"uploads/{JOB}/input.jsonl",
    "job_1/input.jsonl",
    "x/input.jsonl",
    "x/input.jsonl/evil",
    f"{JOB}0/input.jsonl",
    f"{JOB}\n/input.jsonl",
    f"{JOB.upper()}/input.jsonl",
]


async def names(bucket: Objects) -> list[str]:
    return [name async for name in bucket.list("")]


def test_object_names_begin_with_the_job_and_sort_by_chunk_and_epoch() -> None:
    assert upload_object(JOB) == f"{JOB}/input.jsonl"
    assert result_object(JOB, "errors.jsonl") == f"{JOB}/errors.jsonl"
    assert segment_object(JOB, 12, 3, 4) == f"{JOB}/00000012/000003-000004"
    assert chunk_part_object(JOB, 12, 3, "results") == f"{JOB}/parts/00000012-000003.results"
    assert compose_step_object(JOB, "errors.jsonl", 1, 32) == f"{JOB}/parts/errors.jsonl.1.00000032"
    assert segment_object(JOB, 9, 1, 0) < segment_object(JOB, 10, 1, 0) < segment_object(JOB, 10, 11, 0)


def test_uploaded_job_of_an_input_object_returns_its_command() -> None:
    assert uploaded_job(upload_object(JOB)) == JobUploaded(job_id=JOB)


@pytest.mark.parametrize("name", OTHER_OBJECTS)
def test_uploaded_job_of_any_other_object_returns_none(name: str) -> None:
    assert uploaded_job(name) is None


@given(st.text())
def test_uploaded_job_of_any_text_returns_none(name: str) -> None:
    assert uploaded_job(name) is None


@pytest.mark.parametrize("count", [0, 1, CONCURRENT_DELETES, 2 * CONCURRENT_DELETES + 1])
async def test_delete_prefix_deletes_every_object_with_the_prefix_and_no_other(tmp_path: Path, count: int) -> None:
    async with in_process_stack(tmp_path) as stack:
        for number in range(count):
            await stack.context.work.create(f"{JOB}/{number}", b"x")
        await stack.context.work.create(f"{JOB}0/1", b"x")
        await delete_prefix(stack.context.work, f"{JOB}/")

        assert await names(stack.context.work) == [f"{JOB}0/1"]


async def test_delete_intermediate_objects_keeps_the_published_files(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        published = result_object(JOB, "errors.jsonl")
        await stack.context.work.create(segment_object(JOB, 0, 1, 0), b"x")
        for name in (published, chunk_part_object(JOB, 0, 1, "errors"), compose_step_object(JOB, "a", 0, 0)):
            await stack.context.results.create(name, b"x")
        await delete_intermediate_objects(stack.context.work, stack.context.results, JOB)

        assert await names(stack.context.work) == []
        assert await names(stack.context.results) == [published]


async def test_delete_job_objects_keeps_the_objects_of_other_jobs(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        for job_id in (JOB, OTHER):
            await stack.context.results.create(result_object(job_id, "errors.jsonl"), b"x")
            await stack.context.results.create(chunk_part_object(job_id, 0, 1, "errors"), b"x")
        await delete_job_objects(stack.context.results, JOB)

        assert await names(stack.context.results) == [
            result_object(OTHER, "errors.jsonl"),
            chunk_part_object(OTHER, 0, 1, "errors"),
        ]
