"""Isolation of poison prompts: one prompt at a time, recorded before its call, and abandoned after three crashes."""

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from promptforge.domain.chunk import ISOLATE_AFTER_CRASHES
from promptforge.worker.isolation import MAX_ISOLATED_CRASHES, WORKER_CRASH
from tests.fakes.provider import openai_error
from tests.harness.chunk_scenario import LEASE_SECONDS, PADDING, add_result, chunk_scenario
from tests.harness.lines import prompts


async def test_isolation_before_three_crashes_calls_concurrently(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(20) + PADDING)
        await scenario.crash(job_id, ISOLATE_AFTER_CRASHES - 1)
        await scenario.process(job_id)
        chunk = await scenario.chunk(job_id)

        assert (chunk.open, chunk.completed) == (False, 20)
        assert scenario.provider.max_in_flight > 1


async def test_isolation_after_three_crashes_calls_in_order_with_every_answer_flushed(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(8) + PADDING)
        await scenario.crash(job_id, ISOLATE_AFTER_CRASHES)
        flushed: list[int] = []
        recorded: list[tuple[int | None, bool]] = []

        async def act(prompt: str, call: int) -> None:
            scenario.called_prompts.append(prompt)
            chunk = await scenario.chunk(job_id)
            flushed.append(chunk.completed)
            recorded.append((chunk.isolated_line, chunk.isolated_call_active))

        scenario.provider.script = act
        await scenario.process(job_id)
        await scenario.stack.wait_until_finished(job_id)

        assert scenario.called_prompts == [f"prompt {number}" for number in range(8)]
        assert scenario.provider.max_in_flight == 1
        assert flushed == list(range(8))
        assert recorded == [(line, True) for line in range(1, 9)]
        assert await scenario.errors(job_id) == []


@pytest.mark.parametrize("crashes", [MAX_ISOLATED_CRASHES - 1, MAX_ISOLATED_CRASHES])
async def test_isolation_fails_a_prompt_at_its_third_isolated_crash_and_not_before(
    tmp_path: Path, crashes: int
) -> None:
    poison = [1] if crashes == MAX_ISOLATED_CRASHES else []
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(3) + PADDING)
        isolated = {"isolated_line": 1, "isolated_crash_count": crashes}
        await scenario.rewrite_chunk(job_id, crash_count=20, attempt_failures={1: 2}, **isolated)
        await scenario.process(job_id)
        await scenario.stack.wait_until_finished(job_id)
        errors = await scenario.stack.errors(job_id)

        assert [error["line"] for error in errors] == poison
        assert {(error["prompt_id"], error["error"], error["message"], error["attempts"]) for error in errors} == {
            ("id-0", WORKER_CRASH.code, WORKER_CRASH.message, 2) for _ in poison
        }
        assert scenario.provider.call_counts.total() == 3 - len(poison)


async def test_isolation_defers_a_second_isolated_chunk_of_the_process(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path, chunk_lines=3) as scenario:
        job_id = await scenario.submit(prompts(6) + PADDING)
        for number in (0, 1):
            await scenario.crash(job_id, ISOLATE_AFTER_CRASHES, number)
        release = asyncio.Event()

        async def act(prompt: str, call: int) -> None:
            await release.wait()

        scenario.provider.script = act
        first = asyncio.create_task(scenario.process(job_id, 0))
        while not scenario.provider.in_flight:
            await asyncio.sleep(0.001)
        await scenario.process(job_id, 1)
        deferred = await scenario.chunk(job_id, 1)
        calls = dict(scenario.provider.call_counts)
        release.set()
        await first
        scenario.clock.advance(61)  # past the longest deferral
        finished = await scenario.stack.wait_until_finished(job_id)

        assert calls == {"prompt 0": 1}
        assert (deferred.open, deferred.holder, deferred.crash_count) == (True, None, ISOLATE_AFTER_CRASHES)
        assert scenario.clock.time - 61 + 5 <= deferred.due_at - LEASE_SECONDS <= scenario.clock.time
        assert (finished.status.value, finished.completed_count) == ("COMPLETED", 6)
        assert scenario.provider.max_in_flight == 1


async def test_isolation_crash_count_ends_with_a_flushed_answer(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(40) + PADDING)
        for line in range(1, 4 * ISOLATE_AFTER_CRASHES):
            await scenario.crash(job_id, ISOLATE_AFTER_CRASHES - 2)
            run = await scenario.claim(job_id)
            add_result(run, line)
            await run.output.flush()
            assert run.lease.chunk.crash_count == 0
            scenario.clock.advance(LEASE_SECONDS + 1)
        await scenario.process(job_id)
        finished = await scenario.stack.wait_until_finished(job_id)

        assert (finished.completed_count, finished.failed_count) == (40, 0)


async def test_isolation_crash_count_ends_with_a_holder_that_called_and_released(tmp_path: Path) -> None:
    async def act(prompt: str, call: int) -> web.Response:
        return openai_error(429, **{"Retry-After": "100"})

    async with chunk_scenario(tmp_path, max_inline_wait_seconds=0.1) as scenario:
        job_id = await scenario.submit(prompts(3) + PADDING)
        scenario.provider.script = act
        await scenario.crash(job_id, ISOLATE_AFTER_CRASHES)
        await scenario.process(job_id)
        called, calls = await scenario.chunk(job_id), scenario.provider.call_counts.total()
        scenario.clock.advance(101)
        await scenario.crash(job_id, 2)
        await scenario.process(job_id)  # the breaker is blocked: without a call there is no progress
        silent = await scenario.chunk(job_id)

        assert (called.holder, called.crash_count, calls) == (None, ISOLATE_AFTER_CRASHES, 1)
        assert (silent.holder, silent.crash_count) == (None, ISOLATE_AFTER_CRASHES + 2)
        assert scenario.provider.call_counts.total() == 1


async def test_isolation_continues_after_an_answer(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(3) + PADDING)
        await scenario.crash(job_id, ISOLATE_AFTER_CRASHES + 1)
        run = await scenario.claim(job_id)
        add_result(run, 1)
        await run.output.flush()

        assert run.lease.chunk.crash_count == ISOLATE_AFTER_CRASHES
        assert run.lease.chunk.isolated


async def test_isolation_counts_no_crash_between_two_calls_against_a_prompt(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(3) + PADDING)
        await scenario.crash(job_id, ISOLATE_AFTER_CRASHES + 3 * MAX_ISOLATED_CRASHES)
        await scenario.process(job_id)
        finished = await scenario.stack.wait_until_finished(job_id)

        assert (finished.completed_count, finished.failed_count) == (3, 0)


async def test_isolation_call_waits_for_other_calls_and_they_wait_for_it(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path, chunk_lines=3, max_in_flight=2) as scenario:
        job_id = await scenario.submit(prompts(6) + PADDING)
        await scenario.crash(job_id, ISOLATE_AFTER_CRASHES, 0)
        in_flight: set[str] = set()

        async def act(prompt: str, call: int) -> None:
            in_flight.add(prompt)
            assert "prompt 0" not in in_flight or len(in_flight) == 1
            await asyncio.sleep(0.01)
            in_flight.remove(prompt)

        scenario.provider.script = act
        await asyncio.gather(scenario.process(job_id, 1), scenario.process(job_id, 0))
        finished = await scenario.stack.wait_until_finished(job_id)

        assert (finished.completed_count, finished.failed_count) == (6, 0)
        assert set(scenario.provider.call_counts.values()) == {1}
