import random

import pytest

from promptforge.ports.documents import Create, Data, Delete, Document, Documents, Scalar, Update

PEOPLE: dict[str, Data] = {
    "people/a": {"open": True, "due_at": 3.5, "kind": "x", "n": 1},
    "people/b": {"open": True, "due_at": 1.5, "kind": "y", "n": 2},
    "people/c": {"open": False, "due_at": 2.5, "kind": "x", "n": 3},
    "people/d": {"open": True, "due_at": 1.5, "kind": "x", "n": 4},
    "people/e": {"open": True, "kind": "x", "n": 5},
}


@pytest.fixture
async def people(documents: Documents) -> Documents:
    await documents.commit([Create(path, data) for path, data in PEOPLE.items()])
    return documents


def names(found: list[Document]) -> str:
    return "".join(document.path.rpartition("/")[2] for document in found)


async def all_pages(
    documents: Documents, where: dict[str, Scalar], order_by: str | None, size: int
) -> list[list[Document]]:
    pages: list[list[Document]] = []
    after: Document | None = None
    while page := await documents.query("people", where, order_by=order_by, limit=size, after=after):
        pages.append(page)
        after = page[-1]
    return pages


async def test_query_without_conditions_returns_all_by_path(people: Documents) -> None:
    assert names(await people.query("people", limit=100)) == "abcde"


async def test_query_returns_same_documents_as_get(people: Documents) -> None:
    for document in await people.query("people", limit=100):
        assert document == await people.get(document.path)


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ({"open": True}, "abde"),
        ({"open": False}, "c"),
        ({"kind": "x"}, "acde"),
        ({"kind": "x", "open": True}, "ade"),
        ({"n": 4}, "d"),
        ({"due_at": 1.5}, "bd"),
        ({"kind": "z"}, ""),
        ({"kind": ""}, ""),
        ({"absent": 1}, ""),
        ({"n": "4"}, ""),
        ({"kind": "X"}, ""),
        ({}, "abcde"),
    ],
)
async def test_query_condition_requires_equal_fields(people: Documents, where: dict[str, Scalar], found: str) -> None:
    assert names(await people.query("people", where, limit=100)) == found
    assert await people.count("people", where) == len(found)


@pytest.mark.parametrize(
    "text", ["'", '"', "%", "_", "a'; drop table documents; --", "\u2028", "\u4e2d", "$.kind", "\\"]
)
async def test_query_value_with_special_characters_is_literal(documents: Documents, text: str) -> None:
    await documents.commit([Create("people/a", {"kind": text}), Create("people/b", {"kind": text + "x"})])

    assert names(await documents.query("people", {"kind": text}, limit=100)) == "a"


async def test_query_orders_by_field_then_path(people: Documents) -> None:
    assert names(await people.query("people", order_by="due_at", limit=100)) == "bdca"


async def test_query_omits_documents_without_order_field(people: Documents) -> None:
    assert "e" not in names(await people.query("people", {"open": True}, order_by="due_at", limit=100))


async def test_query_limit_returns_first_documents(people: Documents) -> None:
    assert names(await people.query("people", {"open": True}, order_by="due_at", limit=2)) == "bd"


async def test_query_cursor_within_equal_values_skips_and_repeats_nothing(people: Documents) -> None:
    (first,) = await people.query("people", order_by="due_at", limit=1)

    rest = await people.query("people", order_by="due_at", limit=100, after=first)

    assert names([first]) + names(rest) == "bdca"


async def test_query_after_last_document_returns_nothing(people: Documents) -> None:
    last = (await people.query("people", order_by="due_at", limit=100))[-1]

    assert await people.query("people", order_by="due_at", limit=100, after=last) == []


