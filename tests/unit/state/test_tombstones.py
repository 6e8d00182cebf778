"""Tombstones in place of jobs: put there once, changed only while they are the same."""

from pathlib import Path

import pytest

from promptforge.domain.job import Job, JobTotals
from promptforge.domain.tombstone import Tombstone
from promptforge.errors import LeaseLost, Unavailable
from promptforge.pipeline.split import split
from promptforge.state.jobs import job_path
from promptforge.state.tombstones import CHUNKS_PER_COMMIT, TombstoneStore
from tests.fakes.contended_documents import ContendedDocuments
from tests.harness.chunk_scenario import chunk_scenario
from tests.harness.in_process import InProcessStack, in_process_stack
from tests.harness.lines import prompts

UNKNOWN = "00000000-0000-4000-8000-000000000000"
UNTIL, DUE_AT = 2000.0, 1000.0


def agree(job: Job) -> bool:
    return True


async def put_tombstone(one: InProcessStack, job_id: str, until: float = UNTIL, due_at: float = DUE_AT) -> Tombstone:
    """Replace the job by a tombstone."""
    tombstone = await one.context.tombstones.replace_job(job_id, until, due_at, agree)
    assert tombstone is not None
    return tombstone


async def read(one: InProcessStack, job_id: str) -> Tombstone | None:
    """Return the tombstone that is stored."""
    document = await one.context.documents.get(job_path(job_id))
    return Tombstone.model_validate(document.data) if document else None


async def test_replace_job_makes_the_job_unknown_and_keeps_its_id(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = (await one.init())["job_id"]
        tombstone = await put_tombstone(one, job_id)

        assert tombstone == Tombstone(due_at=DUE_AT, delete_writes_until=UNTIL)
        assert await read(one, job_id) == tombstone
        assert await one.context.jobs.get(job_id) is None
        assert await one.context.jobs.exists(job_id)


async def test_replace_job_repeated_returns_the_first_tombstone(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = (await one.init())["job_id"]
        first = await put_tombstone(one, job_id)

        assert await put_tombstone(one, job_id, until=9000.0, due_at=8000.0) == first
        assert await read(one, job_id) == first


async def test_replace_job_unknown_or_not_agreed_changes_nothing(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = (await one.init())["job_id"]
        job = await one.job(job_id)
        refused = await one.context.tombstones.replace_job(job_id, UNTIL, DUE_AT, lambda seen: seen != job)

        assert refused is None
        assert await one.job(job_id) == job
        assert await one.context.tombstones.replace_job(UNKNOWN, UNTIL, DUE_AT, agree) is None


@pytest.mark.parametrize("processing", [False, True])
async def test_replace_job_releases_the_quota_of_a_job_without_calls_only(tmp_path: Path, processing: bool) -> None:
    async with in_process_stack(tmp_path, prices={"echo/*": (1.0, 2.0)}) as one:
        await one.context.quotas.set_daily_limit("tests", 5)
        job_id = await one.submit(prompts(1))
        if processing:
            await split(one.context, job_id)
        await put_tombstone(one, job_id)
        next_job = await one.http.post("/v1/jobs/init", json={"provider": "echo", "model": "m"}, headers=one.headers)

        assert next_job.status_code == (429 if processing else 202)


async def test_delete_chunks_while_they_are_written_all_the_time_is_unavailable(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await one.run(prompts(3))
        tombstones = TombstoneStore(ContendedDocuments(one.context.documents), one.context.quotas, one.context.rng)
        with pytest.raises(Unavailable):
            await tombstones.delete_chunks(job_id)

        assert len(await one.results(job_id)) == 3


async def test_delete_chunks_deletes_more_than_one_commit_and_takes_the_lease_from_a_holder(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path, chunk_lines=1) as made:
        job_id = await made.submit(prompts(CHUNKS_PER_COMMIT + 5))
        run = await made.claim(job_id, CHUNKS_PER_COMMIT + 1)
        await made.stack.context.tombstones.delete_chunks(job_id)

        assert [chunk async for chunk in made.stack.context.chunks.list_all(job_id)] == []
        assert await made.stack.context.chunks.totals(job_id) == JobTotals()
        with pytest.raises(LeaseLost):
            await run.lease.renew()


async def test_list_due_yields_finished_and_deleted_jobs_earliest_first(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        finished, first, second, later = [(await one.init())["job_id"] for _ in range(4)]
        await one.cancel(finished)
        expire_at = (await one.job(finished)).expire_at
        assert expire_at is not None
        for job_id, due_at in ((second, 20.0), (first, 10.0), (later, expire_at + 1)):
            await put_tombstone(one, job_id, due_at=due_at)
        await one.init()
        due = [entry async for entry in one.context.tombstones.list_due(expire_at)]

        assert due == [(first, 10.0), (second, 20.0), (finished, expire_at)]


async def test_defer_changes_a_due_time_that_is_as_it_was_read(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id, active = (await one.init())["job_id"], (await one.init())["job_id"]
        before = await one.job(active)
        await put_tombstone(one, job_id)
        await one.context.tombstones.defer(job_id, DUE_AT, 1100.0)
        await one.context.tombstones.defer(job_id, DUE_AT, 1200.0)
        await one.context.tombstones.defer(active, before.due_at, 1200.0)

        assert await read(one, job_id) == Tombstone(due_at=1100.0, delete_writes_until=UNTIL)
        assert await one.job(active) == before


async def test_reschedule_and_retain_change_the_same_tombstone_only(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = (await one.init())["job_id"]
        tombstone = await put_tombstone(one, job_id)
        await one.context.tombstones.defer(job_id, DUE_AT, 1100.0)
        await one.context.tombstones.reschedule(job_id, tombstone, 1300.0)
        rescheduled = await read(one, job_id)
        other = Tombstone(due_at=DUE_AT, delete_writes_until=UNTIL + 1)
        await one.context.tombstones.reschedule(job_id, other, 1.0)
        await one.context.tombstones.retain_until(job_id, other, 1.0)
        await one.context.tombstones.delete(job_id, other)
        unchanged = await read(one, job_id)
        await one.context.tombstones.retain_until(job_id, tombstone, 5000.0)

        assert rescheduled == unchanged == tombstone.rescheduled(1300.0)
        assert await read(one, job_id) == tombstone.retained(5000.0)


async def test_delete_makes_the_id_free_and_may_run_again(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = (await one.init())["job_id"]
        tombstone = await put_tombstone(one, job_id)
        for _ in range(2):
            await one.context.tombstones.delete(job_id, tombstone)

        assert not await one.context.jobs.exists(job_id)


async def test_change_of_tombstone_that_conflicts_is_ignored(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = (await one.init())["job_id"]
        tombstone = await put_tombstone(one, job_id)
        contended = ContendedDocuments(one.context.documents)
        await TombstoneStore(contended, one.context.quotas, one.context.rng).delete(job_id, tombstone)

        assert await read(one, job_id) == tombstone
