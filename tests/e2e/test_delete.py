"""Deleting: whenever it comes, no new call is made, nobody finds the job any more, and nothing of it stays behind."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.fakes.openai_server import openai_server, refusal
from tests.harness.clock import HandClock
from tests.harness.erasing import wait_until_erased
from tests.harness.in_process import InProcessStack, in_process_stack, prompts

from promptforge.domain.chunk import ChunkRange
from promptforge.domain.commands import ProcessChunk
from promptforge.domain.timeouts import ERASE_RETRY_SECONDS
from promptforge.errors import LeaseLost
from promptforge.pipeline.erase import erase
from promptforge.pipeline.finalize import finalize
from promptforge.pipeline.split import split
from promptforge.pipeline.sweep import sweep
from promptforge.state.chunks import ClaimedChunk
from promptforge.worker.lease import ChunkLease
from promptforge.worker.process_chunk import process_chunk

HEARD_SECONDS = 5.0  # after so long no call may begin any more
UNKNOWN = "job_" + "0" * 32
STATES = ["awaiting upload", "uploaded", "cut", "worked on", "completed", "failed", "cancelled"]


def openai(url: str) -> dict[str, Any]:
    return {"provider_keys": {"openai": "k"}, "provider_urls": {"openai": url}}


async def in_state(one: InProcessStack, state: str) -> str:
    """A job that has come so far; "worked on" has flushed what was answered and waits for its provider."""
    if state == "awaiting upload":
        job_id: str = (await one.init())["job_id"]
        return job_id
    if state in ("completed", "failed"):
        return await one.run(prompts(9) if state == "completed" else b"nope\n")
    job_id = await one.submit(prompts(9) + b" " * 9000, provider="openai")
    if state != "uploaded":
        await split(one.app, job_id)
    if state == "worked on":
        await process_chunk(one.runtime, ProcessChunk(job_id=job_id, chunk=0))
    if state == "cancelled":
        await one.cancel(job_id)
        await one.until_ended(job_id)
    return job_id


async def assert_unknown(one: InProcessStack, job_id: str) -> None:
    """Every call about the job is answered as for one that never was."""
    for method, path in (("GET", "/status"), ("GET", "/results"), ("POST", "/cancel"), ("DELETE", "")):
        replies = [
            await one.http.request(method, f"/v1/jobs/{name}{path}", headers=one.headers) for name in (job_id, UNKNOWN)
        ]
        assert [reply.status_code for reply in replies] == [404, 404]
        assert replies[0].content == replies[1].content


async def _throttled(prompt: str, call: int) -> web.Response | None:
    return None if prompt == "prompt 0" else refusal(429, **{"Retry-After": "60"})


@pytest.mark.parametrize("state", STATES)
async def test_a_job_is_erased_whatever_its_state(tmp_path: Path, state: str) -> None:
    clock = HandClock()
    async with (
        openai_server(_throttled) as provider,
        in_process_stack(tmp_path, clock, max_inline_wait_seconds=0.1, chunk_lines=4, **openai(provider.url)) as one,
    ):
        job_id, kept = await in_state(one, state), await one.run(prompts(3))
        before, files = provider.calls.total(), await one.files(kept)
        reply = await one.delete(job_id)
        await assert_unknown(one, job_id)
        await one.deliver_all()
        (tombstone,) = await one.remains(job_id)
        await wait_until_erased(one, clock)

        assert (reply.status_code, reply.content) == (204, b"")
        assert tombstone == f"jobs/{job_id}"  # which keeps the id from being given again for a while
        assert await one.remains(job_id) == []
        assert provider.calls.total() == before
        await assert_unknown(one, job_id)
        assert await one.files(kept) == files


async def test_no_call_begins_once_the_delete_was_heard_and_nothing_stays(tmp_path: Path) -> None:
    clock, called_at = HandClock(), list[float]()
    now = asyncio.get_running_loop().time

    async def slow(prompt: str, call: int) -> None:
        called_at.append(now())
        await asyncio.sleep(0.2)

    async with (
        openai_server(slow) as provider,
        in_process_stack(tmp_path, clock, max_in_flight=4, flush_count=1, **openai(provider.url)) as one,
    ):
        job_id = await one.submit(prompts(200) + b" " * 60_000, provider="openai")
        await split(one.app, job_id)
        working = asyncio.create_task(one.deliver_all())
        while provider.calls.total() < 12:
            await asyncio.sleep(0.005)
        deleted_at = now()
        await one.delete(job_id)
        await working
        (tombstone,) = await one.remains(job_id)
        await wait_until_erased(one, clock)

        assert max(called_at) - deleted_at < HEARD_SECONDS
        assert tombstone == f"jobs/{job_id}"
        assert await one.remains(job_id) == []


async def test_a_stranger_cannot_delete_a_job_nor_anybody_without_a_key(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await one.run(prompts(2))
        stranger = {"X-API-Key": await one.app.api_keys.create("stranger")}
        foreign = await one.http.delete(f"/v1/jobs/{job_id}", headers=stranger)
        unknown = await one.delete(UNKNOWN)
        nonsense = await one.delete(job_id.upper())
        keyless = await one.http.delete(f"/v1/jobs/{job_id}")
        await one.deliver_all()

        assert {reply.status_code for reply in (foreign, unknown, nonsense)} == {404}
        assert foreign.content == unknown.content == nonsense.content
        assert keyless.status_code == 401
        assert len(await one.results(job_id)) == 2


async def test_urls_that_were_signed_before_lead_nowhere(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await one.run(prompts(2))
        reply = await one.http.get(f"/v1/jobs/{job_id}/results", headers=one.headers)
        await one.delete(job_id)
        await one.deliver_all()
        for file in [*reply.json()["files"], reply.json()["manifest"]]:
            gone = await one.http.get(file["url"])
            assert (gone.status_code, gone.json()["code"]) == (404, "object_not_found")


@pytest.mark.parametrize("repeated", [1, 1500])
async def test_no_file_holds_a_word_of_it(tmp_path: Path, repeated: int) -> None:
    def files() -> bytes:
        return b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())

    async with in_process_stack(tmp_path) as one:
        job_id = await one.run(prompts(3), system="SECRET " * repeated)
        kept = await one.run(prompts(3, first=3), system="KEPT " * repeated)
        before = files()
        await one.delete(job_id)
        await one.deliver_all()
        await one.database.clear_log()
        after = files()

        assert b"SECRET" in before
        assert b"SECRET" not in after
        assert b"KEPT" in after
        assert len(await one.results(kept)) == 3


@pytest.mark.parametrize("uploaded", [False, True])
async def test_the_upload_url_of_a_deleted_job_takes_nothing(tmp_path: Path, uploaded: bool) -> None:
    async with in_process_stack(tmp_path) as one:
        ticket = await one.init()
        job_id = ticket["job_id"]
        if uploaded:
            await one.put(ticket["upload_url"], prompts(2))
        await one.delete(job_id)
        await one.deliver_all()
        late = await one.put(ticket["upload_url"], prompts(2))

        assert (late.status_code, late.json()["code"]) == (404, "job_not_found")
        assert await one.remains(job_id) == [f"jobs/{job_id}"]


async def _hold(one: InProcessStack, job_id: str) -> ChunkLease:
    claim = await one.app.chunks.claim(job_id, 0, "holder", 60)
    assert isinstance(claim, ClaimedChunk)
    return ChunkLease(one.app, await one.job(job_id), claim)


async def test_what_is_written_after_the_first_look_is_found_by_a_later_one(tmp_path: Path) -> None:
    clock = HandClock()
    async with in_process_stack(tmp_path, clock) as one:
        ticket = await one.init()
        job_id = ticket["job_id"]
        await one.put(ticket["upload_url"], prompts(3))
        await split(one.app, job_id)
        hold = await _hold(one, job_id)
        hold.answers.add(1, True, 1, b'{"prompt_id":"id-0","result":"r"}\n')
        cut = ChunkRange(**hold.chunk.model_dump(include=set(ChunkRange.model_fields)))
        await one.delete(job_id)
        await one.deliver_all()

        with pytest.raises(LeaseLost):
            await hold.flush()  # it was frozen, and goes on
        with pytest.raises(LeaseLost):
            await hold.settle()
        assert await one.remains(job_id) == [f"jobs/{job_id}"]  # it removed what it wrote

        await one.app.work.create(f"{job_id}/00000000/000001-000000", b"of a worker that died just then")
        await one.app.results.create(f"{job_id}/results_part_000.jsonl", b"of a finalizer")
        await one.app.chunks.create_missing(job_id, [cut], due_at=0)  # by a splitter
        await one.app.uploads.create(f"{job_id}/input.jsonl", prompts(1))  # of an upload that took so long
        await one.deliver_all()
        assert len(await one.remains(job_id)) == 5
        clock.move(ERASE_RETRY_SECONDS + 1)
        await sweep(one.app)
        await one.deliver_all()
        assert await one.remains(job_id) == [f"jobs/{job_id}"]
        await wait_until_erased(one, clock)
        assert await one.remains(job_id) == []


async def test_a_task_for_a_job_that_is_neither_deleted_nor_forgotten_does_nothing(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await one.run(prompts(3))
        job, files = await one.job(job_id), await one.files(job_id)
        await erase(one.app, job_id)
        await erase(one.app, UNKNOWN)

        assert (await one.job(job_id), await one.files(job_id)) == (job, files)


async def test_a_finalizer_that_comes_late_ends_nothing(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await one.submit(prompts(3))
        await split(one.app, job_id)
        await process_chunk(one.runtime, ProcessChunk(job_id=job_id, chunk=0))
        await one.delete(job_id)
        await finalize(one.app, job_id)
        await one.deliver_all()

        assert await one.remains(job_id) == [f"jobs/{job_id}"]
