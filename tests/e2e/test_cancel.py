"""Cancelling: whenever it comes, no new call is made, what was done stays, and every prompt has its line."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.fakes.openai_server import Act, openai_server, refusal
from tests.fakes.scripted_provider import Play
from tests.harness.clock import HandClock
from tests.harness.in_process import InProcessStack, in_process_stack, prompts

from promptforge.domain.commands import ProcessChunk
from promptforge.domain.job import Job, Status
from promptforge.pipeline.split import split
from promptforge.pipeline.sweep import sweep
from promptforge.worker.process_chunk import process_chunk

HEARD_SECONDS = 5.0  # after so long no call may begin any more


def openai(url: str) -> dict[str, Any]:
    return {"provider_keys": {"openai": "k"}, "provider_urls": {"openai": url}}


async def assert_cancelled(one: InProcessStack, job: Job, prompt_count: int) -> list[dict[str, Any]]:
    """The job ended as cancelled and accounts for every prompt; its results, after its errors were looked at."""
    results, errors = await one.results(job.job_id), await one.errors(job.job_id)
    status = await one.status(job.job_id)
    assert (status["status"], status["error"]["code"]) == ("CANCELLED", "cancelled")
    assert (status["completed_count"], status["failed_count"]) == (len(results), len(errors))
    assert status["prompt_count"] == prompt_count == len(results) + len(errors)
    assert {line["error"] for line in errors} <= {"cancelled"}
    assert Counter(line["prompt_id"] for line in results + errors) == Counter(f"id-{n}" for n in range(prompt_count))
    return results


async def test_a_job_without_an_upload_is_cancelled_at_once_and_a_late_upload_does_nothing(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        ticket = await one.init()
        reply = await one.cancel(ticket["job_id"])
        cancelled = await one.job(ticket["job_id"])
        late = await one.put(ticket["upload_url"], prompts(3))
        other = await one.run(prompts(1))
        results = await one.http.get(f"/v1/jobs/{ticket['job_id']}/results", headers=one.headers)

        assert (reply.status_code, reply.json()["status"]) == (200, "CANCELLED")
        assert reply.json()["error"] == {"code": "cancelled", "message": "The job was cancelled."}
        assert reply.json()["completed_at"]
        assert late.status_code == 200
        assert "bucket:uploads" not in await _owed(one)
        assert one.sent.count("splitter") == 4  # the late upload's event and task came too
        assert await one.job(ticket["job_id"]) == cancelled
        assert [chunk async for chunk in one.app.chunks.list_all(ticket["job_id"])] == []
        assert (results.status_code, results.json()["code"]) == (409, "no_results")
        assert (await one.job(other)).status is Status.COMPLETED


async def test_a_queued_job_is_read_to_its_end_so_that_every_prompt_gets_its_line(tmp_path: Path) -> None:
    async with openai_server() as provider, in_process_stack(tmp_path, chunk_lines=1, **openai(provider.url)) as one:
        job_id = await one.submit(prompts(150), provider="openai")
        splitting = asyncio.create_task(split(one.app, job_id))
        while (await one.job(job_id)).status is not Status.QUEUED:
            await asyncio.sleep(0)
        splitting.cancel()
        await asyncio.gather(splitting, return_exceptions=True)
        await one.lose("bucket:uploads")
        reply = await one.cancel(job_id)
        ended = await one.until_ended(job_id)

        assert (reply.status_code, reply.json()["status"]) == (200, "QUEUED")
        assert reply.json()["error"]["code"] == "cancelled"
        assert await assert_cancelled(one, ended, 150) == []
        assert provider.calls.total() == 0


async def test_a_job_whose_chunks_nobody_has_claimed_costs_no_call(tmp_path: Path) -> None:
    async with openai_server() as provider, in_process_stack(tmp_path, **openai(provider.url)) as one:
        job_id = await one.submit(prompts(40), provider="openai")
        await split(one.app, job_id)
        reply = await one.cancel(job_id)
        ended = await one.until_ended(job_id)

        assert (reply.json()["status"], reply.json()["error"]["code"]) == ("PROCESSING", "cancelled")
        assert await assert_cancelled(one, ended, 40) == []
        assert provider.calls.total() == 0


async def _slow(prompt: str, call: int) -> None:
    await asyncio.sleep(0.2)


async def _throttled(prompt: str, call: int) -> web.Response | None:
    return None if prompt == "prompt 0" else refusal(429, **{"Retry-After": "60"})


async def _broken(prompt: str, call: int) -> web.Response:
    return refusal(500)


@pytest.mark.parametrize(
    ("act", "attempts"),
    [
        pytest.param(_slow, {0}, id="waiting for a slot"),
        pytest.param(_throttled, {0}, id="waiting for the gate"),
        pytest.param(_broken, set(range(1, 11)), id="waiting to be tried again"),
    ],
)
async def test_prompts_that_wait_are_never_called_once_the_cancel_was_heard(
    tmp_path: Path, act: Act, attempts: set[int]
) -> None:
    called_at: list[float] = []
    now = asyncio.get_running_loop().time

    async def noting(prompt: str, call: int) -> web.Response | Play | None:
        called_at.append(now())
        first = len(called_at) == 1  # whichever that is: a model whose first call is throttled would be left alone
        return None if first and act is _throttled else await act(prompt, call)

    async with (
        openai_server(noting) as provider,
        in_process_stack(tmp_path, max_in_flight=4, max_inline_wait_seconds=100, **openai(provider.url)) as one,
    ):
        job_id = await one.submit(prompts(120) + b" " * 40_000, provider="openai", max_retries=10)
        ending = asyncio.create_task(one.until_ended(job_id))
        while provider.calls.total() < 4:
            await asyncio.sleep(0.005)
        cancelled_at = now()
        reply = await one.cancel(job_id)
        ended = await ending
        ended_at = now()

        assert reply.json()["status"] == "PROCESSING"
        results = await assert_cancelled(one, ended, 120)
        assert len(results) == 0 if act is _broken else 0 < len(results) < 120
        assert {line["attempts"] for line in await one.errors(job_id)} <= attempts
        assert called_at[-1] - cancelled_at < HEARD_SECONDS
        assert ended_at - cancelled_at < HEARD_SECONDS + 1
        if act is _slow:  # what was in flight came back and counts
            assert len(results) == provider.calls.total()


async def test_a_chunk_that_waits_for_its_provider_is_not_waited_for(tmp_path: Path) -> None:
    clock = HandClock()
    async with (
        openai_server(_throttled) as provider,
        in_process_stack(tmp_path, clock, max_inline_wait_seconds=0.1, **openai(provider.url)) as one,
    ):
        job_id = await one.submit(prompts(5) + b" " * 9000, provider="openai")
        await split(one.app, job_id)
        await process_chunk(one.runtime, ProcessChunk(job_id=job_id, chunk=0))
        await one.lose("topic:chunks")  # it was delivered just now
        (parked,) = [chunk async for chunk in one.app.chunks.list_all(job_id)]
        before = provider.calls.total()
        await one.cancel(job_id)
        ended = await one.until_ended(job_id)

        assert (parked.open, parked.holder) == (True, None)
        assert parked.due_at > clock.time + 60
        assert len(await assert_cancelled(one, ended, 5)) == parked.completed == 1
        assert provider.calls.total() == before


async def test_a_lost_cancel_task_costs_only_time(tmp_path: Path) -> None:
    clock = HandClock()
    async with (
        openai_server(_throttled) as provider,
        in_process_stack(tmp_path, clock, max_inline_wait_seconds=0.1, **openai(provider.url)) as one,
    ):
        job_id = await one.submit(prompts(5) + b" " * 9000, provider="openai")
        await split(one.app, job_id)
        await process_chunk(one.runtime, ProcessChunk(job_id=job_id, chunk=0))
        await one.cancel(job_id)
        for source in ("queue:sweeper", "queue:worker", "topic:chunks"):
            await one.lose(source)
        clock.move(61)
        await sweep(one.app)

        await assert_cancelled(one, await one.until_ended(job_id), 5)


@pytest.mark.parametrize(("content", "status"), [(prompts(2), "COMPLETED"), (b"nope\n", "FAILED")])
async def test_a_job_that_has_ended_cannot_be_cancelled_any_more(tmp_path: Path, content: bytes, status: str) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await one.run(content)
        job, files = await one.job(job_id), await one.files(job_id)
        reply = await one.cancel(job_id)

        assert (reply.status_code, reply.json()["code"]) == (409, "already_ended")
        assert status in reply.json()["detail"]
        assert (await one.job(job_id), await one.files(job_id)) == (job, files)


async def test_cancelling_twice_is_cancelling_once(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await one.submit(prompts(30))
        await split(one.app, job_id)
        both = await asyncio.gather(one.cancel(job_id), one.cancel(job_id))
        once = await one.job(job_id)
        third = await one.cancel(job_id)
        unchanged = await one.job(job_id)
        ended = await one.until_ended(job_id)
        after = await one.cancel(job_id)

        assert [reply.status_code for reply in (*both, third, after)] == [200] * 4
        assert both[0].json() == both[1].json() == third.json()
        assert (unchanged, (await one.job(job_id))) == (once, ended)
        assert after.json() == await one.status(job_id)
        await assert_cancelled(one, ended, 30)


async def test_nobody_can_cancel_or_find_a_strangers_job(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await one.submit(prompts(3))
        stranger = {"X-API-Key": await one.app.api_keys.create("stranger")}
        foreign = await one.http.post(f"/v1/jobs/{job_id}/cancel", headers=stranger)
        unknown = await one.cancel("job_" + "0" * 32)
        nonsense = await one.cancel(job_id.upper())
        keyless = await one.http.post(f"/v1/jobs/{job_id}/cancel")
        got = await one.http.get(f"/v1/jobs/{job_id}/cancel", headers=one.headers)

        assert {reply.status_code for reply in (foreign, unknown, nonsense)} == {404}
        assert foreign.content == unknown.content == nonsense.content
        assert foreign.json()["code"] == "job_not_found"
        assert keyless.status_code == 401
        assert (got.status_code, got.headers["allow"]) == (405, "POST")
        assert (await one.until_ended(job_id)).status is Status.COMPLETED


async def test_a_cancel_that_races_the_end_is_either_kept_or_refused(tmp_path: Path) -> None:
    outcomes = set()
    async with in_process_stack(tmp_path, chunk_lines=1) as one:
        for step in range(16):
            job_id = await one.submit(prompts(4))
            ending = asyncio.create_task(one.until_ended(job_id))
            while (await one.job(job_id)).status is not Status.PROCESSING:
                await asyncio.sleep(0)
            for _ in range(step):  # each time a little later
                await one.job(job_id)
            reply, ended = await one.cancel(job_id), await ending
            outcomes.add(reply.status_code)

            if reply.status_code == 200:
                await assert_cancelled(one, ended, 4)
            else:
                assert (reply.json()["code"], ended.status) == ("already_ended", Status.COMPLETED)
                assert len(await one.results(job_id)) == 4
    assert 200 in outcomes


async def _owed(one: InProcessStack) -> set[str]:
    sql = "select distinct source from deliveries"
    return {source for (source,) in await one.database.read(lambda c: c.execute(sql).fetchall())}
