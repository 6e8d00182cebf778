import asyncio

import pytest

from promptforge.errors import Conflict
from promptforge.ports.documents import MAX_COMMIT_BYTES, Create, Data, Delete, Document, Documents, Update, Version
from tests.contract.stores import OpenDocuments


def nested(levels: int) -> object:
    value: object = 1
    for level in range(levels):
        value = [value] if level % 2 else {"in": value}
    return value


async def create(documents: Documents, path: str, data: Data) -> Version:
    (version,) = await documents.commit([Create(path, data)])
    return version


async def data_of(documents: Documents, path: str) -> Data:
    document = await documents.get(path)
    assert document is not None
    return document.data


async def test_documents_get_of_missing_path_returns_none(documents: Documents) -> None:
    assert await documents.get("jobs/1") is None


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"text": "\u00fc \u4e2d \U0001f600 \u2028 \x00 \" \\ '", "empty": ""},
        {"none": None, "yes": True, "no": False, "int": -7, "big": 2**53, "float": 0.1, "time": 1_700_000_000.123456},
        {"list": [1, "a", None, [2], {"b": []}], "map": {"a": {"b": {"c": 1}}, "7": "digits"}},
        {"expire_at": 1_800_000_000.0, "n": 1},
        {"expire_at": None},
        {"list": [], "map": {}, "numbers": [1, 1.0, 2**63 - 1, -(2**63), 5e-324, True]},
        {"map": {"": 1, "__name__": 2, "a.b": 3, "`": 4, "x" * 2000: 5}, "deep": nested(100)},
    ],
)
async def test_documents_get_returns_written_data(documents: Documents, data: Data) -> None:
    version = await create(documents, "jobs/1", data)

    found = await documents.get("jobs/1")
    assert found == Document("jobs/1", data, version)
    assert repr(sorted(found.data.items())) == repr(sorted(data.items()))  # 1, 1.0 and true are equal in Python


async def test_documents_create_of_existing_path_conflicts(documents: Documents) -> None:
    await create(documents, "jobs/1", {"n": 1})

    with pytest.raises(Conflict):
        await documents.commit([Create("jobs/1", {"n": 2})])

    assert await data_of(documents, "jobs/1") == {"n": 1}


async def test_documents_update_replaces_document_and_version(documents: Documents) -> None:
    first = await create(documents, "jobs/1", {"old": 1, "both": 1})

    (second,) = await documents.commit([Update("jobs/1", {"both": 2}, first)])

    assert second != first
    assert await documents.get("jobs/1") == Document("jobs/1", {"both": 2}, second)


async def test_documents_update_with_equal_data_changes_version(documents: Documents) -> None:
    first = await create(documents, "jobs/1", {"n": 1})

    (second,) = await documents.commit([Update("jobs/1", {"n": 1}, first)])

    with pytest.raises(Conflict):
        await documents.commit([Update("jobs/1", {"n": 2}, first)])
    await documents.commit([Update("jobs/1", {"n": 3}, second)])


async def test_documents_update_of_missing_path_conflicts(documents: Documents) -> None:
    version = await create(documents, "jobs/1", {})

    with pytest.raises(Conflict):
        await documents.commit([Update("jobs/2", {}, version)])

    assert await documents.get("jobs/2") is None


async def test_documents_update_with_version_of_other_document_conflicts(documents: Documents) -> None:
    await create(documents, "jobs/1", {"n": 1})
    other = await create(documents, "jobs/2", {"n": 2})

    with pytest.raises(Conflict):
        await documents.commit([Update("jobs/1", {"n": 3}, other)])


async def test_documents_delete_removes_document_and_returns_empty_version(documents: Documents) -> None:
    version = await create(documents, "jobs/1", {})

    assert await documents.commit([Delete("jobs/1", version)]) == [""]

    assert await documents.get("jobs/1") is None


async def test_documents_delete_with_stale_version_conflicts(documents: Documents) -> None:
    first = await create(documents, "jobs/1", {"n": 1})
    await documents.commit([Update("jobs/1", {"n": 2}, first)])

    with pytest.raises(Conflict):
        await documents.commit([Delete("jobs/1", first)])

    assert await data_of(documents, "jobs/1") == {"n": 2}


async def test_documents_second_delete_conflicts(documents: Documents) -> None:
    version = await create(documents, "jobs/1", {})
    await documents.commit([Delete("jobs/1", version)])

    with pytest.raises(Conflict):
        await documents.commit([Delete("jobs/1", version)])


async def test_documents_recreated_document_has_new_version(documents: Documents) -> None:
    first = await create(documents, "jobs/1", {"n": 1})
    await documents.commit([Delete("jobs/1", first)])

    second = await create(documents, "jobs/1", {"n": 1})

    assert second != first
    with pytest.raises(Conflict):
        await documents.commit([Update("jobs/1", {"n": 2}, first)])


async def test_documents_commit_returns_versions_in_write_order(documents: Documents) -> None:
    old = await create(documents, "jobs/old", {})
    gone = await create(documents, "jobs/gone", {})

    versions = await documents.commit([Create("jobs/new", {}), Delete("jobs/gone", gone), Update("jobs/old", {}, old)])

    new, changed = await documents.get("jobs/new"), await documents.get("jobs/old")
    assert new is not None
    assert changed is not None
    assert versions == [new.version, "", changed.version]


