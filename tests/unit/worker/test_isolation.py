"""Isolation of poison prompts: small groups, halved after each crash, and an error after three crashes of one."""

import asyncio
from functools import partial
from pathlib import Path

import pytest
from aiohttp import web

from promptforge.domain.chunk import ISOLATE_AFTER_CRASHES, Chunk
from promptforge.worker.isolation import GROUP_LINES, MAX_ISOLATED_CRASHES, WORKER_CRASH
from tests.fakes.provider import openai_error
from tests.harness.chunk_scenario import LEASE_SECONDS, PADDING, ChunkScenario, add_result, chunk_scenario
from tests.harness.lines import prompts


async def test_isolation_before_two_crashes_calls_concurrently(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(20) + PADDING)
        await scenario.crash(job_id, ISOLATE_AFTER_CRASHES - 1)
        await scenario.process(job_id)
        chunk = await scenario.chunk(job_id)

        assert (chunk.open, chunk.completed, chunk.isolated_lines) == (False, 20, None)
        assert scenario.provider.max_in_flight > 1


async def isolated_groups(scenario: ChunkScenario, job_id: str) -> list[tuple[tuple[int, int] | None, int]]:
    """Process the chunk.

    Returns the lines that its document names during the calls, with the number of answers stored by then.
    """
    groups: list[tuple[tuple[int, int] | None, int]] = []

    async def act(prompt: str, call: int) -> None:
        scenario.called_prompts.append(prompt)
        chunk = await scenario.chunk(job_id)
        assert chunk.isolated_calls_active
        if (chunk.isolated_lines, chunk.completed) not in groups:
            groups.append((chunk.isolated_lines, chunk.completed))

    scenario.provider.script = act
    await scenario.process(job_id)
    return groups


async def test_isolation_after_two_crashes_calls_groups_with_the_answers_of_each_flushed(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path, flush_seconds=60) as scenario:
        job_id = await scenario.submit(prompts(2 * GROUP_LINES + 2) + PADDING)
        await scenario.crash(job_id, ISOLATE_AFTER_CRASHES)
        groups = await isolated_groups(scenario, job_id)
        await scenario.stack.wait_until_finished(job_id)

        size = GROUP_LINES
        assert groups == [((1, size), 0), ((size + 1, 2 * size), size), ((2 * size + 1, 2 * size + 2), 2 * size)]
        assert scenario.provider.max_in_flight > 1
        assert await scenario.errors(job_id) == []


@pytest.mark.parametrize(
    ("crashed", "groups"),
    [
        ((1, 8), [((1, 4), 0), ((5, 6), 4), ((7, 7), 6), ((8, 8), 7)]),
        ((3, 5), [((3, 4), 0), ((5, 5), 2), ((1, 8), 3)]),
        ((4, 4), [((4, 4), 0), ((1, 8), 1)]),
        ((90, 99), [((1, 8), 0)]),
    ],
)
async def test_isolation_after_a_crash_halves_its_group_before_all_other_lines(
    tmp_path: Path, crashed: tuple[int, int], groups: list[tuple[tuple[int, int], int]]
) -> None:
    async with chunk_scenario(tmp_path, flush_seconds=60) as scenario:
        job_id = await scenario.submit(prompts(8) + PADDING)
        await scenario.rewrite_chunk(job_id, crash_count=ISOLATE_AFTER_CRASHES + 1, isolated_lines=crashed)

        assert await isolated_groups(scenario, job_id) == groups
        assert sorted(scenario.called_prompts) == [f"prompt {number}" for number in range(8)]


async def test_isolation_group_that_crashes_again_is_halved_down_to_one_line(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(8) + PADDING)
        await scenario.crash(job_id, ISOLATE_AFTER_CRASHES)
        halves = [(1, 8), (1, 4), (1, 2), (1, 1), (1, 1), (1, 1)]
        counts = []
        for first, last in halves:
            lease = (await scenario.claim(job_id)).lease
            counts.append(lease.chunk.isolated_crash_count)
            await lease.update(partial(Chunk.isolating, first=first, last=last, until=lease.next_end()))
            scenario.clock.advance(LEASE_SECONDS + 1)
        counts.append((await scenario.claim(job_id)).lease.chunk.isolated_crash_count)

        assert counts == [0, 0, 0, 0, 1, 2, MAX_ISOLATED_CRASHES]


