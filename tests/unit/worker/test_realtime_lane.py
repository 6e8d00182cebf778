"""The realtime lane: what becomes of calls in flight, of failed calls and of answers while other calls run."""

import asyncio
from pathlib import Path
from typing import Any

from aiohttp import web

from promptforge.domain.commands import ProcessChunk
from promptforge.domain.job import Status
from promptforge.domain.timeouts import ACCESS_CHECK_SECONDS
from promptforge.worker.failure_run import COMMON_CAUSE_PROMPTS
from promptforge.worker.job_rejections import ALIKE_REJECTIONS
from promptforge.worker.process_chunk import process_chunk
from tests.fakes.provider import answer_after, openai_error
from tests.harness.chunk_scenario import PADDING, chunk_scenario
from tests.harness.in_process import in_process_stack
from tests.harness.lines import prompts


async def test_realtime_lane_at_shutdown_limits_the_drain_and_stores_the_answers(tmp_path: Path) -> None:
    never = asyncio.Event()

    async with chunk_scenario(tmp_path, drain_seconds=0.1) as scenario:
        job_id = await scenario.submit(prompts(3) + PADDING)

        async def act(prompt: str, call: int) -> None:
            if prompt != "prompt 0":
                scenario.stack.context.stopping.set()
                await never.wait()

        scenario.provider.script = act
        async with asyncio.timeout(20):
            await scenario.process(job_id)
        chunk = await scenario.chunk(job_id)
        never.set()

    assert (chunk.open, chunk.holder, chunk.completed) == (True, None, 1)


async def test_realtime_lane_flushes_an_answer_while_the_next_call_is_in_flight(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"flush_count": 1, "max_in_flight": 1, "flush_seconds": 60}
    async with chunk_scenario(tmp_path, **settings) as scenario:
        job_id = await scenario.submit(prompts(2) + PADDING)
        durable: list[int] = []

        async def act(prompt: str, call: int) -> None:
            if prompt == "prompt 1":
                async with asyncio.timeout(20):
                    while not (completed := (await scenario.chunk(job_id)).completed):
                        await asyncio.sleep(0)
                durable.append(completed)

        scenario.provider.script = act
        await scenario.process(job_id)

    assert durable == [1]


async def test_realtime_lane_without_a_key_calls_nothing_and_defers_the_chunk(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(3) + PADDING)
        async with in_process_stack(tmp_path, scenario.clock) as keyless:
            await process_chunk(keyless.runtime, ProcessChunk(job_id=job_id, chunk=0))
        chunk = await scenario.chunk(job_id)

    assert (chunk.open, chunk.holder, chunk.crash_count) == (True, None, 0)
    assert chunk.resume_at == scenario.clock.time + ACCESS_CHECK_SECONDS
    assert scenario.provider.call_counts.total() == 0


