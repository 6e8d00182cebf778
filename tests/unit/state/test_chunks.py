"""The store of chunks: claims, writes under an epoch, conflicts, pages, and cached totals."""

import asyncio
from pathlib import Path

import pytest

from promptforge.domain.chunk import Chunk, ChunkCounts, ChunkRange, Segment
from promptforge.domain.commands import ProcessChunk
from promptforge.domain.job import JobTotals
from promptforge.domain.timeouts import TOTALS_CACHE_SECONDS
from promptforge.errors import LeaseLost
from promptforge.pipeline.split import split
from promptforge.ports.documents import Delete
from promptforge.state.chunks import ClaimedChunk, chunk_path
from promptforge.state.commit import PAGE_SIZE
from promptforge.worker.process_chunk import process_chunk
from tests.fakes.faulty_documents import Contended, LostReplies
from tests.harness.clock import ManualClock
from tests.harness.context import replaced_adapters
from tests.harness.in_process import InProcessStack, in_process_stack
from tests.harness.lines import prompts

LEASE_SECONDS = 60


def ranges(count: int) -> list[ChunkRange]:
    return [
        ChunkRange(number=at, start=at, end=at + 1, first_line=at + 1, last_line=at + 1, line_count=1)
        for at in range(count)
    ]


async def job_with_chunks(stack: InProcessStack, count: int = 1, due_at: float = 0.0) -> str:
    job_id: str = (await stack.init())["job_id"]
    await stack.context.chunks.create_missing(job_id, ranges(count), due_at)
    return job_id


async def stored(stack: InProcessStack, job_id: str, number: int = 0) -> Chunk:
    return [chunk async for chunk in stack.context.chunks.list_all(job_id)][number]


async def claimed(stack: InProcessStack, job_id: str, holder: str = "holder") -> ClaimedChunk:
    claim = await stack.context.chunks.claim(job_id, 0, holder, LEASE_SECONDS)
    assert isinstance(claim, ClaimedChunk)
    return claim


def completed(chunk: Chunk, results: int = 1) -> Chunk:
    return chunk.completed_with(None, None, ChunkCounts(completed=results))


def with_cost(chunk: Chunk, cost: int) -> Chunk:
    return chunk.with_calls({}, cost)


