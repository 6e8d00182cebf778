"""The output of a chunk: when answers are flushed, what completion writes, and what a lost lease leaves behind."""

import asyncio
from pathlib import Path

import pytest

from promptforge.domain.formats.native import Prompt
from promptforge.domain.job import INPUT_CHANGED
from promptforge.errors import LeaseLost
from tests.fakes.stalling import StallingPort
from tests.harness.chunk_scenario import LEASE_SECONDS, PADDING, add_result, chunk_scenario
from tests.harness.context import replaced_adapters
from tests.harness.lines import prompts


async def test_output_flush_if_full_flushes_at_flush_count_and_not_before(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path, flush_count=3) as scenario:
        job_id = await scenario.submit(prompts(9) + PADDING)
        run = await scenario.claim(job_id)
        durable = []
        for line in range(1, 8):
            add_result(run, line)
            await run.output.flush_if_full()
            durable.append((await scenario.chunk(job_id)).completed)
        names = [segment.name for segment in (await scenario.chunk(job_id)).segments]

    assert durable == [0, 0, 3, 3, 3, 6, 6]
    assert len(set(names)) == 2


async def test_output_flush_if_full_during_a_flush_keeps_the_answers_for_the_next_one(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path, flush_count=2) as scenario:
        job_id = await scenario.submit(prompts(9) + PADDING)
        work = StallingPort(scenario.stack.context.work, "create")
        async with replaced_adapters(scenario.stack, work=work):
            run = await scenario.claim(job_id)
            add_result(run, 1)
            add_result(run, 2)
            first = asyncio.create_task(run.output.flush_if_full())
            await work.wait_until_stalled()
            add_result(run, 3)
            second = asyncio.create_task(run.output.flush_if_full())
            third = asyncio.create_task(run.output.flush_if_full())
            await asyncio.wait([second, third], timeout=0)
            work.resume()
            await asyncio.gather(first, second, third)
            chunk = await scenario.chunk(job_id)

    assert (len(chunk.segments), chunk.completed) == (1, 2)


async def test_output_flush_if_full_flushes_at_flush_bytes(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path, flush_count=50, flush_bytes=3000) as scenario:
        job_id = await scenario.submit(prompts(9) + PADDING)
        run = await scenario.claim(job_id)
        durable = []
        for line in range(1, 5):
            add_result(run, line, "x" * 1000)
            await run.output.flush_if_full()
            durable.append((await scenario.chunk(job_id)).completed)

    assert durable == [0, 0, 3, 3]


async def test_output_flush_renews_lease_and_drops_failures_of_answered_lines(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(9) + PADDING)
        run = await scenario.claim(job_id)
        for line in (1, 1, 2):
            run.attempts.record_failure(line)
        add_result(run, 1)
        scenario.clock.advance(40)
        await run.output.flush()
        chunk = await scenario.chunk(job_id)

    assert chunk.due_at == scenario.clock.time + LEASE_SECONDS
    assert (chunk.attempt_failures, chunk.completed, chunk.tokens) == ({2: 1}, 1, 3)


async def test_output_flush_without_new_answers_writes_nothing(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(9) + PADDING)
        run = await scenario.claim(job_id)
        before = await scenario.chunk(job_id)
        scenario.clock.advance(10)
        await run.output.flush()

        assert await scenario.chunk(job_id) == before
        assert [name async for name in scenario.stack.context.work.list(job_id)] == []


async def test_output_with_lost_lease_leaves_no_object_and_no_change(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(9) + PADDING)
        old = await scenario.claim(job_id)
        scenario.clock.advance(LEASE_SECONDS + 1)
        new = await scenario.claim(job_id)
        add_result(old, 1)
        old.output.add_error(2, Prompt("id-1", "p"), "refused", "No.")
        for write in (old.output.flush, old.output.complete, old.lease.renew, old.lease.ensure_valid):
            with pytest.raises(LeaseLost):
                await write()

        assert [name async for name in scenario.stack.context.work.list("")] == []
        assert [name async for name in scenario.stack.context.results.list(f"{job_id}/")] == []
        assert await scenario.chunk(job_id) == new.lease.chunk
        with pytest.raises(LeaseLost):
            await scenario.admits_call(old)


async def test_output_of_lost_lease_is_never_published(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(1))
        stale = await scenario.claim(job_id)
        scenario.clock.advance(LEASE_SECONDS + 1)
        await scenario.process(job_id)

        add_result(stale, 1, "of a stale epoch")
        with pytest.raises(LeaseLost):
            await stale.output.flush()
        with pytest.raises(LeaseLost):
            await stale.output.complete()
        await scenario.stack.wait_until_finished(job_id)
        assert [line["result"] for line in await scenario.stack.results(job_id)] == ["PROMPT 0"]


async def test_output_fail_unread_gives_each_remaining_line_one_error(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(b"\n" + prompts(4) + PADDING)
        run = await scenario.claim(job_id)
        add_result(run, 3)
        for _ in range(2):
            run.attempts.record_failure(2)
        run.output.fail_unread(INPUT_CHANGED)
        await run.output.complete()
        chunk = await scenario.chunk(job_id)
        await scenario.process(job_id)
        finished = await scenario.stack.wait_until_finished(job_id)
        errors = await scenario.stack.errors(job_id)

    assert (chunk.completed, chunk.failed, chunk.line_count) == (1, 3, 4)
    assert [(error["line"], error["attempts"]) for error in errors] == [(1, 0), (2, 2), (4, 0)]
    assert {(error["prompt_id"], error["error"], error["message"]) for error in errors} == {
        (None, "input_changed", INPUT_CHANGED.message)
    }
    assert (finished.completed_count, finished.failed_count) == (1, 3)
