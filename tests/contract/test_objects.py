import asyncio
from collections.abc import AsyncIterator

import pytest

from promptforge.errors import ObjectExists, ObjectMissing
from promptforge.ports.objects import ObjectInfo, Objects
from tests.contract.object_data import LARGE, Broken, blocks, broken, content
from tests.contract.stores import OpenObjects
from tests.harness.crc32c import checksum


async def test_objects_stat_of_missing_object_returns_none(objects: Objects) -> None:
    assert await objects.stat("job/part") is None


async def test_objects_read_of_missing_object_raises(objects: Objects) -> None:
    with pytest.raises(ObjectMissing):
        await content(objects, "job/part")


@pytest.mark.parametrize("data", [b"", b"x", b"123456789", LARGE])
async def test_objects_stat_describes_object(objects: Objects, data: bytes) -> None:
    info = await objects.create("job/part", data)

    assert info == ObjectInfo("job/part", info.generation, len(data), checksum(data))
    assert info.generation > 0
    assert await objects.stat("job/part") == info
    assert await content(objects, "job/part") == data


async def test_objects_checksum_has_cloud_storage_form(objects: Objects) -> None:
    # The published check value of CRC-32C: 0xE3069283.
    assert (await objects.create("job/part", b"123456789")).crc32c == "4waSgw=="


@pytest.mark.parametrize("name", ["a", "a/b/c", "a b", "\u00fc/\u4e2d", "a.b-c_d", "..a", "a/../b", "x" * 500])
async def test_objects_name_with_special_characters_is_literal(objects: Objects, name: str) -> None:
    await objects.create(name, b"one")
    await objects.create(name + "2", b"two")

    assert await content(objects, name) == b"one"
    assert await content(objects, name + "2") == b"two"


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (0, None),
        (0, 0),
        (0, 1),
        (3, 7),
        (3, None),
        (9, 10),
        (0, 10),
        (0, 11),
        (5, 10_000),
        (10, None),
        (10, 20),
        (99, None),
        (99, 100),
        (7, 3),
    ],
)
async def test_objects_range_past_end_is_cut(objects: Objects, start: int, end: int | None) -> None:
    await objects.create("job/part", b"0123456789")

    assert await content(objects, "job/part", start=start, end=end) == b"0123456789"[start:end]


@pytest.mark.parametrize(("start", "end"), [(1, len(LARGE) - 1), (1_048_575, 1_048_577), (2_000_000, None)])
async def test_objects_range_of_large_object_is_exact(objects: Objects, start: int, end: int | None) -> None:
    await objects.create("job/part", LARGE)

    assert await content(objects, "job/part", start=start, end=end) == LARGE[start:end]


@pytest.mark.parametrize(("start", "end"), [(0, None), (0, 5), (5, None), (5, 9)])
async def test_objects_empty_object_reads_as_nothing(objects: Objects, start: int, end: int | None) -> None:
    await objects.create("job/part", b"")

    assert await content(objects, "job/part", start=start, end=end) == b""


async def test_objects_create_with_other_content_raises_object_exists(objects: Objects) -> None:
    first = await objects.create("job/part", b"one")

    for other in (b"two", b"", b"one and more"):
        with pytest.raises(ObjectExists):
            await objects.create("job/part", other)

    assert await objects.stat("job/part") == first
    assert await content(objects, "job/part") == b"one"


async def test_objects_repeated_equal_create_returns_first_object(objects: Objects) -> None:
    first = await objects.create("job/part", b"one two")

    assert await objects.create("job/part", b"one two") == first
    assert await objects.create("job/part", blocks(b"one ", b"two")) == first


@pytest.mark.parametrize("parts", [[], [b""], [b"a"], [b"a", b"", b"b", b"c" * 2_000_000]])
async def test_objects_create_accepts_blocks(objects: Objects, parts: list[bytes]) -> None:
    info = await objects.create("job/part", blocks(*parts))

    assert (info.size, info.crc32c) == (len(b"".join(parts)), checksum(b"".join(parts)))
    assert await content(objects, "job/part") == b"".join(parts)


async def test_objects_create_in_many_requests_is_complete(objects: Objects) -> None:
    parts = [bytes([number]) * 2_500_000 for number in range(8)]

    info = await objects.create("job/part", blocks(*parts))

    assert (info.size, info.crc32c) == (20_000_000, checksum(b"".join(parts)))
    assert await content(objects, "job/part") == b"".join(parts)
    assert await content(objects, "job/part", start=7, end=19_999_999) == b"".join(parts)[7:-1]


async def test_objects_create_in_many_requests_is_create_only(objects: Objects) -> None:
    data = LARGE * 8
    first = await objects.create("job/part", blocks(data))

    assert await objects.create("job/part", blocks(data)) == first
    with pytest.raises(ObjectExists):
        await objects.create("job/part", blocks(data, b"more"))

    assert await objects.stat("job/part") == first


async def test_objects_create_from_failing_stream_creates_nothing(objects: Objects) -> None:
    with pytest.raises(Broken):
        await objects.create("job/part", broken(b"half of ", b"it"))

    assert await objects.stat("job/part") is None
    await objects.create("job/part", b"whole")
    assert await content(objects, "job/part") == b"whole"


