"""A held chunk: when its answers are made safe, how it is let go, and what a job that is stopped leaves of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.harness.clock import HandClock
from tests.harness.in_process import InProcessStack, in_process_stack, prompts

from promptforge.domain.chunk import ISOLATE_AFTER_CRASHES, Chunk
from promptforge.domain.commands import ProcessChunk
from promptforge.domain.job import CANCELLED, INPUT_CHANGED
from promptforge.domain.timeouts import CLOCK_SKEW_SECONDS
from promptforge.errors import LeaseLost, Unavailable
from promptforge.pipeline.split import split
from promptforge.state.chunks import ClaimedChunk
from promptforge.worker.lease import ChunkLease, schedule_chunk

ONE_CHUNK = b" " * 40_000


@dataclass
class Bench:
    """A job of one chunk that nobody works on, and a clock."""

    one: InProcessStack
    clock: HandClock
    job_id: str

    async def hold(self, holder: str = "holder") -> ChunkLease:
        claim = await self.one.app.chunks.claim(self.job_id, 0, holder, lease_seconds=60)
        assert isinstance(claim, ClaimedChunk)
        return ChunkLease(self.one.app, await self.one.job(self.job_id), claim)

    async def chunk(self) -> Chunk:
        (chunk,) = [chunk async for chunk in self.one.app.chunks.list_all(self.job_id)]
        return chunk

    async def tasks(self) -> list[tuple[bytes, float]]:
        """What the worker's queue owes: the message, and not before when."""
        sql = "select body, not_before from deliveries where source = 'queue:worker' order by id"
        return await self.one.database.read(lambda connection: connection.execute(sql).fetchall())

    @property
    def message(self) -> bytes:
        return ProcessChunk(job_id=self.job_id, chunk=0).encode()


@asynccontextmanager
async def bench(folder: Path, content: bytes = prompts(9), **settings: Any) -> AsyncIterator[Bench]:
    clock = HandClock()
    async with in_process_stack(folder, clock, **settings) as one:
        job_id = await one.submit(content + ONE_CHUNK)
        await split(one.app, job_id)
        yield Bench(one, clock, job_id)


def answer(hold: ChunkLease, line: int, size: int = 0) -> None:
    public = b'{"prompt_id":"id-%d","result":"%s"}\n' % (line - 1, b"x" * size)
    hold.answers.add(line, True, 3, public)


async def test_answers_are_made_safe_when_so_many_wait_and_not_before(tmp_path: Path) -> None:
    async with bench(tmp_path, flush_count=3) as b:
        hold = await b.hold()
        safe = []
        for line in range(1, 8):
            answer(hold, line)
            await hold.flush_if_full()
            safe.append((await b.chunk()).completed)
        names = [segment.name for segment in (await b.chunk()).segments]

    assert safe == [0, 0, 3, 3, 3, 6, 6]
    assert len(set(names)) == 2


async def test_answers_are_made_safe_when_so_many_bytes_wait(tmp_path: Path) -> None:
    async with bench(tmp_path, flush_count=50, flush_bytes=3000) as b:
        hold = await b.hold()
        safe = []
        for line in range(1, 5):
            answer(hold, line, size=1000)
            await hold.flush_if_full()
            safe.append((await b.chunk()).completed)

    assert safe == [0, 0, 3, 3]