async def test_documents_commit_with_one_conflict_writes_nothing(documents: Documents) -> None:
    kept = await create(documents, "jobs/kept", {"n": 1})
    deleted = await create(documents, "jobs/deleted", {"n": 1})
    stale = await create(documents, "jobs/moved", {"n": 1})
    await documents.commit([Update("jobs/moved", {"n": 2}, stale)])

    with pytest.raises(Conflict):
        await documents.commit(
            [
                Create("jobs/new", {}),
                Update("jobs/kept", {"n": 9}, kept),
                Delete("jobs/deleted", deleted),
                Update("jobs/moved", {"n": 9}, stale),
            ]
        )

    assert await documents.get("jobs/new") is None
    assert await documents.get("jobs/kept") == Document("jobs/kept", {"n": 1}, kept)
    assert await documents.get("jobs/deleted") == Document("jobs/deleted", {"n": 1}, deleted)
    assert await data_of(documents, "jobs/moved") == {"n": 2}


async def test_documents_empty_commit_does_nothing(documents: Documents) -> None:
    assert await documents.commit([]) == []


async def test_documents_commit_with_repeated_path_raises(documents: Documents) -> None:
    with pytest.raises(ValueError, match="path"):
        await documents.commit([Create("jobs/1", {"n": 1}), Create("jobs/1", {"n": 2})])

    assert await documents.get("jobs/1") is None


async def test_documents_commit_over_size_limit_writes_nothing(documents: Documents) -> None:
    half = "x" * (MAX_COMMIT_BYTES // 2)

    with pytest.raises(ValueError, match=str(MAX_COMMIT_BYTES)):
        await documents.commit([Create("jobs/1", {"t": half}), Create("jobs/2", {"t": half})])

    assert await documents.get("jobs/1") is None


async def test_documents_commit_under_size_limit_succeeds(documents: Documents) -> None:
    text = "x" * (900 * 1024)

    await documents.commit([Create(f"jobs/{number}", {"t": text}) for number in range(4)])

    assert await data_of(documents, "jobs/3") == {"t": text}


async def test_documents_commit_of_hundred_documents_succeeds(documents: Documents) -> None:
    versions = await documents.commit([Create(f"jobs/{number}", {"n": number}) for number in range(100)])

    assert len(versions) == 100
    assert await documents.count("jobs") == 100


async def test_documents_commit_is_visible_to_other_instance(open_documents: OpenDocuments) -> None:
    one, other = open_documents(), open_documents()

    version = await create(one, "jobs/1", {"n": 1})
    assert await other.get("jobs/1") == Document("jobs/1", {"n": 1}, version)

    await other.commit([Update("jobs/1", {"n": 2}, version)])
    assert await data_of(one, "jobs/1") == {"n": 2}
    with pytest.raises(Conflict):
        await one.commit([Update("jobs/1", {"n": 3}, version)])


async def test_documents_concurrent_creates_have_one_winner(open_documents: OpenDocuments) -> None:
    stores = [open_documents(), open_documents()]

    outcomes = await asyncio.gather(
        *(stores[number % 2].commit([Create("jobs/1", {"by": number})]) for number in range(20)), return_exceptions=True
    )

    winners = [number for number, outcome in enumerate(outcomes) if not isinstance(outcome, BaseException)]
    assert len(winners) == 1
    assert all(isinstance(outcome, Conflict) for outcome in outcomes if isinstance(outcome, BaseException))
    assert await data_of(stores[0], "jobs/1") == {"by": winners[0]}


async def test_documents_concurrent_compare_and_set_loses_no_step(open_documents: OpenDocuments) -> None:
    stores = [open_documents(), open_documents()]
    await create(stores[0], "jobs/1", {"n": 0})

    async def step(documents: Documents) -> None:
        while True:
            document = await documents.get("jobs/1")
            assert document is not None
            try:
                await documents.commit([Update("jobs/1", {"n": document.data["n"] + 1}, document.version)])
            except Conflict:
                continue
            return

    await asyncio.gather(*(step(stores[number % 2]) for number in range(20)))

    assert await data_of(stores[1], "jobs/1") == {"n": 20}


async def test_documents_commit_of_two_documents_is_atomic_for_readers(documents: Documents) -> None:
    await documents.commit([Create("sides/left", {"n": 0}), Create("sides/right", {"n": 0})])

    async def step() -> bool:
        left, right = await documents.get("sides/left"), await documents.get("sides/right")
        assert left is not None
        assert right is not None
        try:
            await documents.commit(
                [
                    Update(left.path, {"n": left.data["n"] + 1}, left.version),
                    Update(right.path, {"n": right.data["n"] + 1}, right.version),
                ]
            )
        except Conflict:
            return False
        return True

    outcomes = await asyncio.gather(*(step() for _ in range(20)))

    assert await documents.sum("sides", ["n"]) == {"n": 2 * sum(outcomes)}
    assert (await data_of(documents, "sides/left")) == (await data_of(documents, "sides/right"))


async def test_documents_commit_size_limit_counts_bytes(documents: Documents) -> None:
    with pytest.raises(ValueError, match="bytes"):
        await documents.commit([Create("a/1", {"text": "é" * (MAX_COMMIT_BYTES // 2)})])


async def test_documents_update_with_unknown_version_conflicts(documents: Documents) -> None:
    await documents.commit([Create("a/1", {})])

    with pytest.raises(Conflict):
        await documents.commit([Update("a/1", {}, "")])
