"""A worker owns a chunk only under a lease with an epoch."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.openai_server import openai_server
from tests.harness.clock import HandClock
from tests.harness.in_process import InProcessStack, in_process_stack, prompts

from promptforge.domain.chunk import Chunk
from promptforge.domain.commands import ProcessChunk
from promptforge.domain.job import Status
from promptforge.domain.timeouts import CLOCK_SKEW_SECONDS
from promptforge.errors import LeaseLost
from promptforge.pipeline.split import split
from promptforge.pipeline.sweep import expire_leases, sweep
from promptforge.state.chunks import ClaimedChunk
from promptforge.worker.lease import ChunkLease
from promptforge.worker.process_chunk import process_chunk


async def _split_job(one: InProcessStack, count: int = 1, **order: str) -> str:
    job_id = await one.submit(prompts(count), **order)
    await split(one.app, job_id)
    return job_id


async def _claim(one: InProcessStack, job_id: str, holder: str) -> ClaimedChunk:
    claim = await one.app.chunks.claim(job_id, 0, holder, lease_seconds=60)
    assert isinstance(claim, ClaimedChunk)
    return claim


async def test_twenty_claims_at_once_have_one_winner(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await _split_job(one)
        claims = await asyncio.gather(*[one.app.chunks.claim(job_id, 0, f"h{n}", 60) for n in range(20)])

        winners = [claim for claim in claims if isinstance(claim, ClaimedChunk)]
        assert [claim.chunk.epoch for claim in winners] == [1]
        assert all(isinstance(claim, Chunk) and claim.epoch == 1 for claim in claims if claim not in winners)


async def test_a_lease_that_ran_out_is_taken_over_and_the_old_holder_can_write_nothing(tmp_path: Path) -> None:
    clock = HandClock()
    async with in_process_stack(tmp_path, clock) as one:
        job_id = await _split_job(one)
        old = await _claim(one, job_id, "old")
        clock.move(61)
        new = await _claim(one, job_id, "new")

        assert new.chunk.epoch == old.chunk.epoch + 1
        for change in ({"open": False}, {"completed": 1}, {"due_at": clock.time + 60}):
            with pytest.raises(LeaseLost):
                await one.app.chunks.update(old, **change)
        assert (await one.app.chunks.update(new, completed=1)).chunk.completed == 1


async def test_what_a_fenced_holder_flushes_and_settles_is_never_seen(tmp_path: Path) -> None:
    clock = HandClock()
    async with in_process_stack(tmp_path, clock) as one:
        job_id = await _split_job(one)
        zombie = ChunkLease(one.app, await one.job(job_id), await _claim(one, job_id, "zombie"))
        clock.move(61)
        await process_chunk(one.runtime, ProcessChunk(job_id=job_id, chunk=0))

        zombie.answers.add(1, True, 5, b'{"prompt_id":"id-0","result":"from the dead"}\n')
        with pytest.raises(LeaseLost):
            await zombie.flush()
        with pytest.raises(LeaseLost):
            await zombie.settle()
        await one.until_ended(job_id)
        assert [line["result"] for line in await one.results(job_id)] == ["prompt 0"]


async def test_flushed_answers_are_not_paid_for_again(tmp_path: Path) -> None:
    clock = HandClock()
    async with openai_server() as provider:
        keys: dict[str, Any] = {"provider_keys": {"openai": "k"}, "provider_urls": {"openai": provider.url}}
        async with in_process_stack(tmp_path, clock, chunk_lines=5, **keys) as one:
            job_id = await one.submit(prompts(5) + b" " * 1000, provider="openai")
            await split(one.app, job_id)
            dead = ChunkLease(one.app, await one.job(job_id), await _claim(one, job_id, "dead"))
            dead.answers.add(2, True, 9, b'{"prompt_id":"id-1","result":"paid before"}\n')
            dead.answers.add(1, False, 0, b'{"prompt_id":"id-0","error":"failed before"}\n')
            await dead.flush()
            clock.move(61)
            ended = await one.until_ended(job_id)

            assert [line["prompt_id"] for line in await one.results(job_id)] == ["id-1", "id-2", "id-3", "id-4"]
            assert (await one.results(job_id))[0]["result"] == "paid before"
            assert (await one.errors(job_id))[0]["error"] == "failed before"
            assert sorted(provider.calls.elements()) == ["prompt 2", "prompt 3", "prompt 4"]
            assert (ended.completed_count, ended.failed_count, ended.tokens_used) == (4, 1, 9 + 3 * 12)


async def test_a_second_delivery_leaves_a_held_chunk_alone_and_looks_again_when_the_lease_ends(tmp_path: Path) -> None:
    clock = HandClock()
    async with in_process_stack(tmp_path, clock) as one:
        job_id = await _split_job(one)
        held = await _claim(one, job_id, "holder")
        await process_chunk(one.runtime, ProcessChunk(job_id=job_id, chunk=0))

        sql = "select not_before from deliveries where source = 'queue:worker'"
        tasks = await one.database.read(lambda connection: connection.execute(sql).fetchall())
        assert tasks == [(held.chunk.due_at + CLOCK_SKEW_SECONDS,)]
        clock.move(60 + CLOCK_SKEW_SECONDS)
        assert (await one.until_ended(job_id)).status is Status.COMPLETED


async def test_leases_of_a_dead_process_are_ended_and_those_of_others_are_not(tmp_path: Path) -> None:
    clock = HandClock()
    async with in_process_stack(tmp_path, clock) as one:
        jobs = [await _split_job(one), await _split_job(one)]
        for job_id, holder in zip(jobs, ("dead.1", "alive.1"), strict=True):
            await _claim(one, job_id, holder)
        await expire_leases(one.app, "dead")

        assert isinstance(await one.app.chunks.claim(jobs[0], 0, "next", 60), ClaimedChunk)
        assert isinstance(await one.app.chunks.claim(jobs[1], 0, "next", 60), Chunk)


async def test_the_sweeper_announces_chunks_whose_lease_is_past(tmp_path: Path) -> None:
    clock = HandClock()
    async with in_process_stack(tmp_path, clock) as one:
        job_id = await _split_job(one)
        await one.database.write(lambda connection: connection.execute("delete from deliveries"))
        await _claim(one, job_id, "gone")
        clock.move(61)
        await sweep(one.app)

        assert (await one.until_ended(job_id)).status is Status.COMPLETED


async def test_a_heartbeat_keeps_the_lease_while_no_answer_comes(tmp_path: Path) -> None:
    release = asyncio.Event()

    async def act(prompt: str, call: int) -> None:
        await release.wait()

    async with openai_server(act) as provider:
        keys: dict[str, Any] = {"provider_keys": {"openai": "k"}, "provider_urls": {"openai": provider.url}}
        async with in_process_stack(tmp_path, lease_seconds=0.6, heartbeat_seconds=0.1, **keys) as one:
            job_id = await _split_job(one, provider="openai")
            working = asyncio.create_task(process_chunk(one.runtime, ProcessChunk(job_id=job_id, chunk=0)))
            first = await _lease_end(one, job_id, after=0.0)
            for _ in range(3):
                first = await _lease_end(one, job_id, after=first + 0.5)
            release.set()
            await working
            (chunk,) = [chunk async for chunk in one.app.chunks.list_all(job_id)]

        assert (chunk.open, chunk.epoch, provider.calls.total()) == (False, 1, 1)


async def _lease_end(one: InProcessStack, job_id: str, after: float) -> float:
    """The end of the lease of chunk 0, once it lies behind `after`."""
    async with asyncio.timeout(20):
        while True:
            (chunk,) = [chunk async for chunk in one.app.chunks.list_all(job_id)]
            if chunk.holder and chunk.due_at > after:
                return chunk.due_at
            await asyncio.sleep(0.01)


async def test_a_process_told_to_stop_lets_calls_come_back_and_gives_its_chunk_to_the_next(tmp_path: Path) -> None:
    async def act(prompt: str, call: int) -> None:
        await asyncio.sleep(0.2)

    async with openai_server(act) as provider:
        keys: dict[str, Any] = {
            "provider_keys": {"openai": "k"},
            "provider_urls": {"openai": provider.url},
            "max_in_flight": 3,
        }
        async with in_process_stack(tmp_path, **keys) as one:
            job_id = await one.submit(prompts(10) + b" " * 10_000, provider="openai")
            await split(one.app, job_id)
            working = asyncio.create_task(process_chunk(one.runtime, ProcessChunk(job_id=job_id, chunk=0)))
            while provider.in_flight < 3:
                await asyncio.sleep(0.005)
            one.app.stopping.set()
            await working
            stopped_after = provider.calls.total()
            one.app.stopping.clear()
            ended = await one.until_ended(job_id)

        assert stopped_after == 1 + 3  # the first goes alone
        assert (ended.status, ended.completed_count) == (Status.COMPLETED, 10)
        assert set(provider.calls.values()) == {1}
