"""A prompt that kills whoever asks for it is found out and given up; nothing else is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

from aiohttp import web
from tests.fakes.openai_server import refusal
from tests.harness.chunk_scenario import LEASE_SECONDS, ONE_CHUNK, ChunkScenario, chunk_scenario
from tests.harness.in_process import prompts

from promptforge.bootstrap import build_context
from promptforge.domain.chunk import ISOLATE_AFTER_CRASHES
from promptforge.domain.commands import ProcessChunk
from promptforge.domain.job import Status
from promptforge.state.objects import upload_object
from promptforge.worker.isolation import MAX_ISOLATED_CRASHES
from promptforge.worker.lease import ChunkLease
from promptforge.worker.process_chunk import ABANDON_AFTER_CRASHES, ABANDON_AFTER_ERRORS, process_chunk


async def test_a_chunk_is_asked_at_once_until_its_holders_die_too_often(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as w:
        job_id = await w.submit(prompts(20) + ONE_CHUNK)
        await w.crash(job_id, ISOLATE_AFTER_CRASHES - 1)
        await w.process(job_id)
        chunk = await w.chunk(job_id)

        assert (chunk.open, chunk.completed) == (False, 20)
        assert w.provider.peak > 1


async def test_a_chunk_whose_holders_keep_dying_is_asked_one_prompt_at_a_time_in_order(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as w:
        job_id = await w.submit(prompts(8) + ONE_CHUNK)
        await w.crash(job_id, ISOLATE_AFTER_CRASHES)
        flushed: list[int] = []

        async def act(prompt: str, call: int) -> None:
            w.asked.append(prompt)
            flushed.append((await w.chunk(job_id)).completed)

        w.provider.act = act
        await w.process(job_id)
        await w.one.until_ended(job_id)

        assert w.asked == [f"prompt {number}" for number in range(8)]
        assert w.provider.peak == 1
        assert flushed == list(range(8))  # before each call all earlier answers were safe
        assert await w.errors(job_id) == []


async def test_only_the_prompt_that_was_under_way_each_time_is_given_up(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as w:
        job_id = await w.submit(b"\nbad line\n" + prompts(6) + ONE_CHUNK)
        await w.crash(job_id, ISOLATE_AFTER_CRASHES)
        first = await w.claim(job_id)
        first.answers.add(3, True, 1, b'{"prompt_id":"id-0","result":"paid before"}\n')
        await first.flush()
        w.clock.move(LEASE_SECONDS + 1)
        for _ in range(MAX_ISOLATED_CRASHES):
            await (await w.claim(job_id)).go_alone(4)
            w.clock.move(LEASE_SECONDS + 1)
            await w.crash(job_id, 1)  # it had not asked yet: this one does not count
        await w.process(job_id)
        ended = await w.one.until_ended(job_id)
        results = await w.one.results(job_id)

        assert await w.errors(job_id) == [(2, "invalid_json"), (4, "worker_crash")]
        assert w.asked == [f"prompt {number}" for number in range(2, 6)]
        assert [line["prompt_id"] for line in results] == ["id-0", "id-2", "id-3", "id-4", "id-5"]
        assert (ended.status, ended.completed_count, ended.failed_count) == (Status.COMPLETED, 5, 2)


async def test_two_prompts_that_kill_are_both_found_out_and_cost_no_other(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as w, AsyncExitStack() as lives:
        job_id = await w.submit(prompts(6) + ONE_CHUNK)
        struck = asyncio.Event()

        async def act(prompt: str, call: int) -> None:
            if prompt in ("prompt 1", "prompt 4"):
                struck.set()
                await asyncio.Event().wait()

        w.provider.act = act
        count = 0
        while (await w.chunk(job_id)).open:
            assert (count := count + 1) <= ISOLATE_AFTER_CRASHES + 2 * MAX_ISOLATED_CRASHES + 1
            await lives.enter_async_context(_life(w, job_id, struck))
            w.clock.move(LEASE_SECONDS + 1)
        ended = await w.one.until_ended(job_id)

        assert await w.errors(job_id) == [(2, "worker_crash"), (5, "worker_crash")]
        assert [line["result"] for line in await w.one.results(job_id)] == [f"PROMPT {n}" for n in (0, 2, 3, 5)]
        assert (ended.status, ended.completed_count, ended.failed_count) == (Status.COMPLETED, 4, 2)
        assert max(w.provider.calls.values()) <= ISOLATE_AFTER_CRASHES + MAX_ISOLATED_CRASHES


@asynccontextmanager
async def _life(w: ChunkScenario, job_id: str, struck: asyncio.Event) -> AsyncIterator[None]:
    """A process works on the chunk until it is done or struck dead: then nothing is heard of it any more."""
    app = build_context(w.one.app.settings, w.clock)
    struck.clear()
    working = asyncio.create_task(process_chunk(app, ProcessChunk(job_id=job_id, chunk=0)))
    hit = asyncio.create_task(struck.wait())
    await asyncio.wait([working, hit], return_when=asyncio.FIRST_COMPLETED)
    hit.cancel()
    try:
        yield
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        await app.close()


async def test_a_second_chunk_in_such_straits_steps_aside_and_bears_no_blame(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path, chunk_lines=3) as w:
        job_id = await w.submit(prompts(6) + ONE_CHUNK)
        for number in (0, 1):
            await w.crash(job_id, ISOLATE_AFTER_CRASHES, number)
        release = asyncio.Event()

        async def act(prompt: str, call: int) -> None:
            await release.wait()

        w.provider.act = act
        first = asyncio.create_task(w.process(job_id, 0))
        while not w.provider.in_flight:
            await asyncio.sleep(0.001)
        await w.process(job_id, 1)
        aside = await w.chunk(job_id, 1)
        calls = dict(w.provider.calls)
        release.set()
        await first
        w.clock.move(61)  # by then its task knocks again
        ended = await w.one.until_ended(job_id)

        assert calls == {"prompt 0": 1}
        assert (aside.open, aside.holder, aside.crash_count) == (True, None, ISOLATE_AFTER_CRASHES)
        assert w.clock.time - 61 + 5 <= aside.due_at - LEASE_SECONDS <= w.clock.time
        assert (ended.status, ended.completed_count) == (Status.COMPLETED, 6)
        assert w.provider.peak == 1


async def test_a_row_of_deaths_ends_with_an_answer_made_safe(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as w:
        job_id = await w.submit(prompts(40) + ONE_CHUNK)
        for line in range(1, 4 * ISOLATE_AFTER_CRASHES):
            await w.crash(job_id, ISOLATE_AFTER_CRASHES - 2)
            holder = await w.claim(job_id)
            holder.answers.add(line, True, 1, b'{"prompt_id":"id-%d","result":"r"}\n' % (line - 1))
            await holder.flush()
            assert holder.chunk.crash_count == 0
            w.clock.move(LEASE_SECONDS + 1)
        await w.process(job_id)
        ended = await w.one.until_ended(job_id)

        assert (ended.completed_count, ended.failed_count) == (40, 0)


async def test_a_row_of_deaths_ends_with_a_holder_that_called_and_lived(tmp_path: Path) -> None:
    async def act(prompt: str, call: int) -> web.Response:
        return refusal(429, **{"Retry-After": "100"})

    async with chunk_scenario(tmp_path, max_inline_wait_seconds=0.1) as w:
        job_id = await w.submit(prompts(3) + ONE_CHUNK)
        w.provider.act = act
        await w.crash(job_id, ISOLATE_AFTER_CRASHES)
        await w.process(job_id)
        lived, called = await w.chunk(job_id), w.provider.calls.total()
        w.clock.move(101)
        await w.crash(job_id, 2)
        await w.process(job_id)  # the gate is shut: no call, and so no proof that it would live
        silent = await w.chunk(job_id)

        assert (lived.holder, lived.crash_count, called) == (None, ISOLATE_AFTER_CRASHES, 1)
        assert (silent.holder, silent.crash_count, w.provider.calls.total()) == (None, ISOLATE_AFTER_CRASHES + 2, 1)


async def test_a_careful_chunk_stays_careful_after_an_answer_for_more_may_be_poison(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as w:
        job_id = await w.submit(prompts(3) + ONE_CHUNK)
        await w.crash(job_id, ISOLATE_AFTER_CRASHES + 1)
        holder = await w.claim(job_id)
        holder.answers.add(1, True, 1, b'{"prompt_id":"id-0","result":"r"}\n')
        await holder.flush()

        assert holder.chunk.crash_count == ISOLATE_AFTER_CRASHES
        assert holder.chunk.isolated


async def test_a_chunk_that_nobody_survives_is_closed_without_being_read(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as w:
        job_id = await w.submit(prompts(3) + b"bad line\n" + ONE_CHUNK)
        first = await w.claim(job_id)
        await w.one.app.uploads.delete(upload_object(job_id))
        w.clock.move(LEASE_SECONDS + 1)
        await w.crash(job_id, ABANDON_AFTER_CRASHES - 1)
        await w.process(job_id)
        ended = await w.one.until_ended(job_id)

        assert first.chunk.epoch == 1
        assert await w.errors(job_id) == [(line, "worker_crash") for line in range(1, 5)]
        assert (ended.status, ended.error and ended.error.code) == (Status.FAILED, "all_prompts_failed")
        assert w.asked == []


async def test_a_chunk_that_cannot_even_be_given_up_is_closed_without_being_read(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as w:
        job_id = await w.submit(prompts(3) + ONE_CHUNK)
        for _ in range(ABANDON_AFTER_ERRORS):
            await _fault(await w.claim(job_id))
        await w.one.app.uploads.delete(upload_object(job_id))
        await w.process(job_id)
        await w.one.until_ended(job_id)

        assert await w.errors(job_id) == [(line, "worker_fault") for line in range(1, 4)]


async def test_a_cancelled_chunk_is_closed_however_its_holders_died(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as w:
        job_id = await w.submit(prompts(3) + ONE_CHUNK)
        await w.crash(job_id, ISOLATE_AFTER_CRASHES + MAX_ISOLATED_CRASHES)
        await w.one.cancel(job_id)
        ended = await w.one.until_ended(job_id)

        assert ended.status is Status.CANCELLED
        assert await w.errors(job_id) == [(line, "cancelled") for line in range(1, 4)]
        assert w.asked == []


async def test_a_careful_chunk_is_not_blamed_for_what_died_while_it_waited_its_turn(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as w:
        job_id = await w.submit(prompts(3) + ONE_CHUNK)
        await w.crash(job_id, ISOLATE_AFTER_CRASHES + 3 * MAX_ISOLATED_CRASHES)
        await w.process(job_id)
        ended = await w.one.until_ended(job_id)

        assert (ended.completed_count, ended.failed_count) == (3, 0)


async def test_a_careful_call_waits_for_the_calls_of_others_and_they_wait_for_it(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path, chunk_lines=3, max_in_flight=2) as w:
        job_id = await w.submit(prompts(6) + ONE_CHUNK)
        await w.crash(job_id, ISOLATE_AFTER_CRASHES, 0)
        under_way: set[str] = set()

        async def act(prompt: str, call: int) -> None:
            under_way.add(prompt)
            assert "prompt 0" not in under_way or len(under_way) == 1
            await asyncio.sleep(0.01)
            under_way.remove(prompt)

        w.provider.act = act
        await asyncio.gather(w.process(job_id, 1), w.process(job_id, 0))
        ended = await w.one.until_ended(job_id)

        assert (ended.completed_count, ended.failed_count) == (6, 0)
        assert set(w.provider.calls.values()) == {1}


async def _fault(holder: ChunkLease) -> None:
    with suppress(ZeroDivisionError):
        async with holder:
            raise ZeroDivisionError
