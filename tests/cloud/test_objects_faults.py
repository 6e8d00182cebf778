"""Faults between the adapter and Cloud Storage, and their effects."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from promptforge.adapters.gcp.objects import BLOCK_BYTES, BucketObjects
from promptforge.errors import ObjectExists, Unavailable
from tests.cloud.conftest import OpenBucket
from tests.contract.object_data import Broken, blocks, broken, content
from tests.fakes.storage import FakeStorage, StorageFault
from tests.harness.crc32c import checksum

SMALL, LARGE = b"one two", bytes(range(251)) * 80_000  # sent in one request, and in a session of three pieces
LAST_WRITE = {
    SMALL: [("POST", StorageFault.RESPONSE_LOST)],
    LARGE: [("PUT", StorageFault.NONE), ("PUT", StorageFault.NONE), ("PUT", StorageFault.RESPONSE_LOST)],
}


def stored(storage: FakeStorage) -> dict[str, bytes]:
    return {name: found.data for name, found in storage.buckets["bucket"].objects.items()}


async def all_sessions_end(storage: FakeStorage) -> bool:
    """Return whether every session ends within 2 seconds."""
    for _ in range(100):
        if all(session.created for session in storage.buckets["bucket"].sessions.values()):
            return True
        await asyncio.sleep(0.02)
    return False


@pytest.mark.parametrize("fault", [StorageFault.RESPONSE_LOST, StorageFault.UNAVAILABLE, StorageFault.THROTTLED])
@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
async def test_create_with_one_fault_at_each_step_writes_once(
    storage: FakeStorage, bucket: BucketObjects, fault: StorageFault, data: bytes
) -> None:
    events: list[dict[str, str]] = []

    async def record_event(resource: dict[str, str]) -> None:
        events.append(resource)

    storage.on_finalized = record_event
    storage.faults = [("POST /upload", fault), ("PUT /upload", fault)]

    info = await bucket.create("job/part", blocks(data))

    assert (info.size, info.crc32c) == (len(data), checksum(data))
    assert stored(storage) == {"job/part": data}
    assert [event["generation"] for event in events] == [str(info.generation)]


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
async def test_create_with_lost_answer_recognises_own_object(
    storage: FakeStorage, open_bucket: OpenBucket, data: bytes
) -> None:
    without_retries, bucket = open_bucket(0), open_bucket(20)
    storage.faults = list(LAST_WRITE[data])
    with pytest.raises(Unavailable):
        await without_retries.create("job/part", data)
    assert stored(storage) == {"job/part": data}

    assert await bucket.create("job/part", data) == await bucket.stat("job/part")
    with pytest.raises(ObjectExists):
        await bucket.create("job/part", data[:-1] + b"!")
    assert stored(storage) == {"job/part": data}


async def test_compose_with_lost_answer_succeeds(storage: FakeStorage, bucket: BucketObjects) -> None:
    for number in range(3):
        await bucket.create(f"part/{number}", b"%d\n" % number)
    storage.faults = [("/compose", StorageFault.RESPONSE_LOST)]

    info = await bucket.compose("whole", ["part/0", "part/1", "part/2"])

    assert info == await bucket.stat("whole")
    assert stored(storage)["whole"] == b"0\n1\n2\n"


async def test_delete_with_lost_answer_succeeds(storage: FakeStorage, bucket: BucketObjects) -> None:
    await bucket.create("job/part", SMALL)
    storage.faults = [("DELETE", StorageFault.RESPONSE_LOST)]

    await bucket.delete("job/part")

    assert stored(storage) == {}


async def test_upload_of_half_stored_piece_continues(storage: FakeStorage, bucket: BucketObjects) -> None:
    storage.faults = [("PUT /upload", StorageFault.HALF_STORED)] * 3

    await bucket.create("job/part", LARGE)

    assert stored(storage) == {"job/part": LARGE}


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
async def test_upload_of_damaged_content_is_rejected(storage: FakeStorage, bucket: BucketObjects, data: bytes) -> None:
    storage.faults = [("PUT /upload" if data is LARGE else "POST /upload", StorageFault.CORRUPTED)]

    with pytest.raises(Unavailable):
        await bucket.create("job/part", data)

    assert stored(storage) == {}
    await bucket.create("job/part", data)
    assert stored(storage) == {"job/part": data}


async def test_create_from_failing_stream_leaves_no_object_and_no_session(
    storage: FakeStorage, bucket: BucketObjects
) -> None:
    with pytest.raises(Broken):
        await bucket.create("job/part", broken(LARGE))

    assert await all_sessions_end(storage)
    assert stored(storage) == {}


@pytest.mark.parametrize("after", range(4))
async def test_create_cancelled_leaves_no_object_and_no_session(
    storage: FakeStorage, bucket: BucketObjects, after: int
) -> None:
    sent = asyncio.Event()

    async def source() -> AsyncIterator[bytes]:
        for _ in range(after):
            yield LARGE
        sent.set()
        await asyncio.Event().wait()

    creating = asyncio.create_task(bucket.create("job/part", source()))
    await sent.wait()
    creating.cancel()
    await asyncio.wait([creating])

    assert creating.cancelled()
    assert await all_sessions_end(storage)
    assert stored(storage) == {}


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_download_interrupted_continues(storage: FakeStorage, bucket: BucketObjects, times: int) -> None:
    await bucket.create("job/part", LARGE)
    storage.faults = [("alt=media", StorageFault.DISCONNECTED)] * times

    assert await content(bucket, "job/part") == LARGE


async def test_download_always_interrupted_raises_unavailable(storage: FakeStorage, open_bucket: OpenBucket) -> None:
    bucket = open_bucket(0.5)
    await bucket.create("job/part", LARGE)
    storage.faults = [("alt=media", StorageFault.NONE), *[("alt=media", StorageFault.DISCONNECTED)] * 100]
    reading = bucket.read("job/part")

    first = await anext(reading)
    with pytest.raises(Unavailable):
        await anext(reading)

    assert first == LARGE[:BLOCK_BYTES]


async def test_call_failing_longer_than_retry_time_raises_unavailable(
    storage: FakeStorage, open_bucket: OpenBucket
) -> None:
    bucket = open_bucket(0.5)
    storage.faults = [("", StorageFault.UNAVAILABLE)] * 1000

    for call in (bucket.stat("a"), bucket.create("a", SMALL), bucket.compose("a", ["b"]), bucket.delete("a")):
        with pytest.raises(Unavailable):
            await call
    with pytest.raises(Unavailable):
        await anext(bucket.list("a"))
