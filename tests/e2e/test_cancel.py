"""Cancelling a job: no new call starts, existing results stay, and every prompt gets its line."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from promptforge.domain.job import Job, Status
from promptforge.pipeline.split import split
from promptforge.pipeline.sweep import sweep
from tests.fakes.provider import Fault, Script, openai_error
from tests.fakes.throttling import throttle_all_but_first
from tests.harness.chunk_scenario import throttled_job
from tests.harness.in_process import InProcessStack, in_process_stack
from tests.harness.lines import prompts
from tests.harness.openai_stack import openai_stack
from tests.harness.queue_entries import queue_entries

CANCEL_SECONDS = 5.0  # the time after a cancel within which the last call may start


async def assert_cancelled(one: InProcessStack, job: Job, prompt_count: int) -> list[dict[str, Any]]:
    """Assert that the job was cancelled and accounts for every prompt.

    Returns the result lines.
    """
    results, errors = await one.results(job.job_id), await one.errors(job.job_id)
    status = await one.status(job.job_id)
    assert (status["status"], status["error"]["code"]) == ("CANCELLED", "cancelled")
    assert (status["completed_count"], status["failed_count"]) == (len(results), len(errors))
    assert status["prompt_count"] == prompt_count == len(results) + len(errors)
    assert {line["error"] for line in errors} <= {"cancelled"}
    assert Counter(line["prompt_id"] for line in results + errors) == Counter(f"id-{n}" for n in range(prompt_count))
    return results


async def test_cancel_before_upload_takes_effect_immediately_and_later_upload_has_no_effect(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        created = await one.init()
        job_id = created["job_id"]
        reply = await one.cancel(job_id)
        cancelled = await one.job(job_id)
        late = await one.put(created["upload_url"], prompts(3))
        other = await one.run(prompts(1))
        results = await one.http.get(f"/v1/jobs/{job_id}/results", headers=one.headers)

        assert (reply.status_code, reply.json()["status"]) == (200, "CANCELLED")
        assert reply.json()["error"] == {"code": "cancelled", "message": "The job was cancelled."}
        assert reply.json()["completed_at"]
        assert late.status_code == 200
        assert await queue_entries(one, "bucket:uploads") == []
        assert (
            one.called_functions.count("splitter") == 4
        )  # the event and the task of the late upload were delivered too
        assert await one.job(job_id) == cancelled
        assert [chunk async for chunk in one.context.chunks.list_all(job_id)] == []
        assert (results.status_code, results.json()["code"]) == (409, "no_results")
        assert (await one.job(other)).status is Status.COMPLETED


async def test_cancel_of_queued_job_reads_the_input_and_every_prompt_gets_its_line(tmp_path: Path) -> None:
    async with openai_stack(tmp_path, chunk_lines=1) as (one, provider):
        job_id = await one.submit(prompts(150), provider="openai")
        splitting = asyncio.create_task(split(one.context, job_id))
        while (await one.job(job_id)).status is not Status.QUEUED:
            await asyncio.sleep(0)
        splitting.cancel()
        await asyncio.gather(splitting, return_exceptions=True)
        await one.drop_messages("bucket:uploads")
        reply = await one.cancel(job_id)
        ended = await one.wait_until_finished(job_id)

        assert (reply.status_code, reply.json()["status"]) == (200, "QUEUED")
        assert reply.json()["error"]["code"] == "cancelled"
        assert await assert_cancelled(one, ended, 150) == []
        assert provider.call_counts.total() == 0


async def test_cancel_of_job_with_unclaimed_chunks_makes_no_call(tmp_path: Path) -> None:
    async with openai_stack(tmp_path) as (one, provider):
        job_id = await one.submit(prompts(40), provider="openai")
        await split(one.context, job_id)
        reply = await one.cancel(job_id)
        ended = await one.wait_until_finished(job_id)

        assert (reply.json()["status"], reply.json()["error"]["code"]) == ("PROCESSING", "cancelled")
        assert await assert_cancelled(one, ended, 40) == []
        assert provider.call_counts.total() == 0


async def _slow(prompt: str, call: int) -> None:
    await asyncio.sleep(0.2)


async def _broken(prompt: str, call: int) -> web.Response:
    return openai_error(500)


@pytest.mark.parametrize(
    ("act", "attempts"),
    [
        pytest.param(_slow, {0}, id="waiting for a call slot"),
        pytest.param(throttle_all_but_first, {0}, id="waiting for the circuit breaker"),
        pytest.param(_broken, set(range(1, 11)), id="waiting for the next attempt"),
    ],
)
async def test_cancel_of_waiting_prompts_ends_the_job_without_calling_them(
    tmp_path: Path, act: Script, attempts: set[int]
) -> None:
    called_at: list[float] = []
    now = asyncio.get_running_loop().time

    async def recorded(prompt: str, call: int) -> web.Response | Fault | None:
        called_at.append(now())
        # after a throttled first call the worker makes no other call to the model, so the first one succeeds
        first = len(called_at) == 1
        return None if first and act is throttle_all_but_first else await act(prompt, call)

    async with openai_stack(tmp_path, recorded, max_in_flight=4, max_inline_wait_seconds=100) as (one, provider):
        job_id = await one.submit(prompts(120) + b" " * 40_000, provider="openai", max_retries=10)
        ending = asyncio.create_task(one.wait_until_finished(job_id))
        while provider.call_counts.total() < 4:
            await asyncio.sleep(0.005)
        cancelled_at = now()
        reply = await one.cancel(job_id)
        ended = await ending
        ended_at = now()

        assert reply.json()["status"] == "PROCESSING"
        results = await assert_cancelled(one, ended, 120)
        assert len(results) == 0 if act is _broken else 0 < len(results) < 120
        assert {line["attempts"] for line in await one.errors(job_id)} <= attempts
        assert called_at[-1] - cancelled_at < CANCEL_SECONDS
        assert ended_at - cancelled_at < CANCEL_SECONDS + 1
        if act is _slow:  # calls in flight came back and count
            assert len(results) == provider.call_counts.total()


async def test_cancel_of_job_with_deferred_chunk_does_not_wait_for_the_provider(tmp_path: Path) -> None:
    async with throttled_job(tmp_path) as (made, job_id):
        deferred = await made.chunk(job_id)
        before = made.provider.call_counts.total()
        await made.stack.cancel(job_id)
        ended = await made.stack.wait_until_finished(job_id)

        assert (deferred.open, deferred.holder) == (True, None)
        assert deferred.due_at > made.clock.time + 60
        assert len(await assert_cancelled(made.stack, ended, 5)) == deferred.completed == 1
        assert made.provider.call_counts.total() == before


async def test_cancel_with_lost_task_is_completed_by_the_sweep(tmp_path: Path) -> None:
    async with throttled_job(tmp_path) as (made, job_id):
        await made.stack.cancel(job_id)
        for source in ("queue:sweeper", "queue:worker"):
            await made.stack.drop_messages(source)
        made.clock.advance(61)
        await sweep(made.stack.context)

        await assert_cancelled(made.stack, await made.stack.wait_until_finished(job_id), 5)


@pytest.mark.parametrize(("content", "status"), [(prompts(2), "COMPLETED"), (b"nope\n", "FAILED")])
async def test_cancel_of_finished_job_is_rejected(tmp_path: Path, content: bytes, status: str) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await one.run(content)
        job, files = await one.job(job_id), await one.files(job_id)
        reply = await one.cancel(job_id)

        assert (reply.status_code, reply.json()["code"]) == (409, "already_ended")
        assert status in reply.json()["detail"]
        assert (await one.job(job_id), await one.files(job_id)) == (job, files)


async def test_cancel_repeated_has_no_further_effect(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await one.submit(prompts(30))
        await split(one.context, job_id)
        both = await asyncio.gather(one.cancel(job_id), one.cancel(job_id))
        once = await one.job(job_id)
        third = await one.cancel(job_id)
        unchanged = await one.job(job_id)
        ended = await one.wait_until_finished(job_id)
        after = await one.cancel(job_id)

        assert [reply.status_code for reply in (*both, third, after)] == [200] * 4
        assert both[0].json() == both[1].json() == third.json()
        assert (unchanged, (await one.job(job_id))) == (once, ended)
        assert after.json() == await one.status(job_id)
        await assert_cancelled(one, ended, 30)


async def test_cancel_by_another_client_or_of_unknown_job_returns_404(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await one.submit(prompts(3))
        other_client = {"X-API-Key": await one.context.api_keys.create("other")}
        foreign = await one.http.post(f"/v1/jobs/{job_id}/cancel", headers=other_client)
        unknown = await one.cancel("00000000-0000-4000-8000-000000000000")
        malformed = await one.cancel(job_id.upper())
        keyless = await one.http.post(f"/v1/jobs/{job_id}/cancel")
        got = await one.http.get(f"/v1/jobs/{job_id}/cancel", headers=one.headers)

        assert {reply.status_code for reply in (foreign, unknown, malformed)} == {404}
        assert foreign.content == unknown.content == malformed.content
        assert foreign.json()["code"] == "job_not_found"
        assert keyless.status_code == 401
        assert (got.status_code, got.headers["allow"]) == (405, "POST")
        assert (await one.wait_until_finished(job_id)).status is Status.COMPLETED


async def test_cancel_concurrent_with_completion_takes_effect_or_is_rejected(tmp_path: Path) -> None:
    outcomes = set()
    async with in_process_stack(tmp_path, chunk_lines=1) as one:
        for step in range(16):
            job_id = await one.submit(prompts(4))
            ending = asyncio.create_task(one.wait_until_finished(job_id))
            while (await one.job(job_id)).status is not Status.PROCESSING:
                await asyncio.sleep(0)
            for _ in range(step):  # each round cancels a little later
                await one.job(job_id)
            reply, ended = await one.cancel(job_id), await ending
            outcomes.add(reply.status_code)

            if reply.status_code == 200:
                await assert_cancelled(one, ended, 4)
            else:
                assert (reply.json()["code"], ended.status) == ("already_ended", Status.COMPLETED)
                assert len(await one.results(job_id)) == 4
    assert 200 in outcomes
