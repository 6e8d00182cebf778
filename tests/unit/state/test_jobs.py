"""The store of jobs: created once, changed under conflicts, stopped once, cached briefly, listed when due."""

from functools import partial
from pathlib import Path

import pytest

from promptforge.domain.job import CANCELLED, COST_LIMIT, DEADLINE_EXCEEDED, Job, JobError
from promptforge.domain.timeouts import JOB_CACHE_SECONDS, WAITING_NOTE_INTERVAL_SECONDS
from promptforge.errors import Unavailable
from promptforge.state.commit import MAX_TRIES
from promptforge.state.jobs import JobStore
from tests.fakes.faulty_documents import Contended
from tests.harness.chance import MinimumDelay
from tests.harness.clock import ManualClock
from tests.harness.context import replaced_adapters, with_adapters
from tests.harness.in_process import InProcessStack, in_process_stack
from tests.harness.lines import prompts


async def created(stack: InProcessStack) -> str:
    job_id: str = (await stack.init())["job_id"]
    return job_id


def with_one_more_prompt(job: Job) -> Job:
    return job.counted(job.prompt_count + 1, job.invalid_count)


async def test_jobs_update_with_conflicts_is_made_in_the_end(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        job_id = await created(stack)
        documents = Contended(stack.context.documents)
        documents.rivals = 3
        async with replaced_adapters(stack, documents=documents):
            changed = await stack.context.jobs.update(job_id, with_one_more_prompt)

        assert changed == await stack.job(job_id)
        assert (await stack.job(job_id)).prompt_count == 1


async def test_jobs_update_with_endless_conflicts_raises_unavailable(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        job_id = await created(stack)
        documents = Contended(stack.context.documents)
        documents.rivals = MAX_TRIES
        jobs = JobStore(documents, stack.context.quotas, stack.context.clock, MinimumDelay())
        with pytest.raises(Unavailable):
            await jobs.update(job_id, with_one_more_prompt)

        assert documents.rivals == 0
        assert (await stack.job(job_id)).prompt_count == 0


async def test_jobs_update_of_an_unknown_job_decides_nothing(tmp_path: Path) -> None:
    def never(job: Job) -> Job | None:
        raise AssertionError("the job does not exist")

    async with in_process_stack(tmp_path) as stack:
        assert await stack.context.jobs.update("unknown", never) is None


async def test_jobs_create_of_an_existing_id_returns_the_first_job(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        job = await stack.job(await created(stack))
        other = job.model_copy(update={"model": "another"})

        assert await stack.context.jobs.create(other) == job == await stack.job(job.job_id)


async def test_jobs_create_with_the_id_of_a_tombstone_returns_none(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        job = await stack.job(await created(stack))
        await stack.delete(job.job_id)

        assert await stack.context.jobs.create(job) is None
        assert await stack.context.jobs.exists(job.job_id)
        assert not await stack.context.jobs.exists("unknown")


async def test_jobs_list_due_yields_jobs_due_now_and_none_later(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        jobs = [await created(stack) for _ in range(3)]
        for job_id, due_at in zip(jobs, (30.0, 10.0, 20.0), strict=True):
            await stack.context.jobs.update(job_id, partial(Job.rescheduled, due_at=due_at))

        assert [job.job_id async for job in stack.context.jobs.list_due(due_before=20.0)] == [jobs[1], jobs[2]]


async def stop_of(jobs: JobStore, job_id: str) -> JobError | None:
    job = await jobs.get_cached(job_id)
    assert job
    return job.stop_reason


async def test_jobs_get_cached_finds_a_stop_in_time_also_after_a_clock_set_back(tmp_path: Path) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock) as stack:
        jobs, job_id = stack.context.jobs, await created(stack)
        assert await stop_of(jobs, job_id) is None
        await jobs.stop(job_id, CANCELLED)
        await jobs.stop(job_id, DEADLINE_EXCEEDED)
        early = []
        for seconds in (0.0, 0.5, JOB_CACHE_SECONDS - 0.75):
            clock.advance(seconds)
            early.append(await stop_of(jobs, job_id))
        clock.advance(0.25)

        assert (early, await stop_of(jobs, job_id)) == ([None] * 3, CANCELLED)
        assert await jobs.get_cached("unknown") is None

        set_back = with_adapters(stack.context).jobs
        other = await created(stack)
        await stop_of(set_back, other)
        await set_back.stop(other, CANCELLED)
        clock.advance(-3600)
        assert await stop_of(set_back, other) == CANCELLED


async def test_jobs_stop_of_a_finished_job_changes_nothing(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        finished = await stack.job(await stack.run(prompts(1)))
        await stack.context.jobs.stop(finished.job_id, CANCELLED)

        assert await stack.job(finished.job_id) == finished


async def test_jobs_set_waiting_repeats_a_reason_only_after_its_interval(tmp_path: Path) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock) as stack:
        jobs, job_id = stack.context.jobs, await created(stack)
        await jobs.set_waiting(job_id, CANCELLED, clock.time)
        first = await stack.job(job_id)
        await jobs.set_waiting(job_id, CANCELLED, clock.time + WAITING_NOTE_INTERVAL_SECONDS - 0.5)
        repeated = await stack.job(job_id)
        await jobs.set_waiting(job_id, CANCELLED, clock.time + WAITING_NOTE_INTERVAL_SECONDS)
        later = await stack.job(job_id)
        await jobs.set_waiting(job_id, COST_LIMIT, clock.time + WAITING_NOTE_INTERVAL_SECONDS)
        other = await stack.job(job_id)

        assert (first.waiting, first.waiting_until) == (CANCELLED, clock.time + 2 * WAITING_NOTE_INTERVAL_SECONDS)
        assert repeated == first
        assert later.waiting_until == clock.time + 3 * WAITING_NOTE_INTERVAL_SECONDS
        assert (other.waiting, other.waiting_until) == (COST_LIMIT, later.waiting_until)


async def test_jobs_reschedule_of_a_finished_job_changes_nothing(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        active, finished = await created(stack), await stack.job(await stack.run(prompts(1)))
        for job_id in (active, finished.job_id):
            await stack.context.jobs.reschedule(job_id, 77.0)

        assert (await stack.job(active)).due_at == 77.0
        assert await stack.job(finished.job_id) == finished


async def test_jobs_get_of_a_tombstone_is_none(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        job_id = await created(stack)
        await stack.delete(job_id)

        assert await stack.context.jobs.get(job_id) is None
        assert await stack.context.jobs.get_cached(job_id) is None
        assert await stack.context.jobs.update(job_id, with_one_more_prompt) is None