async def test_objects_cancelled_create_is_complete_or_absent(objects: Objects) -> None:
    for step in range(15):
        creating = asyncio.create_task(objects.create(f"job/{step}", blocks(b"half of ", b"it")))
        await asyncio.wait([creating], timeout=step / 2000)  # each run is cancelled at another point
        creating.cancel()
        await asyncio.wait([creating])

        assert await objects.stat(f"job/{step}") is None or await content(objects, f"job/{step}") == b"half of it"
        await objects.create(f"job/{step}", b"half of it")
        assert await content(objects, f"job/{step}") == b"half of it"


async def test_objects_object_is_invisible_until_complete(objects: Objects) -> None:
    seen: list[ObjectInfo | None] = []

    async def watched() -> AsyncIterator[bytes]:
        yield b"half of "
        seen.append(await objects.stat("job/part"))
        yield b"it"

    await objects.create("job/part", watched())

    assert seen == [None]


async def test_objects_read_pinned_to_generation_detects_replacement(objects: Objects) -> None:
    info = await objects.create("job/part", b"one")

    assert await content(objects, "job/part", generation=info.generation) == b"one"
    with pytest.raises(ObjectMissing):
        await content(objects, "job/part", generation=info.generation + 1)


async def test_objects_recreated_object_has_new_generation(objects: Objects) -> None:
    first = await objects.create("job/part", b"one")
    await objects.delete("job/part")

    second = await objects.create("job/part", b"one")

    assert second.generation != first.generation
    assert await content(objects, "job/part", generation=second.generation) == b"one"
    with pytest.raises(ObjectMissing):
        await content(objects, "job/part", generation=first.generation)


async def test_objects_delete_is_idempotent(objects: Objects) -> None:
    await objects.create("job/part", b"one")

    await objects.delete("job/part")
    await objects.delete("job/part")
    await objects.delete("job/never")

    assert await objects.stat("job/part") is None
    with pytest.raises(ObjectMissing):
        await content(objects, "job/part")


async def test_objects_delete_keeps_neighbours(objects: Objects) -> None:
    for name in ("job/part", "job/part2", "job", "job/part/below"):
        await objects.create(name, name.encode())

    await objects.delete("job/part")

    assert [await content(objects, name) for name in ("job/part2", "job", "job/part/below")] == [
        b"job/part2",
        b"job",
        b"job/part/below",
    ]


async def test_objects_abandoned_read_has_no_effect(objects: Objects) -> None:
    await objects.create("job/part", LARGE)
    reading = objects.read("job/part")

    first = await anext(reading)
    await objects.delete("job/part")

    assert LARGE.startswith(first)
    await objects.create("job/part", b"new")
    assert await content(objects, "job/part") == b"new"


async def test_objects_other_instance_sees_same_bucket(open_objects: OpenObjects) -> None:
    one, other = open_objects("bucket"), open_objects("bucket")

    info = await one.create("job/part", b"one")

    assert await other.stat("job/part") == info
    assert await content(other, "job/part", generation=info.generation) == b"one"
    with pytest.raises(ObjectExists):
        await other.create("job/part", b"two")


async def test_objects_buckets_are_separate(open_objects: OpenObjects) -> None:
    one, other = open_objects("uploads"), open_objects("results")
    await one.create("job/part", b"one")

    assert await other.stat("job/part") is None
    await other.create("job/part", b"two")
    await other.delete("job/part")
    assert await content(one, "job/part") == b"one"


async def test_objects_concurrent_creates_have_one_winner(open_objects: OpenObjects) -> None:
    buckets = [open_objects("bucket"), open_objects("bucket")]
    texts = [f"content {number}".encode() for number in range(16)]

    outcomes = await asyncio.gather(
        *(buckets[number % 2].create("job/part", blocks(text)) for number, text in enumerate(texts)),
        return_exceptions=True,
    )

    winners = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, ObjectInfo)]
    assert len(winners) == 1
    assert sum(isinstance(outcome, ObjectExists) for outcome in outcomes) == 15
    assert await content(buckets[0], "job/part") == texts[winners[0]]


async def test_objects_concurrent_equal_creates_all_succeed(open_objects: OpenObjects) -> None:
    buckets = [open_objects("bucket"), open_objects("bucket")]

    infos = await asyncio.gather(*(buckets[number % 2].create("job/part", b"same") for number in range(16)))

    assert len(set(infos)) == 1
    assert await content(buckets[0], "job/part", generation=infos[0].generation) == b"same"


async def test_objects_list_returns_names_by_prefix_in_order(objects: Objects) -> None:
    for name in ("b/2", "b/10", "a", "b", "bb/1", "b/é", "c/1"):
        await objects.create(name, b"x")

    assert [name async for name in objects.list("b/")] == ["b/10", "b/2", "b/é"]
    assert [name async for name in objects.list("")] == ["a", "b", "b/10", "b/2", "b/é", "bb/1", "c/1"]
    assert [name async for name in objects.list("z")] == []


async def test_objects_list_continues_after_first_page(objects: Objects) -> None:
    names = [f"many/{number:05d}" for number in range(1001)]
    for name in names:
        await objects.create(name, b"")

    assert [name async for name in objects.list("many/")] == names
