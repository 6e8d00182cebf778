"""Calls that are under way when something happens to their chunk: none is paid for twice without need, none is lost."""

import asyncio
from pathlib import Path
from typing import Any

from aiohttp import web
from tests.fakes.openai_server import openai_server, refusal, slow
from tests.harness.clock import HandClock
from tests.harness.in_process import in_process_stack, prompts

from promptforge.domain.commands import ProcessChunk
from promptforge.domain.job import Status
from promptforge.pipeline.split import split
from promptforge.state.chunks import ClaimedChunk
from promptforge.worker.process_chunk import process_chunk


def openai(url: str) -> dict[str, Any]:
    return {"provider_keys": {"openai": "k"}, "provider_urls": {"openai": url}}


async def test_no_call_begins_after_the_lease_was_lost(tmp_path: Path) -> None:
    clock = HandClock()
    async with (
        openai_server(slow(0.05)) as provider,
        in_process_stack(tmp_path, clock, max_in_flight=2, flush_count=1, **openai(provider.url)) as one,
    ):
        job_id = await one.submit(prompts(20) + b" " * 20_000, provider="openai")
        await split(one.app, job_id)
        working = asyncio.create_task(process_chunk(one.runtime, ProcessChunk(job_id=job_id, chunk=0)))
        while provider.calls.total() < 4:
            await asyncio.sleep(0.005)
        clock.move(61)
        while not isinstance(await one.app.chunks.claim(job_id, 0, "thief", 60), ClaimedChunk):
            clock.move(61)  # the holder renewed first
        at_the_loss = provider.calls.total()
        await working
        when_it_ended = provider.calls.total()
        await asyncio.sleep(0.2)

        assert provider.calls.total() == when_it_ended <= at_the_loss + 2


async def test_failed_tries_are_remembered_when_a_chunk_is_given_back(tmp_path: Path) -> None:
    async def act(prompt: str, call: int) -> web.Response:
        return refusal(500) if call % 2 else refusal(429, **{"Retry-After": "0.5"})

    async with (
        openai_server(act) as provider,
        in_process_stack(tmp_path, max_inline_wait_seconds=0.1, **openai(provider.url)) as one,
    ):
        job_id = await one.run(prompts(1), provider="openai", max_retries=2)
        (error,) = await one.errors(job_id)

    assert (error["error"], error["attempts"]) == ("provider_error", 3)
    assert provider.calls.total() == 5


async def test_a_call_in_flight_at_the_soft_deadline_comes_back_and_is_not_paid_again(tmp_path: Path) -> None:
    spans: dict[str, Any] = {"soft_deadline_seconds": 0.1, "max_in_flight": 1}
    async with openai_server(slow(0.3)) as provider, in_process_stack(tmp_path, **spans, **openai(provider.url)) as one:
        job_id = await one.run(prompts(2) + b" " * 1000, provider="openai", max_retries=0)
        results = await one.results(job_id)

    assert [line["prompt_id"] for line in results] == ["id-0", "id-1"]
    assert set(provider.calls.values()) == {1}


async def test_a_call_in_flight_is_not_given_up_because_another_was_throttled(tmp_path: Path) -> None:
    async def act(prompt: str, call: int) -> web.Response | None:
        if prompt == "prompt 0":
            await asyncio.sleep(0.6)
            return None
        return refusal(429, **{"Retry-After": "0.5"}) if call == 1 else None

    spans: dict[str, Any] = {"max_inline_wait_seconds": 0.1}
    async with openai_server(act) as provider, in_process_stack(tmp_path, **spans, **openai(provider.url)) as one:
        job_id = await one.submit(prompts(2) + b" " * 1000, provider="openai")
        ended = await one.until_ended(job_id)

    assert ended.completed_count == 2
    assert provider.calls == {"prompt 0": 1, "prompt 1": 2}


async def test_a_restart_without_the_key_waits_for_it_and_fails_nothing(tmp_path: Path) -> None:
    clock = HandClock()
    async with openai_server() as provider:
        async with in_process_stack(tmp_path, clock, **openai(provider.url)) as one:
            job_id = await one.submit(prompts(1), provider="openai")
            await split(one.app, job_id)
        async with in_process_stack(tmp_path, clock) as two:
            await process_chunk(two.runtime, ProcessChunk(job_id=job_id, chunk=0))
            assert (await two.job(job_id)).open
        clock.move(61)
        async with in_process_stack(tmp_path, clock, **openai(provider.url)) as three:
            assert (await three.until_ended(job_id)).status is Status.COMPLETED
