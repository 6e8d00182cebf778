"""One chunk from claim to settlement: what is asked, what is given up with which words, and who lets go when."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.fakes.openai_server import OpenAIServer, openai_server, refusal
from tests.harness.clock import HandClock
from tests.harness.in_process import InProcessStack, in_process_stack, prompts

from promptforge.domain.chunk import Chunk
from promptforge.domain.commands import ProcessChunk
from promptforge.domain.job import Status
from promptforge.domain.timeouts import KEY_MISSING_SECONDS
from promptforge.pipeline.split import split
from promptforge.worker.isolation import MAX_ISOLATED_CRASHES, WORKER_CRASH
from promptforge.worker.process_chunk import (
    ABANDON_AFTER_CRASHES,
    ABANDON_AFTER_ERRORS,
    FAIL_PROMPTS_AFTER_ERRORS,
    WORKER_FAULT,
    process_chunk,
)

ONE_CHUNK = b" " * 40_000


@dataclass
class Shop:
    """A job of one chunk whose message is lost, a clock and a provider."""

    one: InProcessStack
    clock: HandClock
    provider: OpenAIServer
    job_id: str

    async def work(self) -> None:
        await process_chunk(self.one.runtime, ProcessChunk(job_id=self.job_id, chunk=0))

    async def chunk(self) -> Chunk:
        (chunk,) = [chunk async for chunk in self.one.app.chunks.list_all(self.job_id)]
        return chunk

    async def mark(self, **changes: Any) -> None:
        """Give the chunk a past: as if its last holder had given it back like this."""
        claim = await self.one.app.chunks.claim(self.job_id, 0, "past", 60)
        assert not isinstance(claim, Chunk)
        assert claim is not None
        await self.one.app.chunks.update(claim, holder=None, **changes)

    async def errors(self) -> list[tuple[int, str | None, str, str, int]]:
        await self.one.until_ended(self.job_id)
        names = ("line", "prompt_id", "error", "message", "attempts")
        return [tuple(line[name] for name in names) for line in await self.one.errors(self.job_id)]


@asynccontextmanager
async def shop(folder: Path, content: bytes = prompts(3), retries: int = 3, **settings: Any) -> AsyncIterator[Shop]:
    clock = HandClock()
    async with openai_server() as provider:
        keys: dict[str, Any] = {"provider_keys": {"openai": "k"}, "provider_urls": {"openai": provider.url}}
        async with in_process_stack(folder, clock, **keys, **settings) as one:
            job_id = await one.submit(content + ONE_CHUNK, provider="openai", max_retries=retries)
            await split(one.app, job_id)
            await one.lose("topic:chunks")
            yield Shop(one, clock, provider, job_id)


async def test_a_chunk_is_asked_until_the_last_fault_but_one_and_then_given_up_in_plain_words(tmp_path: Path) -> None:
    async with shop(tmp_path / "one") as s:
        await s.mark(error_count=FAIL_PROMPTS_AFTER_ERRORS - 1)
        await s.work()
        assert (await s.chunk()).completed == 3
    async with shop(tmp_path / "two", content=b"\n" + prompts(2) + b"bad\n") as s:
        await s.mark(error_count=FAIL_PROMPTS_AFTER_ERRORS, attempt_failures={3: 2})
        await s.work()
        errors = await s.errors()

    fault = (WORKER_FAULT.code, WORKER_FAULT.message)
    assert errors[:2] == [(2, "id-0", *fault, 0), (3, "id-1", *fault, 2)]
    assert errors[2][2] == "invalid_json"
    assert WORKER_FAULT.message == "Work on this prompt's chunk failed 10 times with a fault of our own."
    assert s.provider.calls.total() == 0


@pytest.mark.parametrize(
    ("past", "problem"),
    [({"error_count": ABANDON_AFTER_ERRORS}, WORKER_FAULT), ({"crash_count": ABANDON_AFTER_CRASHES}, WORKER_CRASH)],
)
async def test_only_at_its_limit_is_a_chunk_closed_without_being_read(
    tmp_path: Path, past: dict[str, int], problem: Any
) -> None:
    ids = {}
    for early in (1, 0):
        async with shop(tmp_path / str(early)) as s:
            past_now = {name: count - early for name, count in past.items()}
            await s.mark(**past_now, isolated_line=1, isolated_crash_count=MAX_ISOLATED_CRASHES)
            await s.work()
            errors = await s.errors()
            ids[early] = {error[1] for error in errors}
            assert {error[2:4] for error in errors} == {(problem.code, problem.message)}

    assert None not in ids[1]  # it was read, so the prompts are known by name
    assert ids[0] == {None}


async def test_a_prompt_is_blamed_at_the_third_death_it_was_asked_alone_and_not_before(tmp_path: Path) -> None:
    for deaths, blamed in ((MAX_ISOLATED_CRASHES - 1, []), (MAX_ISOLATED_CRASHES, [1])):
        async with shop(tmp_path / str(deaths)) as s:
            await s.mark(crash_count=20, isolated_line=1, isolated_crash_count=deaths, attempt_failures={1: 2})
            await s.work()
            errors = await s.errors()

            assert [error[0] for error in errors] == blamed
            assert all(error[1:] == ("id-0", WORKER_CRASH.code, WORKER_CRASH.message, 2) for error in errors)
            assert s.provider.calls.total() == 3 - len(blamed)


async def test_a_chunk_whose_last_answer_comes_while_the_process_stops_is_settled_not_given_back(
    tmp_path: Path,
) -> None:
    async with shop(tmp_path, content=prompts(1)) as s:

        async def act(prompt: str, call: int) -> None:
            s.one.app.stopping.set()

        s.provider.act = act
        await s.work()
        chunk = await s.chunk()

    assert (chunk.open, chunk.completed, chunk.epoch) == (False, 1, 1)


async def test_a_process_that_stops_waits_for_its_calls_only_so_long_and_keeps_what_came_back(tmp_path: Path) -> None:
    never = asyncio.Event()

    async with shop(tmp_path, drain_seconds=0.1) as s:

        async def act(prompt: str, call: int) -> None:
            if prompt != "prompt 0":
                s.one.app.stopping.set()
                await never.wait()

        s.provider.act = act
        async with asyncio.timeout(20):
            await s.work()
        chunk = await s.chunk()
        never.set()

    assert (chunk.open, chunk.holder, chunk.completed) == (True, None, 1)


async def test_an_answer_is_safe_while_the_next_prompt_is_still_being_asked(tmp_path: Path) -> None:
    async with shop(tmp_path, content=prompts(2), flush_count=1, max_in_flight=1, flush_seconds=60) as s:
        safe: list[int] = []

        async def act(prompt: str, call: int) -> None:
            if prompt == "prompt 1":
                async with asyncio.timeout(20):
                    while not (done := (await s.chunk()).completed):
                        await asyncio.sleep(0)
                safe.append(done)

        s.provider.act = act
        await s.work()

    assert safe == [1]


async def test_without_a_key_nothing_is_asked_and_the_chunk_waits_a_minute(tmp_path: Path) -> None:
    async with shop(tmp_path) as s:
        job_id = s.job_id
        async with in_process_stack(tmp_path, s.clock) as keyless:
            await process_chunk(keyless.runtime, ProcessChunk(job_id=job_id, chunk=0))
        chunk = await s.chunk()

    assert (chunk.open, chunk.holder, chunk.crash_count) == (True, None, 0)
    assert chunk.resume_at == s.clock.time + KEY_MISSING_SECONDS
    assert s.provider.calls.total() == 0


async def test_a_refused_account_is_the_reason_given_for_every_prompt_and_the_job(tmp_path: Path) -> None:
    async with shop(tmp_path, content=prompts(30), max_in_flight=1) as s:

        async def act(prompt: str, call: int) -> web.Response:
            return refusal(401, "invalid_api_key")

        s.provider.act = act
        await s.work()
        stop = (await s.one.job(s.job_id)).stop_reason
        errors = await s.errors()
        ended = await s.one.job(s.job_id)

    assert stop
    assert (stop.code, ended.error, ended.status) == ("provider_account", stop, Status.FAILED)
    assert {error[2:4] for error in errors} == {("provider_account", stop.message)}
    assert [error[4] for error in errors] == [1] + [0] * 29
    assert s.provider.calls.total() == 1


async def test_tries_of_an_earlier_holder_count(tmp_path: Path) -> None:
    async with shop(tmp_path, content=prompts(2), retries=2) as s:

        async def act(prompt: str, call: int) -> web.Response | None:
            return refusal(500) if prompt == "prompt 1" else None

        s.provider.act = act
        await s.mark(attempt_failures={2: 2})
        await s.work()
        errors = await s.errors()

    assert [(error[0], error[2], error[4]) for error in errors] == [(2, "provider_error", 3)]
    assert s.provider.calls == {"prompt 0": 1, "prompt 1": 1}


async def test_a_message_for_what_is_not_there_or_has_ended_is_taken_and_changes_nothing(tmp_path: Path) -> None:
    async with shop(tmp_path) as s:
        unsplit: str = (await s.one.init())["job_id"]
        for job_id, number in (("00000000-0000-4000-8000-000000000000", 0), (unsplit, 0), (s.job_id, 7)):
            await process_chunk(s.one.runtime, ProcessChunk(job_id=job_id, chunk=number))
        await s.work()
        ended, chunk = await s.one.until_ended(s.job_id), await s.chunk()
        await s.work()

        assert (await s.one.job(s.job_id), await s.chunk()) == (ended, chunk)
        assert ended.completed_count == 3


async def test_a_message_for_a_settled_chunk_has_the_job_finished_when_that_was_forgotten(tmp_path: Path) -> None:
    async with shop(tmp_path) as s:
        await s.work()
        await s.one.lose("queue:finalizer")
        await s.one.database.write(lambda connection: connection.execute("delete from task_names"))
        await s.work()

        assert (await s.one.until_ended(s.job_id)).status is Status.COMPLETED