@pytest.mark.parametrize("crashes", [MAX_ISOLATED_CRASHES - 1, MAX_ISOLATED_CRASHES])
async def test_isolation_fails_a_prompt_at_its_third_isolated_crash_and_not_before(
    tmp_path: Path, crashes: int
) -> None:
    poison = [1] if crashes == MAX_ISOLATED_CRASHES else []
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(3) + PADDING)
        isolated = {"isolated_lines": (1, 1), "isolated_crash_count": crashes}
        await scenario.rewrite_chunk(job_id, crash_count=20, attempt_failures={1: 2}, **isolated)
        await scenario.process(job_id)
        await scenario.stack.wait_until_finished(job_id)
        errors = await scenario.stack.errors(job_id)

        assert [error["line"] for error in errors] == poison
        assert {(error["prompt_id"], error["error"], error["message"], error["attempts"]) for error in errors} == {
            ("id-0", WORKER_CRASH.code, WORKER_CRASH.message, 2) for _ in poison
        }
        assert scenario.provider.call_counts.total() == 3 - len(poison)


async def test_isolation_calls_a_second_prompt_alone_only_after_the_first(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path, chunk_lines=1) as scenario:
        job_id = await scenario.submit(prompts(2) + PADDING)
        for number in (0, 1):
            await scenario.crash(job_id, ISOLATE_AFTER_CRASHES, number)
        model = (await scenario.stack.job(job_id)).model
        scenario.stack.runtime.circuit_breaker("openai", model).succeeded(0.0, 0.0)  # so that no call is a probe
        await asyncio.gather(scenario.process(job_id, 0), scenario.process(job_id, 1))
        finished = await scenario.stack.wait_until_finished(job_id)

        assert (finished.status.value, finished.completed_count) == ("COMPLETED", 2)
        assert (scenario.provider.max_in_flight, scenario.provider.call_counts.total()) == (1, 2)


async def test_isolation_crash_count_is_limited_by_a_flushed_answer(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(40) + PADDING)
        for line in range(1, 4 * ISOLATE_AFTER_CRASHES):
            run = await scenario.claim(job_id)
            add_result(run, line)
            await run.output.flush()
            assert run.lease.chunk.crash_count == min(line - 1, ISOLATE_AFTER_CRASHES)
            scenario.clock.advance(LEASE_SECONDS + 1)
        await scenario.process(job_id)
        finished = await scenario.stack.wait_until_finished(job_id)

        assert (finished.completed_count, finished.failed_count) == (40, 0)


async def test_isolation_crash_count_is_limited_by_a_holder_that_called_and_released(tmp_path: Path) -> None:
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
        assert (called.isolated_lines, called.isolated_calls_active) == (None, False)
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


async def test_isolation_call_of_one_prompt_waits_for_other_calls_and_they_wait_for_it(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path, chunk_lines=3, max_in_flight=2) as scenario:
        job_id = await scenario.submit(prompts(6) + PADDING)
        await scenario.rewrite_chunk(job_id, crash_count=ISOLATE_AFTER_CRASHES + 1, isolated_lines=(1, 1))
        in_flight: set[str] = set()
        neighbours: set[str] = set()

        async def act(prompt: str, call: int) -> None:
            in_flight.add(prompt)
            if "prompt 0" in in_flight:
                neighbours.update(in_flight)
            await asyncio.sleep(0.01)
            in_flight.remove(prompt)

        scenario.provider.script = act
        await asyncio.gather(scenario.process(job_id, 1), scenario.process(job_id, 0))
        finished = await scenario.stack.wait_until_finished(job_id)

        assert (finished.completed_count, finished.failed_count) == (6, 0)
        assert neighbours == {"prompt 0"}
        assert set(scenario.provider.call_counts.values()) == {1}
