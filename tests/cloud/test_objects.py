"""The requests of the Cloud Storage adapter, and their counts."""

import asyncio
from collections import Counter

import pytest

from promptforge.adapters.gcp.billing import BilledOperation, BilledOperations
from promptforge.adapters.gcp.objects import BLOCK_BYTES, THREADS, BucketObjects
from promptforge.adapters.gcp.signing import SignedUrls
from promptforge.errors import ObjectExists, PromptForgeError, Unavailable
from tests.contract.object_data import blocks, content
from tests.fakes.storage import FakeStorage

LARGE = b"x" * (2 * BLOCK_BYTES + 1)


def take_counts(operations: BilledOperations) -> Counter[BilledOperation]:
    """Return the counts since the last call."""
    counts = operations.counts.copy()
    operations.counts.clear()
    return counts


async def test_bucket_operations_are_counted_as_billed(bucket: BucketObjects, operations: BilledOperations) -> None:
    await bucket.create("a/1", b"one")
    assert take_counts(operations) == {BilledOperation.CLASS_A: 1}

    await bucket.create("a/1", b"one")  # rejected, then compared by its metadata
    assert take_counts(operations) == {BilledOperation.CLASS_A: 1, BilledOperation.CLASS_B: 1}

    info = await bucket.create("a/2", blocks(LARGE))  # a session is one operation, and its pieces are free
    assert take_counts(operations) == {BilledOperation.CLASS_A: 1}

    await content(bucket, "a/2", generation=info.generation, start=5, end=100)
    assert take_counts(operations) == {BilledOperation.CLASS_B: 1}

    await content(bucket, "a/2")  # one request for the size, three for the blocks
    assert take_counts(operations) == {BilledOperation.CLASS_B: 4}

    await bucket.compose("b", ["a/1", "a/2"])
    assert [name async for name in bucket.list("a/")] == ["a/1", "a/2"]
    assert take_counts(operations) == {BilledOperation.CLASS_A: 2}

    await bucket.delete("b")
    await bucket.upload_url("c", 1_800_000_900)
    assert take_counts(operations) == {BilledOperation.OBJECT_DELETE: 1, BilledOperation.SIGN: 1}


async def test_bucket_library_makes_no_extra_requests(storage: FakeStorage, bucket: BucketObjects) -> None:
    await bucket.create("a", b"one")
    await bucket.stat("a")
    await bucket.stat("b")
    await asyncio.sleep(0.05)

    assert [request.partition("?")[0] for request in storage.requests] == [
        "POST /upload/storage/v1/b/bucket/o",
        "GET /storage/v1/b/bucket/o/a",
        "GET /storage/v1/b/bucket/o/b",
    ]


async def test_bucket_large_objects_are_transferred_in_blocks(storage: FakeStorage, bucket: BucketObjects) -> None:
    await bucket.create("a", blocks(LARGE))

    sizes = [len(block) async for block in bucket.read("a")]

    assert sizes == [BLOCK_BYTES, BLOCK_BYTES, 1]
    assert sum(request.startswith("PUT") for request in storage.requests) == 3


async def test_bucket_pinned_read_past_end_is_cut(bucket: BucketObjects) -> None:
    info = await bucket.create("a", b"0123456789")
    empty = await bucket.create("b", b"")

    assert await content(bucket, "a", generation=info.generation, start=7, end=99) == b"789"
    assert await content(bucket, "a", generation=info.generation, start=10, end=99) == b""
    assert await content(bucket, "b", generation=empty.generation, start=0, end=99) == b""


async def test_bucket_calls_beyond_thread_limit_wait(storage: FakeStorage, bucket: BucketObjects) -> None:
    await asyncio.gather(*(bucket.stat(f"{number}") for number in range(10 * THREADS)))

    assert len(storage.requests) == 10 * THREADS
    assert storage.max_in_flight <= THREADS


async def test_bucket_object_with_other_size_or_checksum_differs(bucket: BucketObjects) -> None:
    await bucket.create("a", LARGE)

    for other in (LARGE[:-1] + b"y", LARGE[:-1], LARGE + b"x", b"y" + LARGE[1:], b""):
        with pytest.raises(ObjectExists):
            await bucket.create("a", blocks(other))


async def test_bucket_missing_makes_writes_fail(
    storage: FakeStorage, urls: SignedUrls, operations: BilledOperations
) -> None:
    missing = BucketObjects("nowhere", urls, operations, storage.url)

    with pytest.raises(PromptForgeError):
        await missing.create("a", b"one")
    assert await missing.stat("a") is None
    missing.close()


async def test_bucket_uses_emulator_of_environment(
    storage: FakeStorage, urls: SignedUrls, operations: BilledOperations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage.url)  # the only switch that the library has
    bucket = BucketObjects("bucket", urls, operations)

    await bucket.create("a", b"one")

    assert storage.buckets["bucket"].objects["a"].data == b"one"
    bucket.close()


async def test_bucket_without_server_raises_unavailable(urls: SignedUrls, operations: BilledOperations) -> None:
    bucket = BucketObjects("bucket", urls, operations, "http://127.0.0.1:9", retry_seconds=0.2)

    with pytest.raises(Unavailable) as caught:
        await bucket.stat("a")
    assert caught.value.dependency == "bucket"
    bucket.close()
