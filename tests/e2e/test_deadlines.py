"""No job waits for ever: at its deadline it ends with what was done, whatever it was waiting for."""

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.fakes.openai_server import openai_server, refusal
from tests.harness.clock import HandClock
from tests.harness.in_process import in_process_stack, prompts

from promptforge.adapters.local.queue import MAX_ATTEMPTS, SqliteQueue
from promptforge.domain.commands import ProcessChunk
from promptforge.domain.job import Job, Status
from promptforge.domain.timeouts import UNCLAIMED_REQUEUE_SECONDS
from promptforge.pipeline.split import split
from promptforge.pipeline.sweep import sweep
from promptforge.worker.process_chunk import process_chunk

DAY = 24 * 60 * 60


def openai(url: str) -> dict[str, Any]:
    return {"provider_keys": {"openai": "k"}, "provider_urls": {"openai": url}}


def outcome(job: Job) -> tuple[str, str | None]:
    return job.status.value, job.error.code if job.error else None


async def _throttled(prompt: str, call: int) -> web.Response | None:
    return None if prompt == "prompt 0" else refusal(429, **{"Retry-After": "100"})


async def test_a_job_that_is_throttled_for_ever_ends_with_what_was_done(tmp_path: Path) -> None:
    clock = HandClock()
    async with (
        openai_server(_throttled) as provider,
        in_process_stack(tmp_path, clock, max_inline_wait_seconds=0.1, **openai(provider.url)) as one,
    ):
        job_id = await one.submit(prompts(5) + b" " * 9000, provider="openai")
        await split(one.app, job_id)
        await process_chunk(one.runtime, ProcessChunk(job_id=job_id, chunk=0))
        before = provider.calls.total()
        clock.move(DAY)
        await sweep(one.app)
        said = await one.status(job_id)
        ended = await one.until_ended(job_id)
        results, errors = await one.results(job_id), await one.errors(job_id)

    assert (said["status"], said["error"]["code"]) == ("PROCESSING", "deadline_exceeded")
    assert outcome(ended) == ("FAILED", "deadline_exceeded")
    assert (ended.prompt_count, ended.completed_count, ended.failed_count) == (5, 1, 4)
    assert [line["prompt_id"] for line in results] == ["id-0"]
    assert [(line["prompt_id"], line["error"]) for line in errors] == [
        (f"id-{n}", "deadline_exceeded") for n in range(1, 5)
    ]
    assert provider.calls.total() == before


async def test_a_job_whose_key_never_comes_back_ends(tmp_path: Path) -> None:
    clock = HandClock()
    async with openai_server() as provider:
        async with in_process_stack(tmp_path, clock, **openai(provider.url)) as one:
            job_id = await one.submit(prompts(2), provider="openai")
            await split(one.app, job_id)
        async with in_process_stack(tmp_path, clock) as two:
            await process_chunk(two.runtime, ProcessChunk(job_id=job_id, chunk=0))
            clock.move(DAY)
            await sweep(two.app)
            ended = await two.until_ended(job_id)
            errors = await two.errors(job_id)

    assert outcome(ended) == ("FAILED", "deadline_exceeded")
    assert [line["error"] for line in errors] == ["deadline_exceeded"] * 2
    assert provider.calls.total() == 0


@pytest.mark.parametrize("begun", [False, True])
async def test_a_job_whose_splitter_never_comes_through_ends(tmp_path: Path, begun: bool) -> None:
    clock = HandClock()
    async with in_process_stack(tmp_path, clock) as one:
        job_id = await one.submit(prompts(2))
        await one.lose("bucket:uploads")
        if begun:
            upload = await one.app.uploads.stat(f"{job_id}/input.jsonl")
            assert upload is not None
            pinned = {"generation": upload.generation, "size": upload.size, "crc32c": upload.crc32c}
            limits = {"max_line_bytes": 100, "chunk_lines": 1, "chunk_bytes": 1, "part_lines": 1}
            queued = {"status": "QUEUED", "input": {**pinned, **limits}}
            await one.app.jobs.update(
                job_id, lambda job: Job.model_validate(job.model_dump() | queued) if job.input is None else None
            )
        clock.move(DAY - 1)
        await sweep(one.app)
        await one.lose("queue:splitter")
        before = await one.job(job_id)
        clock.move(700)
        await sweep(one.app)
        ended = await one.job(job_id)
        results = await one.http.get(f"/v1/jobs/{job_id}/results", headers=one.headers)

    assert before.status is (Status.QUEUED if begun else Status.AWAITING_UPLOAD)
    assert outcome(ended) == ("FAILED", "deadline_exceeded")
    assert (ended.prompt_count, ended.completed_count, ended.failed_count) == (0, 0, 0)
    assert (results.status_code, results.json()["code"]) == (409, "no_results")