async def test_realtime_lane_with_its_key_again_completes_the_deferred_chunk(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as first:
        clock, job_id = first.clock, await first.submit(prompts(1))
        async with in_process_stack(tmp_path, clock) as keyless:
            await process_chunk(keyless.runtime, ProcessChunk(job_id=job_id, chunk=0))
            assert (await keyless.job(job_id)).open
        clock.advance(ACCESS_CHECK_SECONDS + 1)
        keys: dict[str, Any] = {"provider_keys": {"openai": "k"}, "provider_urls": {"openai": first.provider.url}}
        async with in_process_stack(tmp_path, clock, **keys) as restarted:
            assert (await restarted.wait_until_finished(job_id)).status is Status.COMPLETED


async def test_realtime_lane_with_rejected_account_gives_its_error_to_every_prompt(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path, max_in_flight=1) as scenario:
        job_id = await scenario.submit(prompts(30) + PADDING)

        async def act(prompt: str, call: int) -> web.Response:
            return openai_error(401, "invalid_api_key")

        scenario.provider.script = act
        await scenario.process(job_id)
        stop = (await scenario.stack.job(job_id)).stop_reason
        finished = await scenario.stack.wait_until_finished(job_id)
        errors = await scenario.stack.errors(job_id)

    assert stop
    assert (stop.code, finished.error, finished.status) == ("provider_account", stop, Status.FAILED)
    assert {(error["error"], error["message"]) for error in errors} == {("provider_account", stop.message)}
    assert [error["attempts"] for error in errors] == [1] + [0] * 29
    assert scenario.provider.call_counts.total() == 1


async def test_realtime_lane_counts_failed_attempts_across_releases(tmp_path: Path) -> None:
    async def act(prompt: str, call: int) -> web.Response:
        return openai_error(500) if call % 2 else openai_error(429, **{"Retry-After": "0.5"})

    async with chunk_scenario(tmp_path, max_inline_wait_seconds=0.1) as scenario:
        scenario.provider.script = act
        job_id = await scenario.submit(prompts(1), max_retries=2)
        async with asyncio.timeout(60):
            while (await scenario.chunk(job_id)).open:
                await scenario.process(job_id)
                scenario.clock.advance(1)
        await scenario.stack.wait_until_finished(job_id)
        (error,) = await scenario.stack.errors(job_id)

    assert (error["error"], error["attempts"]) == ("provider_error", 3)
    assert scenario.provider.call_counts.total() == 5


async def test_realtime_lane_at_soft_deadline_waits_for_its_call_in_flight(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path, soft_deadline_seconds=0.1, max_in_flight=1) as scenario:
        scenario.provider.script = answer_after(0.3)
        job_id = await scenario.stack.run(prompts(2) + PADDING, provider="openai", max_retries=0)
        results = await scenario.stack.results(job_id)

    assert [line["prompt_id"] for line in results] == ["id-0", "id-1"]
    assert set(scenario.provider.call_counts.values()) == {1}


async def test_realtime_lane_waits_for_a_call_in_flight_when_another_is_throttled(tmp_path: Path) -> None:
    async def act(prompt: str, call: int) -> web.Response | None:
        if prompt == "prompt 0":
            await asyncio.sleep(0.6)
            return None
        return openai_error(429, **{"Retry-After": "0.5"}) if call == 1 else None

    async with chunk_scenario(tmp_path, max_inline_wait_seconds=0.1) as scenario:
        scenario.provider.script = act
        job_id = await scenario.submit(prompts(2) + PADDING)
        async with asyncio.timeout(60):
            while (await scenario.chunk(job_id)).open:
                await scenario.process(job_id)
                scenario.clock.advance(1)
        finished = await scenario.stack.wait_until_finished(job_id)

    assert finished.completed_count == 2
    assert scenario.provider.call_counts == {"prompt 0": 1, "prompt 1": 2}


async def test_realtime_lane_in_an_outage_counts_no_attempt(tmp_path: Path) -> None:
    outage_ended = asyncio.Event()

    async def act(prompt: str, call: int) -> web.Response | None:
        if scenario.provider.call_counts.total() > 2 * COMMON_CAUSE_PROMPTS:
            outage_ended.set()
        return None if outage_ended.is_set() or prompt == "prompt 0" else openai_error(500)

    async with chunk_scenario(tmp_path) as scenario:
        scenario.provider.script = act
        job_id = await scenario.submit(prompts(2 * COMMON_CAUSE_PROMPTS) + PADDING, max_retries=0)
        async with asyncio.timeout(40):
            await scenario.process(job_id)
        finished = await scenario.stack.wait_until_finished(job_id)
        results = await scenario.stack.results(job_id)

    assert (finished.completed_count, finished.failed_count) == (2 * COMMON_CAUSE_PROMPTS, 0)
    assert {line["attempts"] for line in results} == {1}


async def test_realtime_lane_with_alike_rejections_of_every_prompt_stops_the_job(tmp_path: Path) -> None:
    async def act(prompt: str, call: int) -> web.Response:
        return openai_error(400)

    async with chunk_scenario(tmp_path, max_in_flight=1) as scenario:
        scenario.provider.script = act
        job_id = await scenario.submit(prompts(2 * ALIKE_REJECTIONS) + PADDING)
        await scenario.process(job_id)
        finished = await scenario.stack.wait_until_finished(job_id)

    assert finished.error is not None
    assert (finished.status, finished.error.code) == (Status.FAILED, "prompt_rejected")
    assert ALIKE_REJECTIONS <= scenario.provider.call_counts.total() <= ALIKE_REJECTIONS + 2


async def test_realtime_lane_with_one_answer_among_rejections_calls_every_prompt(tmp_path: Path) -> None:
    async def act(prompt: str, call: int) -> web.Response | None:
        return None if prompt == "prompt 0" else openai_error(400)

    async with chunk_scenario(tmp_path, max_in_flight=1) as scenario:
        scenario.provider.script = act
        job_id = await scenario.submit(prompts(2 * ALIKE_REJECTIONS) + PADDING)
        await scenario.process(job_id)
        finished = await scenario.stack.wait_until_finished(job_id)

    assert (finished.status, finished.error) == (Status.COMPLETED, None)
    assert (finished.completed_count, finished.failed_count) == (1, 2 * ALIKE_REJECTIONS - 1)
