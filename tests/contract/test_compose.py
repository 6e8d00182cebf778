import asyncio

import pytest

from promptforge.errors import ObjectExists, ObjectMissing
from promptforge.ports.objects import MAX_COMPOSE, Objects
from tests.contract.object_data import LARGE, content
from tests.harness.crc32c import checksum


async def parts(objects: Objects, count: int) -> list[str]:
    names = [f"job/parts/{number:03d}" for number in range(count)]
    for number, name in enumerate(names):
        await objects.create(name, b"%d\n" % number)
    return names


@pytest.mark.parametrize("count", [1, 2, MAX_COMPOSE])
async def test_compose_joins_sources_in_order(objects: Objects, count: int) -> None:
    names = await parts(objects, count)

    info = await objects.compose("job/whole", names[::-1])

    expected = b"".join(b"%d\n" % number for number in reversed(range(count)))
    assert (info.name, info.size, info.crc32c) == ("job/whole", len(expected), checksum(expected))
    assert await objects.stat("job/whole") == info
    assert await content(objects, "job/whole") == expected


async def test_compose_keeps_sources(objects: Objects) -> None:
    names = await parts(objects, 3)

    await objects.compose("job/whole", names)

    assert [await content(objects, name) for name in names] == [b"0\n", b"1\n", b"2\n"]


@pytest.mark.parametrize("count", [0, MAX_COMPOSE + 1])
async def test_compose_with_wrong_source_count_raises(objects: Objects, count: int) -> None:
    with pytest.raises(ValueError, match=str(MAX_COMPOSE)):
        await objects.compose("job/whole", ["job/part"] * count)

    assert await objects.stat("job/whole") is None


async def test_compose_with_missing_source_creates_nothing(objects: Objects) -> None:
    names = await parts(objects, 2)

    with pytest.raises(ObjectMissing):
        await objects.compose("job/whole", [*names, "job/parts/missing"])

    assert await objects.stat("job/whole") is None


async def test_compose_repeated_returns_first_object(objects: Objects) -> None:
    names = await parts(objects, 3)

    first = await objects.compose("job/whole", names)

    assert await objects.compose("job/whole", names) == first


async def test_compose_by_two_callers_creates_one_object(objects: Objects) -> None:
    names = await parts(objects, 3)

    infos = await asyncio.gather(*(objects.compose("job/whole", names) for _ in range(5)))

    assert len(set(infos)) == 1


async def test_compose_over_other_content_raises_object_exists(objects: Objects) -> None:
    names = await parts(objects, 3)
    await objects.create("job/whole", b"something else")

    with pytest.raises(ObjectExists):
        await objects.compose("job/whole", names)

    assert await content(objects, "job/whole") == b"something else"


async def test_compose_accepts_repeated_large_and_empty_sources(objects: Objects) -> None:
    await objects.create("job/large", LARGE)
    await objects.create("job/empty", b"")

    await objects.compose("job/whole", ["job/empty", "job/large", "job/empty", "job/large"])

    assert await content(objects, "job/whole") == LARGE + LARGE


async def test_compose_accepts_composed_sources(objects: Objects) -> None:
    names = await parts(objects, 4)
    await objects.compose("job/left", names[:2])
    await objects.compose("job/right", names[2:])

    await objects.compose("job/whole", ["job/left", "job/right"])

    assert await content(objects, "job/whole") == b"0\n1\n2\n3\n"