async def test_the_deadline_is_a_setting_and_counts_from_the_order(tmp_path: Path) -> None:
    clock = HandClock()
    async with in_process_stack(tmp_path, clock, job_seconds=600) as one:
        ticket = await one.init()
        clock.move(500)
        await one.put(ticket["upload_url"], prompts(2))
        await split(one.app, ticket["job_id"])
        clock.move(100)
        await sweep(one.app)

        assert outcome(await one.until_ended(ticket["job_id"])) == ("FAILED", "deadline_exceeded")


async def test_a_job_in_time_is_left_alone_and_one_that_has_ended_as_well(tmp_path: Path) -> None:
    clock = HandClock()
    async with in_process_stack(tmp_path, clock) as one:
        job_id = await one.submit(prompts(2))
        await split(one.app, job_id)
        clock.move(DAY - 1)
        await sweep(one.app)
        in_time = await one.job(job_id)
        ended = await one.until_ended(job_id)
        clock.move(DAY)
        await sweep(one.app)
        await sweep(one.app, job_id)

        assert in_time.stop_reason is None
        assert outcome(ended) == ("COMPLETED", None)
        assert await one.job(job_id) == ended


async def test_whoever_stops_a_job_first_is_the_reason(tmp_path: Path) -> None:
    clock = HandClock()
    async with in_process_stack(tmp_path, clock) as one:
        jobs = [await one.submit(prompts(2)) for _ in range(2)]
        for job_id in jobs:
            await split(one.app, job_id)
        await one.cancel(jobs[0])
        clock.move(DAY)
        await sweep(one.app)
        await one.cancel(jobs[1])

        assert outcome(await one.until_ended(jobs[0])) == ("CANCELLED", "cancelled")
        assert outcome(await one.until_ended(jobs[1])) == ("FAILED", "deadline_exceeded")


async def test_a_job_whose_chunks_are_never_announced_ends(tmp_path: Path) -> None:
    clock = HandClock()
    async with in_process_stack(tmp_path, clock) as one:
        job_id = await one.submit(prompts(2) + b" " * 9000)
        await split(one.app, job_id)
        await one.app.jobs.update(job_id, lambda job: job.model_copy(update={"chunks_published": False}))
        for source in ("bucket:uploads", "topic:chunks", "queue:sweeper"):
            await one.lose(source)
        clock.move(DAY)
        await sweep(one.app)
        await one.lose("queue:splitter")

        assert outcome(await one.until_ended(job_id)) == ("FAILED", "deadline_exceeded")
        assert len(await one.errors(job_id)) == 2


@pytest.mark.parametrize("source", ["bucket:uploads", "topic:chunks", "queue:finalizer"])
@pytest.mark.parametrize("dead", [True, False])
async def test_a_delivery_that_died_or_was_lost_is_not_the_end(tmp_path: Path, source: str, dead: bool) -> None:
    clock = HandClock()
    async with in_process_stack(tmp_path, clock) as one:
        job_id = await one.submit(prompts(2) + b" " * 9000)
        if source != "bucket:uploads":
            await split(one.app, job_id)
        if source == "queue:finalizer":
            await process_chunk(one.runtime, ProcessChunk(job_id=job_id, chunk=0))
        deliveries = SqliteQueue(one.database, clock)
        for attempt in range(1, MAX_ATTEMPTS + 1):
            if not dead:
                await one.lose(source)
                break
            (delivery,) = await deliveries.claim(source, 10, 600)
            assert await deliveries.nack(delivery) == (attempt == MAX_ATTEMPTS)
            clock.move(61)
        assert await deliveries.claim(source, 10, 600) == []
        clock.move(UNCLAIMED_REQUEUE_SECONDS)
        await sweep(one.app)

        assert outcome(await one.until_ended(job_id)) == ("COMPLETED", None)
