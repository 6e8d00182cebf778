"""The stop signal of a chunk: which reason counts, and which events set it."""

import asyncio
from pathlib import Path

import pytest

from promptforge.domain.job import CANCELLED, COST_LIMIT, COST_UNKNOWN, DEADLINE_EXCEEDED
from promptforge.errors import LeaseLost
from promptforge.state.chunks import ClaimedChunk
from promptforge.worker.chunk_run import ChunkRun
from promptforge.worker.stop_signal import JobStopped, Release
from tests.fakes.faulty_documents import UnavailableReads
from tests.harness.chunk_scenario import LEASE_SECONDS, PADDING, chunk_scenario
from tests.harness.context import replaced_adapters
from tests.harness.lines import prompts


async def test_stop_signal_of_either_reason_admits_no_call_and_renews_nothing(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(9) + PADDING)
        claim = await scenario.stack.context.chunks.claim(job_id, 0, "holder", LEASE_SECONDS)
        assert isinstance(claim, ClaimedChunk)
        job = await scenario.stack.job(job_id)
        released, stopped = ChunkRun(scenario.stack.runtime, job, claim), ChunkRun(scenario.stack.runtime, job, claim)
        before = await scenario.chunk(job_id)
        assert not released.stop.is_set
        assert not await released.stop.wait(0.0)
        released.stop.release_at()
        await stopped.stop.stop_job(CANCELLED)
        scenario.clock.advance(LEASE_SECONDS + 1)

        for run in (released, stopped):
            assert await run.stop.wait(60.0)
            assert not await scenario.admits_call(run)
        assert (released.stop.reason, released.stop.job_error) == (Release(), None)
        assert (stopped.stop.reason, stopped.stop.job_error) == (JobStopped(CANCELLED), CANCELLED)
        assert await scenario.chunk(job_id) == before


async def test_stop_signal_of_a_stopped_job_is_set_from_the_start(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(9) + PADDING)
        await scenario.stack.context.jobs.stop(job_id, CANCELLED)
        run = await scenario.claim(job_id)

        assert (run.stop.reason, run.stop.is_set) == (JobStopped(CANCELLED), True)
        assert not await scenario.admits_call(run)


async def test_stop_signal_released_twice_keeps_the_later_time_and_the_last_reason(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        run = await scenario.claim(await scenario.submit(prompts(1)))
        run.stop.release_at(200.0, CANCELLED)
        run.stop.release_at(100.0, COST_UNKNOWN)
        run.stop.release_at()

        assert run.stop.reason == Release(200.0, COST_UNKNOWN)


async def test_stop_signal_of_a_stopped_job_outweighs_a_release(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(1))
        run = await scenario.claim(job_id)
        run.stop.release_at(200.0)
        await run.stop.stop_job(COST_LIMIT)
        run.stop.release_at(300.0)
        await run.stop.stop_job(CANCELLED)

        assert run.stop.reason == JobStopped(COST_LIMIT)
        assert (await scenario.stack.job(job_id)).stop_reason == COST_LIMIT


@pytest.mark.parametrize("stopping", [True, False])
async def test_stop_signal_watch_process_releases_at_shutdown_and_at_soft_deadline(
    tmp_path: Path, stopping: bool
) -> None:
    async with chunk_scenario(tmp_path, soft_deadline_seconds=400 if stopping else 0.01) as scenario:
        run = await scenario.claim(await scenario.submit(prompts(1)))
        watching = asyncio.create_task(run.stop.watch_process())
        await asyncio.sleep(0)
        assert run.stop.reason is None
        if stopping:
            scenario.stack.context.stopping.set()
        await asyncio.wait_for(watching, 20)

        assert run.stop.reason == Release()


@pytest.fixture
def short_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("promptforge.worker.stop_signal.STOP_POLL_SECONDS", 0.001)


@pytest.mark.usefixtures("short_poll")
async def test_stop_signal_poll_job_finds_a_stop_requested_elsewhere(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(1))
        run = await scenario.claim(job_id)
        polling = asyncio.create_task(run.stop.poll_job())
        await scenario.stack.context.jobs.stop(job_id, DEADLINE_EXCEEDED)
        scenario.clock.advance(60)  # past the cache
        await asyncio.wait_for(polling, 20)

        assert run.stop.reason == JobStopped(DEADLINE_EXCEEDED)


@pytest.mark.usefixtures("short_poll")
async def test_stop_signal_poll_job_of_a_deleted_job_raises_lease_lost(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(1))
        run = await scenario.claim(job_id)
        await scenario.stack.delete(job_id)

        with pytest.raises(LeaseLost):
            await asyncio.wait_for(run.stop.poll_job(), 20)


@pytest.mark.usefixtures("short_poll")
async def test_stop_signal_poll_job_after_a_failed_read_polls_again(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await scenario.submit(prompts(1))
        documents = UnavailableReads(scenario.stack.context.documents)
        async with replaced_adapters(scenario.stack, documents=documents):
            run = await scenario.claim(job_id)
            await scenario.stack.context.jobs.stop(job_id, CANCELLED)
            documents.rejections = 3
            await asyncio.wait_for(run.stop.poll_job(), 20)

        assert (run.stop.job_error, documents.rejections) == (CANCELLED, 0)
