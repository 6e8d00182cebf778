"""The ledger where Firestore keeps the state: many at once, answers that are lost, a server that is begun again."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from promptforge.adapters.gcp.billing import BilledOperation, BilledOperations
from promptforge.adapters.gcp.documents import FirestoreDocuments
from promptforge.domain.chunk import Chunk
from promptforge.domain.chunk import ChunkRange as Piece
from promptforge.errors import LeaseLost, Unavailable
from promptforge.ports.documents import Documents, Version, Write
from promptforge.state.chunks import ClaimedChunk, Ledger
from tests.fakes.flaky_proxy import FlakyProxy
from tests.harness.clock import HandClock
from tests.harness.emulators import Firestore

pytestmark = pytest.mark.cloud

JOB = "00000000-0000-4000-8000-000000000000"


class Severed:
    """Documents behind a cut: each of the next `losses` commits is made, and its answer is lost."""

    def __init__(self, documents: Documents, near: Documents, cut: FlakyProxy) -> None:
        self._documents = documents
        self._near = near
        self._cut = cut
        self.losses = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._documents, name)

    async def commit(self, writes: Sequence[Write]) -> list[Version]:
        if not self.losses:
            return await self._documents.commit(writes)
        self.losses -= 1
        before = await self._near.get(writes[0].path)
        self._cut.mute()
        answer = asyncio.ensure_future(self._documents.commit(writes))
        async with asyncio.timeout(4):
            while await self._near.get(writes[0].path) == before:
                await asyncio.sleep(0.01)
        assert not answer.done()
        await self._cut.resume()
        return await answer


def ledger_on(documents: Documents) -> Ledger:
    return Ledger(documents, HandClock(), random.Random(0))


def pieces(count: int) -> list[Piece]:
    return [
        Piece(number=at, start=at, end=at + 1, first_line=at + 1, last_line=at + 1, line_count=1) for at in range(count)
    ]


async def claimed(ledger: Ledger, number: int = 0, holder: str = "holder") -> ClaimedChunk:
    claim = await ledger.claim(JOB, number, holder, lease_seconds=60)
    assert isinstance(claim, ClaimedChunk)
    return claim


async def chunk_of(ledger: Ledger) -> Chunk:
    (chunk,) = [chunk async for chunk in ledger.list_all(JOB)]
    return chunk


@asynccontextmanager
async def opened(
    project: str, address: str, operations: BilledOperations | None = None
) -> AsyncIterator[FirestoreDocuments]:
    documents = FirestoreDocuments(project, "(default)", operations or BilledOperations(), address)
    yield documents
    await documents.close()


@asynccontextmanager
async def severed(project: str, firestore: Firestore) -> AsyncIterator[tuple[Ledger, Severed]]:
    """A ledger with one chunk, on documents that can be severed."""
    async with AsyncExitStack() as stack:
        cut = await stack.enter_async_context(FlakyProxy(firestore.address))
        near = await stack.enter_async_context(opened(project, firestore.address))
        far = await stack.enter_async_context(opened(project, cut.address))
        documents = Severed(far, near, cut)
        ledger = ledger_on(documents)
        await ledger.create_chunks(JOB, pieces(1), due_at=0)
        yield ledger, documents


async def test_of_twenty_that_claim_one_chunk_one_gets_it(firestore: Firestore, project: str) -> None:
    async with opened(project, firestore.address) as one, opened(project, firestore.address) as other:
        ledgers = [ledger_on(one), ledger_on(other)]
        await ledgers[0].create_chunks(JOB, pieces(1), due_at=0)
        assert (await chunk_of(ledgers[1])).epoch == 0
        began = time.perf_counter()

        outcomes = await asyncio.gather(
            *(ledgers[number % 2].claim(JOB, 0, f"holder-{number}", lease_seconds=60) for number in range(20))
        )

        assert time.perf_counter() - began < 2
        (won,) = [outcome for outcome in outcomes if isinstance(outcome, ClaimedChunk)]
        assert won.chunk.epoch == 1
        assert won.chunk == await chunk_of(ledgers[0])
        assert all(outcome == won.chunk for outcome in outcomes if outcome is not won)


async def test_two_hundred_chunks_settled_at_once_are_summed_right(firestore: Firestore, project: str) -> None:
    operations = BilledOperations()
    async with opened(project, firestore.address, operations) as documents:
        ledger = ledger_on(documents)
        await ledger.create_chunks(JOB, pieces(200), due_at=0)
        claims = await asyncio.gather(*(claimed(ledger, number) for number in range(200)))

        await asyncio.gather(
            *(
                ledger.update_chunk(each, open=False, completed=each.chunk.number, failed=1, tokens=2**40)
                for each in claims
            )
        )

        sums = {"completed": sum(range(200)), "failed": 200, "tokens": 200 * 2**40, "output_tokens": 0, "cost_nanos": 0}
        assert await ledger.totals(JOB) == sums
        assert not await ledger.has_open(JOB)
    assert operations.counts[BilledOperation.DOCUMENT_WRITE] == 3 * 200


async def test_a_commit_whose_answer_is_lost_is_unavailable_though_it_was_made(
    firestore: Firestore, project: str
) -> None:
    async with severed(project, firestore) as (ledger, documents):
        claim = await claimed(ledger)
        documents.losses = 1

        with pytest.raises(Unavailable):
            await ledger.update_chunk(claim, completed=1)

        assert (await chunk_of(ledger)).completed == 1


async def test_a_claim_whose_answer_is_lost_knows_its_own_write(firestore: Firestore, project: str) -> None:
    async with severed(project, firestore) as (ledger, documents):
        documents.losses = 1

        claim = await claimed(ledger)

        assert claim.chunk.epoch == 1
        assert (await ledger.update_chunk(claim, completed=1)).chunk == await chunk_of(ledger)


async def test_a_settling_whose_answer_is_lost_knows_its_own_write(firestore: Firestore, project: str) -> None:
    async with severed(project, firestore) as (ledger, documents):
        claim = await claimed(ledger)
        documents.losses = 1
        with pytest.raises(Unavailable):
            await ledger.update_chunk(claim, open=False, completed=1)

        settled = await ledger.update_chunk(claim, open=False, completed=1)

        assert settled.chunk == await chunk_of(ledger)
        assert (settled.chunk.open, settled.chunk.completed, settled.chunk.epoch) == (False, 1, 1)
        with pytest.raises(LeaseLost):
            await ledger.update_chunk(claim, completed=2)


async def test_chunks_whose_creation_lost_its_answer_are_created_once(firestore: Firestore, project: str) -> None:
    async with severed(project, firestore) as (ledger, documents):
        documents.losses = 1
        with pytest.raises(Unavailable):
            await ledger.create_chunks(JOB, pieces(5)[1:], due_at=0)

        await ledger.create_chunks(JOB, pieces(7), due_at=0)

        assert [chunk.number async for chunk in ledger.list_all(JOB)] == list(range(7))


async def test_a_server_that_is_begun_again_has_lost_nothing(project: str) -> None:
    firestore = Firestore()
    firestore.start()
    try:
        async with opened(project, firestore.address) as documents:
            ledger = ledger_on(documents)
            await ledger.create_chunks(JOB, pieces(2), due_at=0)
            claim = await claimed(ledger)

            await asyncio.to_thread(firestore.restart, project)

            settled = await ledger.update_chunk(claim, open=False, completed=1)
            other = await claimed(ledger, 1)
            assert [chunk async for chunk in ledger.list_all(JOB)] == [settled.chunk, other.chunk]
    finally:
        firestore.kill()
