"""The ledger: changes that are overtaken, times that are just reached, collections longer than a page."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.harness.clock import HandClock
from tests.harness.in_process import InProcessStack, in_process_stack, prompts

from promptforge.domain.chunk import Chunk, ChunkRange
from promptforge.domain.job import CANCELLED, DEADLINE_EXCEEDED, Job, JobError
from promptforge.domain.timeouts import JOB_CACHE_SECONDS, TOTALS_CACHE_SECONDS
from promptforge.errors import LeaseLost
from promptforge.pipeline.split import split
from promptforge.ports.documents import Delete, Documents, Update, Version, Write
from promptforge.state.chunks import ClaimedChunk
from promptforge.state.jobs import PAGE, Ledger


class Crowded:
    """Documents where another is quicker: before each of the next `rivals` changes, someone writes the same one."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self.rivals = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._documents, name)

    async def commit(self, writes: Sequence[Write]) -> list[Version]:
        if self.rivals and isinstance(writes[0], Update):
            self.rivals -= 1
            there = await self._documents.get(writes[0].path)
            assert there is not None
            await self._documents.commit([Update(there.path, {**there.data, "rival": self.rivals}, there.version)])
        return await self._documents.commit(writes)


def crowded(one: InProcessStack) -> Crowded:
    documents = Crowded(one.app.documents)
    one.app.ledger = Ledger(documents, one.app.clock, one.app.rng)
    return documents


def cuts(count: int) -> list[ChunkRange]:
    return [
        ChunkRange(
            number=number, start=number, end=number + 1, first_line=number + 1, last_line=number + 1, line_count=1
        )
        for number in range(count)
    ]


async def opened(one: InProcessStack) -> str:
    job_id: str = (await one.init())["job_id"]
    return job_id


async def chunk_of(one: InProcessStack, job_id: str, number: int = 0) -> Chunk:
    return [chunk async for chunk in one.app.chunks.list_all(job_id)][number]


async def claimed(one: InProcessStack, job_id: str, holder: str = "holder") -> ClaimedChunk:
    claim = await one.app.chunks.claim(job_id, 0, holder, lease_seconds=60)
    assert isinstance(claim, ClaimedChunk)
    return claim


