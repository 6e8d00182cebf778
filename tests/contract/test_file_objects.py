"""The guarantees of files beyond the port: no leftovers, and one event for each object of a notifying bucket."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from promptforge.adapters.local.objects import FileObjects
from promptforge.adapters.local.queue import SqliteQueue
from promptforge.adapters.local.urls import UrlSigner
from promptforge.errors import ObjectExists, ObjectMissing, Unavailable
from tests.contract.object_data import Broken, broken, content
from tests.contract.stores import OpenDatabase
from tests.harness.clock import ManualClock

MakeBucket = Callable[[bool], FileObjects]


@pytest.fixture
def make_bucket(open_database: OpenDatabase, tmp_path: Path) -> MakeBucket:
    signer = UrlSigner(b"key", "http://127.0.0.1:8080")
    return lambda notify: FileObjects("uploads", tmp_path / "uploads", open_database(), signer, notify)


@pytest.fixture
def queue(open_database: OpenDatabase, clock: ManualClock) -> SqliteQueue:
    return SqliteQueue(open_database(), clock)


def file_count(bucket: FileObjects) -> int:
    return len(list(bucket.folder.iterdir()))


async def test_file_objects_failed_lost_and_repeated_writes_leave_no_files(make_bucket: MakeBucket) -> None:
    bucket = make_bucket(False)
    await bucket.create("a", b"one")

    await bucket.create("a", b"one")
    with pytest.raises(ObjectExists):
        await bucket.create("a", b"two")
    with pytest.raises(Broken):
        await bucket.create("b", broken(b"half"))
    with pytest.raises(ObjectMissing):
        await bucket.compose("b", ["a", "missing"])

    assert file_count(bucket) == 1


async def test_file_objects_write_cancelled_during_row_commit_keeps_file(
    make_bucket: MakeBucket, tmp_path: Path
) -> None:
    bucket = make_bucket(False)
    other = sqlite3.connect(tmp_path / "state.db", isolation_level=None)

    async def data() -> AsyncIterator[bytes]:
        yield b"one"
        other.execute("begin immediate")  # blocks the write of the row from here on

    creating = asyncio.create_task(bucket.create("a", data()))
    await asyncio.wait([creating], timeout=0.1)
    creating.cancel()
    await asyncio.wait([creating])
    other.execute("commit")
    other.close()

    assert creating.cancelled()
    assert await bucket.stat("a") is None or await content(bucket, "a") == b"one"
    await bucket.create("a", b"one")
    assert await content(bucket, "a") == b"one"


@pytest.mark.parametrize("name", [".", "..", "../uploads/1"])
async def test_file_objects_name_with_path_characters_stays_in_folder(make_bucket: MakeBucket, name: str) -> None:
    bucket = make_bucket(False)

    await bucket.create(name, b"one")

    assert await content(bucket, name) == b"one"
    assert file_count(bucket) == 1


async def test_file_objects_delete_removes_file(make_bucket: MakeBucket) -> None:
    bucket = make_bucket(False)
    await bucket.create("a", b"one")

    await bucket.delete("a")

    assert file_count(bucket) == 0


async def test_file_objects_sweep_removes_only_unreferenced_files(make_bucket: MakeBucket) -> None:
    bucket = make_bucket(False)
    await bucket.create("a", b"one")
    (bucket.folder / "999999").write_bytes(b"half of som")

    await bucket.sweep()

    assert file_count(bucket) == 1
    assert await content(bucket, "a") == b"one"


async def test_file_objects_truncated_file_is_not_read(make_bucket: MakeBucket) -> None:
    bucket = make_bucket(False)
    await bucket.create("a", b"one two")
    (await bucket.file_of("a")).write_bytes(b"one")

    with pytest.raises(Unavailable) as caught:
        await content(bucket, "a")
    assert (caught.value.dependency, caught.value.cause) == (bucket.bucket, "file_truncated")


async def test_file_objects_full_disk_raises_unavailable(make_bucket: MakeBucket) -> None:
    bucket = make_bucket(False)
    bucket.folder.rmdir()

    with pytest.raises(Unavailable) as caught:
        await bucket.create("a", b"one")
    assert (caught.value.dependency, caught.value.cause) == ("disk", "ENOENT")

    assert await bucket.stat("a") is None


async def test_file_objects_file_of_missing_object_raises(make_bucket: MakeBucket) -> None:
    bucket = make_bucket(False)
    await bucket.create("a", b"one")

    assert (await bucket.file_of("a")).read_bytes() == b"one"
    with pytest.raises(ObjectMissing):
        await bucket.file_of("b")


async def test_file_objects_create_with_notify_enqueues_one_event(make_bucket: MakeBucket, queue: SqliteQueue) -> None:
    bucket = make_bucket(True)

    info = await bucket.create("job/input.jsonl", b"one")
    await bucket.create("job/input.jsonl", b"one")

    (event,) = await queue.claim("bucket:uploads", 10, ack_seconds=60)
    data = json.loads(event.body)
    assert (data["bucket"], data["name"]) == ("uploads", "job/input.jsonl")
    assert (data["generation"], data["size"], data["crc32c"]) == (str(info.generation), "3", info.crc32c)


async def test_file_objects_failed_write_enqueues_no_event(make_bucket: MakeBucket, queue: SqliteQueue) -> None:
    with pytest.raises(Broken):
        await make_bucket(True).create("job/input.jsonl", broken(b"half"))

    assert await queue.claim("bucket:uploads", 10, ack_seconds=60) == []


async def test_file_objects_without_notify_enqueue_no_event(make_bucket: MakeBucket, queue: SqliteQueue) -> None:
    await make_bucket(False).create("job/input.jsonl", b"one")

    assert await queue.claim("bucket:uploads", 10, ack_seconds=60) == []
