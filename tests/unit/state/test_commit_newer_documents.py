"""The stores change documents of a newer version and write its unknown fields back."""

from pathlib import Path
from typing import Any

from promptforge.pipeline.split import split
from promptforge.ports.documents import Update
from promptforge.state.api_keys import API_KEYS
from promptforge.state.chunks import chunks_path
from promptforge.state.jobs import JOBS
from tests.harness.in_process import InProcessStack, in_process_stack
from tests.harness.lines import prompts

NEWER: dict[str, Any] = {"schema": 7, "from_the_future": {"x": [1, None, "é"]}}


async def make_newer(stack: InProcessStack, collection: str) -> None:
    """Add a field and a layout number of a newer version to every document of a collection."""
    for document in await stack.context.documents.query(collection, limit=10):
        await stack.context.documents.commit([Update(document.path, {**document.data, **NEWER}, document.version)])


async def only_document(stack: InProcessStack, collection: str) -> dict[str, Any]:
    (document,) = await stack.context.documents.query(collection, limit=10)
    return dict(document.data)


def newer_fields(data: dict[str, Any]) -> dict[str, Any]:
    return {name: data[name] for name in NEWER}


async def test_newer_job_and_chunk_keep_their_fields_until_the_end(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        job_id = await stack.submit(prompts(1))
        await make_newer(stack, JOBS)
        await split(stack.context, job_id)
        await make_newer(stack, chunks_path(job_id))
        await stack.wait_until_finished(job_id)
        job, chunk = await only_document(stack, JOBS), await only_document(stack, chunks_path(job_id))

    assert (job["status"], chunk["open"]) == ("COMPLETED", False)
    assert newer_fields(job) == newer_fields(chunk) == NEWER


async def test_newer_spend_quota_keeps_its_fields(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path, prices={"echo/echo-1": (1.0, 1.0)}) as stack:
        await stack.context.quotas.set_daily_limit("tests", 10.0)
        await make_newer(stack, "clients")
        await stack.run(prompts(1))
        after_job = await only_document(stack, "clients")
        await stack.context.quotas.set_daily_limit("tests", None)
        without_limit = await only_document(stack, "clients")

    assert after_job["day"] != ""
    assert without_limit["daily_limit_nanos"] is None
    assert newer_fields(after_job) == newer_fields(without_limit) == NEWER


async def test_newer_api_key_keeps_its_fields(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        await make_newer(stack, API_KEYS)
        assert await stack.context.api_keys.revoke("tests", None) == 1
        key = await only_document(stack, API_KEYS)

    assert key["revoked_at"] is not None
    assert newer_fields(key) == NEWER


async def test_newer_tombstone_keeps_its_fields(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        job_id = await stack.submit(prompts(1))
        await stack.delete(job_id)
        await make_newer(stack, JOBS)
        before = await only_document(stack, JOBS)
        await stack.deliver_all()
        tombstone = await only_document(stack, JOBS)

    assert tombstone["tombstone"] is True
    assert tombstone["due_at"] != before["due_at"]
    assert newer_fields(tombstone) == NEWER