async def test_a_job_that_others_change_at_once_is_changed_in_the_end(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await opened(one)
        crowded(one).rivals = 3
        changed = await one.app.jobs.update(
            job_id, lambda job: job.model_copy(update={"prompt_count": job.prompt_count + 1})
        )

        assert changed == await one.job(job_id)
        assert (await one.job(job_id)).prompt_count == 1


async def test_a_claim_and_a_change_that_are_overtaken_are_made_in_the_end(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await opened(one)
        await one.app.chunks.create_missing(job_id, cuts(1), due_at=0.0)
        documents = crowded(one)
        documents.rivals = 3
        claim = await claimed(one, job_id)
        documents.rivals = 3
        amended = await one.app.chunks.update(claim, tokens=7)

        assert (claim.chunk.epoch, amended.chunk.tokens, documents.rivals) == (1, 7, 0)
        assert await chunk_of(one, job_id) == amended.chunk
        assert (await one.app.chunks.update(amended, tokens=8)).chunk.tokens == 8


async def test_a_claim_asked_for_again_by_its_holder_is_the_same_claim(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await opened(one)
        await one.app.chunks.create_missing(job_id, cuts(1), due_at=0.0)
        first = await claimed(one, job_id)

        assert await claimed(one, job_id) == first
        assert await one.app.chunks.claim(job_id, 1, "holder", 60) is None


async def test_a_holder_that_was_never_heard_of_again_is_a_death_and_one_that_gave_back_is_none(tmp_path: Path) -> None:
    clock = HandClock()
    async with in_process_stack(tmp_path, clock) as one:
        job_id = await opened(one)
        await one.app.chunks.create_missing(job_id, cuts(1), due_at=0.0)
        first = await claimed(one, job_id, "first")
        clock.move(61)
        second = await claimed(one, job_id, "second")
        await one.app.chunks.update(second, holder=None, resume_at=clock.now() + 30)
        waiting = await one.app.chunks.claim(job_id, 0, "third", 60)
        clock.move(30)
        third = await claimed(one, job_id, "third")

        assert isinstance(waiting, Chunk)
        assert [claim.chunk.crash_count for claim in (first, second, third)] == [0, 1, 1]
        assert [claim.chunk.epoch for claim in (first, second, third)] == [1, 2, 3]
        assert third.chunk.due_at == clock.now() + 60


async def test_a_settled_chunk_is_neither_settled_otherwise_nor_opened_again_by_its_holder(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await opened(one)
        await one.app.chunks.create_missing(job_id, cuts(1), due_at=0.0)
        claim = await claimed(one, job_id)
        settled = await one.app.chunks.update(claim, open=False, completed=1)

        with pytest.raises(LeaseLost):
            await one.app.chunks.update(claim, due_at=9e9)
        again = await one.app.chunks.update(claim, open=False, completed=0)
        assert again.chunk == settled.chunk == await chunk_of(one, job_id)
        assert (await one.app.chunks.update(again, open=False)).chunk.completed == 1


async def test_a_chunk_that_is_gone_is_a_lost_lease(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await opened(one)
        await one.app.chunks.create_missing(job_id, cuts(1), due_at=0.0)
        claim = await claimed(one, job_id)
        await one.app.documents.commit([Delete(f"jobs/{job_id}/chunks/00000000", claim.version)])

        with pytest.raises(LeaseLost):
            await one.app.chunks.update(claim, tokens=1)


async def test_a_lease_is_ended_only_as_it_was_seen_and_its_holder_counts_as_dead(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        ledger, job_id = one.app.ledger, await opened(one)
        await ledger.create_chunks(job_id, cuts(1), due_at=0.0)
        unseen = await chunk_of(one, job_id)
        held = (await ledger.update_chunk(await claimed(one, job_id), resume_at=5.0)).chunk

        assert not await ledger.expire_lease(job_id, unseen, due_at=7.0)
        assert await chunk_of(one, job_id) == held
        assert await ledger.expire_lease(job_id, held, due_at=7.0)
        ended = await chunk_of(one, job_id)
        assert (ended.holder, ended.due_at, ended.resume_at, ended.crash_count) == (None, 7.0, 0.0, 1)
        assert await ledger.expire_lease(job_id, ended, due_at=8.0)
        assert (await chunk_of(one, job_id)).crash_count == 1
        assert not await ledger.expire_lease(job_id, ended.model_copy(update={"number": 4}), due_at=8.0)


async def test_a_lease_that_changes_while_it_is_ended_is_left_alone(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await opened(one)
        await one.app.chunks.create_missing(job_id, cuts(1), due_at=0.0)
        held = (await claimed(one, job_id)).chunk
        crowded(one).rivals = 1

        assert not await one.app.chunks.expire_lease(job_id, held, due_at=7.0)
        assert await chunk_of(one, job_id) == held


@pytest.mark.parametrize("count", [PAGE, PAGE + 1, 2 * PAGE])
async def test_every_chunk_is_found_however_many_pages_they_fill(tmp_path: Path, count: int) -> None:
    async with in_process_stack(tmp_path) as one:
        ledger, job_id = one.app.ledger, await opened(one)
        await ledger.create_chunks(job_id, cuts(count), due_at=1.0)

        assert [chunk.number async for chunk in ledger.list_all(job_id)] == list(range(count))
        assert len([chunk async for chunk in ledger.list_open(job_id, due_before=1.0)]) == count


async def test_the_sweeper_is_shown_what_is_due_this_very_moment_and_nothing_later(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        ledger = one.app.ledger
        jobs = [await opened(one) for _ in range(3)]
        for job_id, due_at in zip(jobs, (30.0, 10.0, 20.0), strict=True):
            await ledger.update_job(job_id, partial(_due, due_at))
        for cut, due_at in zip(cuts(3), (30.0, 10.0, 20.0), strict=True):
            await ledger.create_chunks(jobs[0], [cut], due_at)

        assert [job.job_id async for job in ledger.list_due_jobs(due_before=20.0)] == [jobs[1], jobs[2]]
        assert [chunk.number async for chunk in ledger.list_open(jobs[0], due_before=20.0)] == [1, 2]


async def test_chunks_are_laid_down_once_whoever_cuts_again(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        ledger, job_id = one.app.ledger, await opened(one)
        await ledger.create_chunks(job_id, cuts(2), due_at=1.0)
        claim = await claimed(one, job_id)
        await ledger.create_chunks(job_id, cuts(5), due_at=2.0)
        await ledger.create_chunks(job_id, cuts(5), due_at=3.0)

        assert [chunk.due_at async for chunk in ledger.list_all(job_id)] == [claim.chunk.due_at, 1.0, 2.0, 2.0, 2.0]
        assert await chunk_of(one, job_id) == claim.chunk


async def test_a_job_is_opened_once_and_who_opens_it_again_gets_the_first(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job = await one.job(await opened(one))
        other = job.model_copy(update={"model": "another"})

        assert await one.app.jobs.create(other) == job == await one.job(job.job_id)


async def stop_of(ledger: Ledger, job_id: str) -> JobError | None:
    job = await ledger.get_cached(job_id)
    assert job
    return job.stop_reason


async def test_a_stop_is_heard_of_after_a_second_and_a_half_also_when_the_clock_was_set_back(tmp_path: Path) -> None:
    clock = HandClock()
    async with in_process_stack(tmp_path, clock) as one:
        ledger, job_id = one.app.ledger, await opened(one)
        assert await stop_of(ledger, job_id) is None
        await ledger.stop_job(job_id, CANCELLED)
        await ledger.stop_job(job_id, DEADLINE_EXCEEDED)
        early = []
        for seconds in (0.0, 0.5, JOB_CACHE_SECONDS - 0.75):  # however many ask, one read a while is enough
            clock.move(seconds)
            early.append(await stop_of(ledger, job_id))
        clock.move(0.25)

        assert (early, await stop_of(ledger, job_id)) == ([None] * 3, CANCELLED)
        assert await ledger.get_cached("unknown") is None

        set_back = Ledger(one.app.documents, clock, one.app.rng)
        other = await opened(one)
        await stop_of(set_back, other)
        await set_back.stop_job(other, CANCELLED)
        clock.move(-3600)
        assert await stop_of(set_back, other) == CANCELLED


async def test_progress_is_summed_anew_after_a_second_also_when_the_clock_was_set_back(tmp_path: Path) -> None:
    clock = HandClock()
    async with in_process_stack(tmp_path, clock) as one:
        ledger, job_id = one.app.ledger, await one.submit(prompts(1))
        await split(one.app, job_id)
        claim = await claimed(one, job_id)
        seen = [(await ledger.totals(job_id))["tokens"]]
        for tokens, move in ((1, TOTALS_CACHE_SECONDS - 0.25), (2, 0.25), (3, 0.0), (4, -3600.0)):
            claim = await ledger.update_chunk(claim, tokens=tokens, completed=tokens, failed=tokens)
            clock.move(move)
            seen.append((await ledger.totals(job_id))["tokens"])

        assert seen == [0, 0, 2, 2, 4]
        assert await ledger.totals(job_id) == {
            "completed": 4,
            "failed": 4,
            "tokens": 4,
            "output_tokens": 0,
            "cost_nanos": 0,
        }


async def test_a_job_that_has_ended_is_stopped_no_more(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        ended = await one.job(await one.run(prompts(1)))
        await one.app.jobs.stop(ended.job_id, CANCELLED)

        assert await one.job(ended.job_id) == ended
        assert await one.app.jobs.update("unknown", _never) is None


def _due(at: float, job: Job) -> Job:
    return job.model_copy(update={"due_at": at})


def _never(job: Job) -> Job | None:
    raise AssertionError("there is no such job")
