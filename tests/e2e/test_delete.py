"""Deleting a job: no new call starts, no caller finds the job any more, and nothing of it remains."""

import asyncio
from pathlib import Path

import pytest

from promptforge.domain.commands import ProcessChunk
from promptforge.pipeline.split import split
from promptforge.state.tombstones import TombstoneStore
from promptforge.worker.process_chunk import process_chunk
from tests.fakes.contended_documents import ContendedDocuments
from tests.fakes.throttling import throttle_all_but_first
from tests.harness.clock import ManualClock
from tests.harness.erasing import wait_until_erased
from tests.harness.in_process import InProcessStack, in_process_stack
from tests.harness.lines import prompts
from tests.harness.openai_stack import openai_stack

DELETE_SECONDS = 5.0  # the time after a delete within which the last call may start
UNKNOWN = "00000000-0000-4000-8000-000000000000"
STATES = ["awaiting upload", "uploaded", "split", "deferred", "completed", "failed", "cancelled"]


async def create_in_state(one: InProcessStack, state: str) -> str:
    """Create a job in a state.

    The deferred job has flushed a result and waits for its provider.
    """
    if state == "awaiting upload":
        job_id: str = (await one.init())["job_id"]
        return job_id
    if state in ("completed", "failed"):
        return await one.run(prompts(9) if state == "completed" else b"nope\n")
    job_id = await one.submit(prompts(9) + b" " * 9000, provider="openai")
    if state != "uploaded":
        await split(one.context, job_id)
    if state == "deferred":
        await process_chunk(one.runtime, ProcessChunk(job_id=job_id, chunk=0))
    if state == "cancelled":
        await one.cancel(job_id)
        await one.wait_until_finished(job_id)
    return job_id


async def assert_unknown(one: InProcessStack, job_id: str) -> None:
    """Assert that every call about the job gets the same answer as for a job that never existed."""
    for method, path in (("GET", "/status"), ("GET", "/results"), ("POST", "/cancel"), ("DELETE", "")):
        replies = [
            await one.http.request(method, f"/v1/jobs/{name}{path}", headers=one.headers) for name in (job_id, UNKNOWN)
        ]
        assert [reply.status_code for reply in replies] == [404, 404]
        assert replies[0].content == replies[1].content


@pytest.mark.parametrize("state", STATES)
async def test_delete_in_any_state_erases_the_job(tmp_path: Path, state: str) -> None:
    clock = ManualClock()
    async with openai_stack(tmp_path, throttle_all_but_first, clock, max_inline_wait_seconds=0.1, chunk_lines=4) as (
        one,
        provider,
    ):
        job_id, other = await create_in_state(one, state), await one.run(prompts(3))
        before, files = provider.call_counts.total(), await one.files(other)
        reply = await one.delete(job_id)
        await assert_unknown(one, job_id)
        await one.deliver_all()
        (tombstone,) = await one.remaining_data(job_id)
        await wait_until_erased(one, clock)

        assert (reply.status_code, reply.content) == (204, b"")
        assert tombstone == f"jobs/{job_id}"  # it reserves the id for some weeks
        assert await one.remaining_data(job_id) == []
        assert provider.call_counts.total() == before
        await assert_unknown(one, job_id)
        assert await one.files(other) == files


async def test_delete_while_calls_are_in_flight_stops_calls_and_leaves_nothing(tmp_path: Path) -> None:
    clock, called_at = ManualClock(), list[float]()
    now = asyncio.get_running_loop().time

    async def slow(prompt: str, call: int) -> None:
        called_at.append(now())
        await asyncio.sleep(0.2)

    async with openai_stack(tmp_path, slow, clock, max_in_flight=4, flush_count=1) as (one, provider):
        job_id = await one.submit(prompts(200) + b" " * 60_000, provider="openai")
        await split(one.context, job_id)
        working = asyncio.create_task(one.deliver_all())
        while provider.call_counts.total() < 12:
            await asyncio.sleep(0.005)
        deleted_at = now()
        await one.delete(job_id)
        await working
        (tombstone,) = await one.remaining_data(job_id)
        await wait_until_erased(one, clock)

        assert max(called_at) - deleted_at < DELETE_SECONDS
        assert tombstone == f"jobs/{job_id}"
        assert await one.remaining_data(job_id) == []


async def test_delete_by_another_client_or_without_key_is_rejected(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await one.run(prompts(2))
        other_client = {"X-API-Key": await one.context.api_keys.create("other")}
        foreign = await one.http.delete(f"/v1/jobs/{job_id}", headers=other_client)
        unknown = await one.delete(UNKNOWN)
        malformed = await one.delete(job_id.upper())
        keyless = await one.http.delete(f"/v1/jobs/{job_id}")
        await one.deliver_all()

        assert {reply.status_code for reply in (foreign, unknown, malformed)} == {404}
        assert foreign.content == unknown.content == malformed.content
        assert keyless.status_code == 401
        assert len(await one.results(job_id)) == 2


async def test_delete_while_the_job_is_written_all_the_time_returns_503_and_keeps_the_job(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await one.run(prompts(3))
        one.context.tombstones = TombstoneStore(
            ContendedDocuments(one.context.documents), one.context.quotas, one.context.rng
        )
        reply = await one.delete(job_id)

        assert (reply.status_code, reply.json()["code"]) == (503, "unavailable")
        assert len(await one.results(job_id)) == 3


async def test_delete_makes_earlier_download_urls_return_404(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await one.run(prompts(2))
        reply = await one.http.get(f"/v1/jobs/{job_id}/results", headers=one.headers)
        await one.delete(job_id)
        await one.deliver_all()
        for file in [*reply.json()["files"], reply.json()["manifest"]]:
            gone = await one.http.get(file["url"])
            assert (gone.status_code, gone.json()["code"]) == (404, "object_not_found")


@pytest.mark.parametrize("repeated", [1, 1500])
async def test_delete_removes_the_content_from_every_file_of_the_machine(tmp_path: Path, repeated: int) -> None:
    def files() -> bytes:
        return b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())

    async with in_process_stack(tmp_path) as one:
        job_id = await one.run(prompts(3), system="SECRET " * repeated)
        other = await one.run(prompts(3, first=3), system="KEPT " * repeated)
        before = files()
        await one.delete(job_id)
        await one.deliver_all()
        await one.database.clear_log()
        after = files()

        assert b"SECRET" in before
        assert b"SECRET" not in after
        assert b"KEPT" in after
        assert len(await one.results(other)) == 3


@pytest.mark.parametrize("uploaded", [False, True])
async def test_delete_makes_the_upload_url_reject_a_file(tmp_path: Path, uploaded: bool) -> None:
    async with in_process_stack(tmp_path) as one:
        created = await one.init()
        job_id = created["job_id"]
        if uploaded:
            await one.put(created["upload_url"], prompts(2))
        await one.delete(job_id)
        await one.deliver_all()
        late = await one.put(created["upload_url"], prompts(2))

        assert (late.status_code, late.json()["code"]) == (404, "job_not_found")
        assert await one.remaining_data(job_id) == [f"jobs/{job_id}"]
