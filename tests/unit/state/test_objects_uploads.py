"""The names of objects in the three buckets, and the removal of every object with a prefix."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptforge.domain.commands import JobUploaded
from promptforge.state.objects import (
    CONCURRENT_DELETES,
    chunk_part_object,
    compose_step_object,
    delete_intermediate_objects,
    delete_job_objects,
    result_object,
    segment_object,
    upload_object,
    uploaded_job,
)
from tests.harness.in_process import in_process_stack

JOB_ID = "01234567-89ab-4def-8123-456789abcdef"
OTHER_JOB_ID = JOB_ID[:-1] + "0"

OTHER_OBJECTS = [
    "",
    "/",
    "input.jsonl",
    JOB_ID,
    f"{JOB_ID}/",
    f"{JOB_ID}/other.jsonl",
    f"{JOB_ID}/input.jsonl/evil",
    f"{JOB_ID}/input.jsonl/",
    f"{JOB_ID}//input.jsonl",
    f"{JOB_ID}/INPUT.JSONL",
    f"{JOB_ID}/input.jsonl\n",
    f"/{JOB_ID}/input.jsonl",
    f"../{JOB_ID}/input.jsonl",
    f"{JOB_ID}/../input.jsonl",
    f"uploads/{JOB_ID}/input.jsonl",
    "x/input.jsonl",
    "x/input.jsonl/evil",
    f"{JOB_ID}0/input.jsonl",
    f"{JOB_ID}\n/input.jsonl",
    f"{JOB_ID.upper()}/input.jsonl",
]


def test_uploaded_job_of_an_upload_object_is_its_job() -> None:
    assert uploaded_job(upload_object(JOB_ID)) == JobUploaded(job_id=JOB_ID)


@pytest.mark.parametrize("name", OTHER_OBJECTS)
def test_uploaded_job_of_another_object_is_none(name: str) -> None:
    assert uploaded_job(name) is None


@given(st.text())
def test_uploaded_job_of_any_other_text_is_none(name: str) -> None:
    assert uploaded_job(name) is None


async def test_delete_job_objects_removes_any_number_of_one_job_only(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        bucket = one.context.work
        for index in range(2 * CONCURRENT_DELETES + 1):
            await bucket.create(segment_object(JOB_ID, 0, 1, index), b"x")
        other = segment_object(OTHER_JOB_ID, 0, 1, 0)
        await bucket.create(other, b"x")
        await delete_job_objects(bucket, JOB_ID)

        assert [name async for name in bucket.list("")] == [other]


async def test_delete_intermediate_objects_keeps_the_published_files(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        work, results = one.context.work, one.context.results
        published = result_object(JOB_ID, "errors.jsonl")
        await work.create(segment_object(JOB_ID, 0, 1, 0), b"x")
        for name in (published, chunk_part_object(JOB_ID, 0, 1, "errors"), compose_step_object(JOB_ID, "e", 0, 0)):
            await results.create(name, b"x")
        await delete_intermediate_objects(work, results, JOB_ID)

        assert [name async for name in work.list("")] == []
        assert [name async for name in results.list("")] == [published]