@pytest.mark.parametrize("size", [1, 2, 7, 40])
@pytest.mark.parametrize("order_by", ["due_at", "n", "kind", None])
async def test_query_pages_cover_everything_in_order(documents: Documents, size: int, order_by: str | None) -> None:
    rng = random.Random(size)
    data = [
        {
            "open": True,
            "n": rng.randrange(5),
            "kind": rng.choice("xyz"),
            "due_at": 1.7e9 + rng.choice([0.1, 0.2, 1 / 3]),
        }
        for _ in range(30)
    ]
    await documents.commit([Create(f"people/{number:03d}", fields) for number, fields in enumerate(data)])

    pages = await all_pages(documents, {"open": True}, order_by, size)

    found = [document for page in pages for document in page]
    expected = sorted(range(30), key=lambda number: (data[number][order_by] if order_by else 0, number))
    assert [document.path for document in found] == [f"people/{number:03d}" for number in expected]
    assert all(len(page) == size for page in pages[:-1])


async def test_query_cursor_of_deleted_document_continues(people: Documents) -> None:
    first, second = await people.query("people", order_by="due_at", limit=2)
    await people.commit([Delete(second.path, second.version)])

    assert names(await people.query("people", order_by="due_at", limit=100, after=second)) == "ca"
    assert names(await people.query("people", order_by="due_at", limit=100, after=first)) == "ca"


async def test_query_excludes_neighbour_and_nested_collections(documents: Documents) -> None:
    paths = ["jobs/1", "jobs/1/chunks/1", "jobs/1/chunks/2", "jobs/2/chunks/1", "jobs2/1", "job/1", "chunks/1"]
    await documents.commit([Create(path, {"n": 1}) for path in paths])

    async def found(collection: str) -> list[str]:
        return [document.path for document in await documents.query(collection, limit=100)]

    assert await found("jobs") == ["jobs/1"]
    assert await found("jobs/1/chunks") == ["jobs/1/chunks/1", "jobs/1/chunks/2"]
    assert await found("chunks") == ["chunks/1"]
    assert await found("jobs/3/chunks") == []
    assert await documents.count("jobs/1/chunks") == 2
    assert await documents.sum("jobs/1/chunks", ["n"]) == {"n": 2}


async def test_query_finds_document_below_missing_parent(documents: Documents) -> None:
    await documents.commit([Create("jobs/none/chunks/1", {"n": 1})])

    assert await documents.get("jobs/none") is None
    assert await documents.count("jobs/none/chunks") == 1


async def test_count_of_empty_collection_is_zero(documents: Documents) -> None:
    assert await documents.count("people") == 0


async def test_sum_adds_each_field_separately(people: Documents) -> None:
    await people.commit([Create("people/f", {"m": 10})])

    assert await people.sum("people", ["n", "m"]) == {"n": 15, "m": 10}


async def test_sum_of_empty_collection_is_zero(people: Documents) -> None:
    assert await people.sum("nobody", ["n", "m"]) == {"n": 0, "m": 0}
    assert await people.sum("people", ["absent"]) == {"absent": 0}


async def test_sum_of_large_numbers_is_exact(documents: Documents) -> None:
    await documents.commit([Create(f"people/{number}", {"n": 2**53 - 1}) for number in range(3)])

    assert await documents.sum("people", ["n"]) == {"n": 3 * (2**53 - 1)}


async def test_query_reflects_every_change(people: Documents) -> None:
    first = await people.get("people/a")
    second = await people.get("people/b")
    assert first is not None
    assert second is not None

    await people.commit([Update(first.path, {"n": 100, "open": False}, first.version)])
    await people.commit([Delete(second.path, second.version)])

    assert names(await people.query("people", {"open": False}, limit=100)) == "ac"
    assert await people.count("people") == 4
    assert await people.sum("people", ["n"]) == {"n": 112}


@pytest.mark.parametrize(
    ("value", "where"), [(1, True), (0, False), ([1, 2], "[1,2]"), (True, 1), ("1", 1), ({}, "{}")]
)
async def test_query_does_not_match_other_types(documents: Documents, value: object, where: Scalar) -> None:
    await documents.commit([Create("a/1", {"x": value})])

    assert await documents.count("a", {"x": where}) == 0


async def test_query_null_does_not_match_missing_field(documents: Documents) -> None:
    await documents.commit([Create("a/missing", {}), Create("a/null", {"x": None})])

    assert [found.path for found in await documents.query("a", {"x": None}, limit=9)] == ["a/null"]
    assert [found.path for found in await documents.query("a", order_by="x", limit=9)] == ["a/null"]