async def test_chunks_claim_of_twenty_at_once_has_one_winner(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        job_id = await job_with_chunks(stack)
        claims = await asyncio.gather(
            *[stack.context.chunks.claim(job_id, 0, f"h{n}", LEASE_SECONDS) for n in range(20)]
        )

        winners = [claim for claim in claims if isinstance(claim, ClaimedChunk)]
        assert [claim.chunk.epoch for claim in winners] == [1]
        assert all(isinstance(claim, Chunk) and claim.epoch == 1 for claim in claims if claim not in winners)


async def test_chunks_claim_repeated_by_its_holder_is_the_same_claim(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        job_id = await job_with_chunks(stack)
        first = await claimed(stack, job_id)

        assert await claimed(stack, job_id) == first
        assert await stack.context.chunks.claim(job_id, 1, "holder", LEASE_SECONDS) is None


async def test_chunks_claim_whose_reply_was_lost_recognises_its_own_write(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        job_id = await job_with_chunks(stack)
        documents = LostReplies(stack.context.documents)
        documents.lose_next = lambda writes: True
        async with replaced_adapters(stack, documents=documents):
            claim = await claimed(stack, job_id)

        assert (claim.chunk.holder, claim.chunk.epoch) == ("holder", 1)
        assert documents.lose_next is None


async def test_chunks_claim_counts_a_vanished_holder_as_a_crash_and_a_release_as_none(tmp_path: Path) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock) as stack:
        job_id = await job_with_chunks(stack)
        first = await claimed(stack, job_id, "first")
        clock.advance(LEASE_SECONDS + 1)
        second = await claimed(stack, job_id, "second")
        released = second.chunk.released(clock.now() + 30, clock.now() + 90, progressed=False)
        await stack.context.chunks.update(second, released)
        deferred = await stack.context.chunks.claim(job_id, 0, "third", LEASE_SECONDS)
        clock.advance(30)
        third = await claimed(stack, job_id, "third")

        assert isinstance(deferred, Chunk)
        assert [claim.chunk.crash_count for claim in (first, second, third)] == [0, 1, 1]
        assert [claim.chunk.epoch for claim in (first, second, third)] == [1, 2, 3]
        assert third.chunk.due_at == clock.now() + LEASE_SECONDS


async def test_chunks_update_under_an_expired_epoch_raises_lease_lost(tmp_path: Path) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock) as stack:
        job_id = await job_with_chunks(stack)
        old = await claimed(stack, job_id, "old")
        clock.advance(LEASE_SECONDS + 1)
        new = await claimed(stack, job_id, "new")

        assert new.chunk.epoch == old.chunk.epoch + 1
        flushed = old.chunk.checkpointed(Segment(name="s", size=1), ChunkCounts(completed=1), clock.time)
        for chunk in (completed(old.chunk), flushed, old.chunk.renewed(clock.time + 60)):
            with pytest.raises(LeaseLost):
                await stack.context.chunks.update(old, chunk)
        assert await stored(stack, job_id) == new.chunk
        assert (await stack.context.chunks.update(new, completed(new.chunk))).chunk.completed == 1


async def test_chunks_claim_and_update_with_conflicts_are_made_in_the_end(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        job_id = await job_with_chunks(stack)
        documents = Contended(stack.context.documents)
        async with replaced_adapters(stack, documents=documents):
            documents.rivals = 3
            claim = await claimed(stack, job_id)
            documents.rivals = 3
            updated = await stack.context.chunks.update(claim, with_cost(claim.chunk, 7))

            assert (claim.chunk.epoch, updated.chunk.cost_nanos, documents.rivals) == (1, 7, 0)
            assert await stored(stack, job_id) == updated.chunk
            assert (await stack.context.chunks.update(updated, with_cost(updated.chunk, 8))).chunk.cost_nanos == 8


async def test_chunks_update_of_a_complete_chunk_neither_changes_nor_reopens_it(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        job_id = await job_with_chunks(stack)
        claim = await claimed(stack, job_id)
        complete = await stack.context.chunks.update(claim, completed(claim.chunk))

        with pytest.raises(LeaseLost):
            await stack.context.chunks.update(claim, claim.chunk.renewed(9e9))
        again = await stack.context.chunks.update(claim, completed(claim.chunk, results=0))
        assert again.chunk == complete.chunk == await stored(stack, job_id)
        assert (await stack.context.chunks.update(again, again.chunk)).chunk.completed == 1


async def test_chunks_update_of_a_deleted_chunk_raises_lease_lost(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        job_id = await job_with_chunks(stack)
        claim = await claimed(stack, job_id)
        await stack.context.documents.commit([Delete(chunk_path(job_id, 0), claim.version)])

        with pytest.raises(LeaseLost):
            await stack.context.chunks.update(claim, with_cost(claim.chunk, 1))


async def test_chunks_expire_lease_only_of_an_unchanged_chunk_and_counts_a_crash(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        chunks, job_id = stack.context.chunks, await job_with_chunks(stack)
        outdated = await stored(stack, job_id)
        claim = await claimed(stack, job_id)
        leased = (await chunks.update(claim, claim.chunk.model_copy(update={"resume_at": 5.0}))).chunk

        assert not await chunks.expire_lease(job_id, outdated, due_at=7.0)
        assert await stored(stack, job_id) == leased
        assert await chunks.expire_lease(job_id, leased, due_at=7.0)
        expired = await stored(stack, job_id)
        assert (expired.holder, expired.due_at, expired.resume_at, expired.crash_count) == (None, 7.0, 0.0, 1)
        assert await chunks.expire_lease(job_id, expired, due_at=8.0)
        assert (await stored(stack, job_id)).crash_count == 1
        assert not await chunks.expire_lease(job_id, expired.model_copy(update={"number": 4}), due_at=8.0)


async def test_chunks_expire_lease_with_a_conflict_leaves_the_lease(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        job_id = await job_with_chunks(stack)
        leased = (await claimed(stack, job_id)).chunk
        documents = Contended(stack.context.documents)
        documents.rivals = 1
        async with replaced_adapters(stack, documents=documents):
            assert not await stack.context.chunks.expire_lease(job_id, leased, due_at=7.0)

        current = await stored(stack, job_id)
        assert current.model_dump(exclude={"rival"}) == leased.model_dump()


@pytest.mark.parametrize("count", [PAGE_SIZE, PAGE_SIZE + 1, 2 * PAGE_SIZE])
async def test_chunks_lists_read_every_page(tmp_path: Path, count: int) -> None:
    async with in_process_stack(tmp_path) as stack:
        chunks, job_id = stack.context.chunks, await job_with_chunks(stack, count, due_at=1.0)

        assert [chunk.number async for chunk in chunks.list_all(job_id)] == list(range(count))
        assert len([chunk async for chunk in chunks.list_open(job_id, due_before=1.0)]) == count


async def test_chunks_list_open_yields_chunks_due_now_and_none_later(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        job_id: str = (await stack.init())["job_id"]
        for each, due_at in zip(ranges(3), (30.0, 10.0, 20.0), strict=True):
            await stack.context.chunks.create_missing(job_id, [each], due_at)

        assert [chunk.number async for chunk in stack.context.chunks.list_open(job_id, due_before=20.0)] == [1, 2]


async def test_chunks_create_missing_twice_keeps_existing_chunks(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as stack:
        chunks, job_id = stack.context.chunks, await job_with_chunks(stack, 2, due_at=1.0)
        claim = await claimed(stack, job_id)
        await chunks.create_missing(job_id, ranges(5), due_at=2.0)
        await chunks.create_missing(job_id, ranges(5), due_at=3.0)

        assert [chunk.due_at async for chunk in chunks.list_all(job_id)] == [claim.chunk.due_at, 1.0, 2.0, 2.0, 2.0]
        assert await stored(stack, job_id) == claim.chunk


async def test_chunks_totals_are_summed_once_a_second_also_after_a_clock_set_back(tmp_path: Path) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock) as stack:
        chunks, job_id = stack.context.chunks, await job_with_chunks(stack)
        claim = await claimed(stack, job_id)
        seen = [(await chunks.totals(job_id)).tokens]
        for tokens, seconds in ((1, TOTALS_CACHE_SECONDS - 0.25), (2, 0.25), (3, 0.0), (4, -3600.0)):
            counts = ChunkCounts(completed=tokens, failed=tokens, tokens=tokens)
            segment = Segment(name=f"s{tokens}", size=1)
            claim = await chunks.update(claim, claim.chunk.checkpointed(segment, counts, claim.chunk.due_at))
            clock.advance(seconds)
            seen.append((await chunks.totals(job_id)).tokens)

        assert seen == [0, 0, 2, 2, 4]
        assert await chunks.totals(job_id) == JobTotals(completed=4, failed=4, tokens=4, output_tokens=0, cost_nanos=0)


async def test_chunks_totals_in_the_status_are_at_most_a_second_old(tmp_path: Path) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock, chunk_lines=1) as stack:
        job_id = await stack.submit(prompts(4))
        await split(stack.context, job_id)
        assert (await stack.status(job_id))["completed_count"] == 0
        await process_chunk(stack.runtime, ProcessChunk(job_id=job_id, chunk=0))
        assert (await stack.status(job_id))["completed_count"] == 0
        clock.advance(1)
        assert (await stack.status(job_id))["completed_count"] == 1
