"""The chunk store on Firestore: concurrent callers, lost answers, a restarted server."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from promptforge.adapters.gcp.billing import BilledOperation, BilledOperations
from promptforge.adapters.gcp.documents import FirestoreDocuments
from promptforge.domain.chunk import Chunk, ChunkCounts, ChunkRange
from promptforge.domain.job import JobTotals
from promptforge.errors import LeaseLost, Unavailable
from promptforge.ports.documents import Documents, Version, Write
from promptforge.state.chunks import ChunkStore, ClaimedChunk
from tests.fakes.flaky_proxy import FlakyProxy
from tests.harness.clock import ManualClock
from tests.harness.emulators import Firestore

pytestmark = pytest.mark.cloud

JOB = "00000000-0000-4000-8000-000000000000"


class LostAnswers:
    """Documents behind a proxy that applies the next `losses` commits but loses their answers."""

    def __init__(self, documents: Documents, near: Documents, proxy: FlakyProxy) -> None:
        self._documents = documents
        self._near = near
        self._proxy = proxy
        self.losses = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._documents, name)

    async def commit(self, writes: Sequence[Write]) -> list[Version]:
        if not self.losses:
            return await self._documents.commit(writes)
        self.losses -= 1
        before = await self._near.get(writes[0].path)
        self._proxy.discard_responses()
        answer = asyncio.ensure_future(self._documents.commit(writes))
        async with asyncio.timeout(4):
            while await self._near.get(writes[0].path) == before:
                await asyncio.sleep(0.01)
        assert not answer.done()
        await self._proxy.restore()
        await asyncio.wait([answer])
        # gRPC may notice the dropped connection late. A read is repeated until it reconnects, a commit is not.
        await self._documents.get(writes[0].path)
        return answer.result()


def chunk_store(documents: Documents) -> ChunkStore:
    return ChunkStore(documents, ManualClock(), random.Random(0))


def ranges(count: int) -> list[ChunkRange]:
    return [
        ChunkRange(number=at, start=at, end=at + 1, first_line=at + 1, last_line=at + 1, line_count=1)
        for at in range(count)
    ]


async def claimed(store: ChunkStore, number: int = 0, holder: str = "holder") -> ClaimedChunk:
    claim = await store.claim(JOB, number, holder, lease_seconds=60)
    assert isinstance(claim, ClaimedChunk)
    return claim


def completed_chunk(claim: ClaimedChunk, counts: ChunkCounts) -> Chunk:
    return claim.chunk.completed_with(None, None, counts)


async def chunk_of(store: ChunkStore) -> Chunk:
    (chunk,) = [chunk async for chunk in store.list_all(JOB)]
    return chunk


@asynccontextmanager
async def opened(
    project: str, address: str, operations: BilledOperations | None = None
) -> AsyncIterator[FirestoreDocuments]:
    documents = FirestoreDocuments(project, "(default)", operations or BilledOperations(), address)
    yield documents
    await documents.close()


@asynccontextmanager
async def lost_answers(project: str, firestore: Firestore) -> AsyncIterator[tuple[ChunkStore, LostAnswers]]:
    """Yield a store with one chunk, and its documents, whose answers can be lost."""
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(FlakyProxy(firestore.address))
        near = await stack.enter_async_context(opened(project, firestore.address))
        far = await stack.enter_async_context(opened(project, proxy.address))
        documents = LostAnswers(far, near, proxy)
        store = chunk_store(documents)
        await store.create_missing(JOB, ranges(1), due_at=0)
        yield store, documents


async def test_chunk_claim_by_twenty_holders_has_one_winner(firestore: Firestore, project: str) -> None:
    async with opened(project, firestore.address) as one, opened(project, firestore.address) as other:
        stores = [chunk_store(one), chunk_store(other)]
        await stores[0].create_missing(JOB, ranges(1), due_at=0)
        assert (await chunk_of(stores[1])).epoch == 0
        began = time.perf_counter()

        outcomes = await asyncio.gather(
            *(stores[number % 2].claim(JOB, 0, f"holder-{number}", lease_seconds=60) for number in range(20))
        )

        assert time.perf_counter() - began < 2
        (won,) = [outcome for outcome in outcomes if isinstance(outcome, ClaimedChunk)]
        assert won.chunk.epoch == 1
        assert won.chunk == await chunk_of(stores[0])
        assert all(outcome == won.chunk for outcome in outcomes if outcome is not won)


async def test_chunk_totals_of_concurrent_completions_are_exact(firestore: Firestore, project: str) -> None:
    operations = BilledOperations()
    async with opened(project, firestore.address, operations) as documents:
        store = chunk_store(documents)
        await store.create_missing(JOB, ranges(200), due_at=0)
        claims = await asyncio.gather(*(claimed(store, number) for number in range(200)))

        await asyncio.gather(
            *(store.update(each, completed_chunk(each, ChunkCounts(each.chunk.number, 1, 2**40))) for each in claims)
        )

        totals = JobTotals(completed=sum(range(200)), failed=200, tokens=200 * 2**40)
        assert await store.totals(JOB) == totals
        assert not await store.has_open(JOB)
    assert operations.counts[BilledOperation.DOCUMENT_WRITE] == 3 * 200


async def test_commit_with_lost_answer_raises_unavailable(firestore: Firestore, project: str) -> None:
    async with lost_answers(project, firestore) as (store, documents):
        claim = await claimed(store)
        documents.losses = 1

        with pytest.raises(Unavailable):
            await store.update(claim, claim.chunk.model_copy(update={"completed": 1}))

        assert (await chunk_of(store)).completed == 1


async def test_chunk_claim_with_lost_answer_recognises_own_write(firestore: Firestore, project: str) -> None:
    async with lost_answers(project, firestore) as (store, documents):
        documents.losses = 1

        claim = await claimed(store)

        assert claim.chunk.epoch == 1
        assert (await store.update(claim, claim.chunk.model_copy(update={"completed": 1}))).chunk == await chunk_of(
            store
        )


async def test_chunk_completion_with_lost_answer_recognises_own_write(firestore: Firestore, project: str) -> None:
    async with lost_answers(project, firestore) as (store, documents):
        claim = await claimed(store)
        documents.losses = 1
        with pytest.raises(Unavailable):
            await store.update(claim, completed_chunk(claim, ChunkCounts(completed=1)))

        completed = await store.update(claim, completed_chunk(claim, ChunkCounts(completed=1)))

        assert completed.chunk == await chunk_of(store)
        assert (completed.chunk.open, completed.chunk.completed, completed.chunk.epoch) == (False, 1, 1)
        with pytest.raises(LeaseLost):
            await store.update(claim, claim.chunk.model_copy(update={"completed": 2}))


async def test_chunk_creation_with_lost_answer_creates_once(firestore: Firestore, project: str) -> None:
    async with lost_answers(project, firestore) as (store, documents):
        documents.losses = 1
        with pytest.raises(Unavailable):
            await store.create_missing(JOB, ranges(5)[1:], due_at=0)

        await store.create_missing(JOB, ranges(7), due_at=0)

        assert [chunk.number async for chunk in store.list_all(JOB)] == list(range(7))


async def test_firestore_restart_loses_nothing(project: str) -> None:
    firestore = Firestore()
    firestore.start()
    try:
        async with opened(project, firestore.address) as documents:
            store = chunk_store(documents)
            await store.create_missing(JOB, ranges(2), due_at=0)
            claim = await claimed(store)

            await asyncio.to_thread(firestore.restart, project)

            completed = await store.update(claim, completed_chunk(claim, ChunkCounts(completed=1)))
            other = await claimed(store, 1)
            assert [chunk async for chunk in store.list_all(JOB)] == [completed.chunk, other.chunk]
    finally:
        firestore.kill()