async def test_a_flush_renews_the_lease_and_what_failed_but_is_answered_is_forgotten(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        hold = await b.hold()
        hold.failures.update({1: 2, 2: 1})
        answer(hold, 1)
        b.clock.move(40)
        await hold.flush()
        chunk = await b.chunk()

    assert chunk.due_at == b.clock.time + 60
    assert (chunk.attempt_failures, chunk.completed, chunk.tokens) == ({2: 1}, 1, 3)


async def test_a_flush_with_nothing_to_say_says_nothing(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        hold = await b.hold()
        before = await b.chunk()
        b.clock.move(10)
        await hold.flush()

        assert await b.chunk() == before
        assert [name async for name in b.one.app.work.list(b.job_id)] == []


async def test_a_fenced_flush_and_a_fenced_settlement_leave_nothing_behind(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        hold = await b.hold("old")
        b.clock.move(61)
        await b.hold("new")
        answer(hold, 1)
        hold.fail(2, "id-1", "refused", "No.", 1)
        for write in (hold.flush, hold.settle):
            with pytest.raises(LeaseLost):
                await write()

        assert [name async for name in b.one.app.work.list("")] == []
        assert [name async for name in b.one.app.results.list(f"{b.job_id}/")] == []
        assert (hold.lost, hold.ending.is_set(), hold.halted) == (True, True, True)


async def test_a_chunk_given_back_until_later_is_knocked_for_then_and_not_before(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        hold = await b.hold()
        answer(hold, 1)
        until = b.clock.time + 100
        hold.end(resume_at=until)
        hold.end(resume_at=until - 50)
        await hold.give_back()
        chunk = await b.chunk()

        assert (chunk.holder, chunk.resume_at, chunk.due_at, chunk.completed) == (None, until, until + 60, 1)
        assert await b.tasks() == [(b.message, until)]
        b.clock.move(100)
        assert (await b.one.until_ended(b.job_id)).completed_count == 9


async def test_a_chunk_given_back_at_once_is_knocked_for_at_once(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        hold = await b.hold()
        hold.end()
        await hold.give_back()
        chunk = await b.chunk()

        assert (chunk.resume_at, chunk.due_at, chunk.crash_count) == (b.clock.time, b.clock.time + 60, 0)
        assert await b.tasks() == [(b.message, b.clock.time)]


@pytest.mark.parametrize(
    ("crash_count", "called", "after"), [(2, False, 2), (2, True, 0), (5, False, 5), (5, True, ISOLATE_AFTER_CRASHES)]
)
async def test_only_who_has_called_and_lived_ends_a_row_of_deaths_by_giving_back(
    tmp_path: Path, crash_count: int, called: bool, after: int
) -> None:
    async with bench(tmp_path) as b:
        for number in range(crash_count):
            await b.hold(f"dead-{number}")
            b.clock.move(61)
        hold = await b.hold()
        before = hold.chunk.crash_count
        if called:
            assert await hold.may_call()
        hold.end()
        await hold.give_back()

        assert (before, (await b.chunk()).crash_count) == (crash_count, after)


async def test_however_many_look_again_at_one_lease_there_is_one_task(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        held = (await b.hold()).chunk
        for _ in range(3):
            await schedule_chunk(b.one.app, b.job_id, held)
        assert await b.tasks() == [(b.message, held.due_at + CLOCK_SKEW_SECONDS)]
        renewed = held.model_copy(update={"due_at": held.due_at + 10})
        await schedule_chunk(b.one.app, b.job_id, renewed)
        parked = held.model_copy(update={"holder": None, "resume_at": held.due_at + 20})
        for epoch in (1, 1, 2):
            await schedule_chunk(b.one.app, b.job_id, parked.model_copy(update={"epoch": epoch}))

        moments = [moment - held.due_at for _, moment in await b.tasks()]
        assert moments == [CLOCK_SKEW_SECONDS, 10 + CLOCK_SKEW_SECONDS, 20, 20]


@pytest.mark.parametrize(
    ("fault", "faults"),
    [(ZeroDivisionError(), 1), (Unavailable(), 0), (asyncio.CancelledError(), 0), (KeyboardInterrupt(), 0)],
)
async def test_after_a_fault_the_chunk_is_free_at_once_and_its_answers_are_safe(
    tmp_path: Path, fault: BaseException, faults: int
) -> None:
    async with bench(tmp_path) as b:
        hold = await b.hold()
        answer(hold, 1)
        b.clock.move(5)
        try:
            async with hold:
                raise fault
        except BaseException as exc:
            assert exc is fault  # noqa: PT017 - whatever it was, it goes on
        chunk = await b.chunk()

        assert (chunk.holder, chunk.due_at, chunk.error_count, chunk.completed) == (None, b.clock.time, faults, 1)
        assert (await b.hold("next")).chunk.epoch == 2


async def test_when_the_input_is_gone_every_line_left_gets_its_error_and_no_more(tmp_path: Path) -> None:
    async with bench(tmp_path, content=b"\n" + prompts(4)) as b:
        hold = await b.hold()
        answer(hold, 3)
        hold.failures[2] = 2
        hold.unreadable(INPUT_CHANGED)
        await hold.settle()
        chunk = await b.chunk()
        ended = await b.one.until_ended(b.job_id)
        errors = await b.one.errors(b.job_id)

    assert (chunk.completed, chunk.failed, chunk.line_count) == (1, 3, 4)
    assert [(error["line"], error["attempts"]) for error in errors] == [(1, 0), (2, 2), (4, 0)]
    assert {(error["prompt_id"], error["error"], error["message"]) for error in errors} == {
        (None, "input_changed", INPUT_CHANGED.message)
    }
    assert (ended.completed_count, ended.failed_count) == (1, 3)


async def test_a_holder_that_slept_past_its_lease_renews_it_before_it_pays(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        hold = await b.hold()
        b.clock.move(59.5)
        assert await hold.may_call()
        before = await b.chunk()
        b.clock.move(0.5)
        assert await hold.may_call()
        renewed = await b.chunk()
        b.clock.move(61)
        await b.hold("thief")
        with pytest.raises(LeaseLost):
            await hold.may_call()

    assert (before.due_at - 60, renewed.due_at - 60) == (b.clock.time - 121, b.clock.time - 61)


async def test_who_was_told_to_let_go_or_to_stop_calls_no_more_and_renews_nothing(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ending, stopped = await b.hold(), await b.hold()
        before = await b.chunk()
        assert not ending.halted
        assert not await ending.halted_within(0.0)
        ending.end()
        stopped.halt(CANCELLED)
        b.clock.move(61)

        for hold in (ending, stopped):
            assert await hold.halted_within(60.0)
            assert not await hold.may_call()
        assert (ending.ending.is_set(), ending.stop) == (True, None)
        assert (stopped.ending.is_set(), stopped.stop) == (False, CANCELLED)
        assert await b.chunk() == before


async def test_a_hold_of_a_job_that_is_stopped_already_calls_nothing(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.one.app.jobs.stop(b.job_id, CANCELLED)
        hold = await b.hold()

        assert (hold.stop, hold.halted, hold.ending.is_set()) == (CANCELLED, True, False)
        assert not await hold.may_call()
