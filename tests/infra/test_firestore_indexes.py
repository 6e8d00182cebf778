"""Firestore has the indexes that the ledger asks for, and no other: each one is written with every document."""

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from promptforge.adapters.gcp.documents import COMMIT
from promptforge.domain.chunk import Chunk
from promptforge.domain.erasure import Erasure
from promptforge.domain.job import Job
from promptforge.ports.documents import EXPIRE_FIELD, Document, Scalar, Version, Write
from promptforge.service.erasures import Erasures
from promptforge.service.ledger import Ledger
from tests.support.clock import HandClock

JOB = "00000000-0000-4000-8000-000000000000"
INFRA = Path(__file__).parents[2] / "infra"
INDEXES: dict[str, Any] = json.loads((INFRA / "firestore.indexes.json").read_text())
ASCENDING = [{"order": "ASCENDING", "queryScope": "COLLECTION"}]

Where = Mapping[str, Scalar] | None
Wanted = tuple[str, ...]  # a collection's name and the fields that are asked for together


class Asked:
    """Empty documents that remember which indexes each question wants."""

    def __init__(self) -> None:
        self.wanted: set[Wanted] = set()

    async def get(self, path: str) -> Document | None:
        return None

    async def commit(self, writes: Sequence[Write]) -> list[Version]:
        raise NotImplementedError

    async def query(
        self, collection: str, where: Where = None, *, order_by: str | None = None, **_: object
    ) -> list[Document]:
        self._want(collection, *(where or {}), *[order_by] * bool(order_by))
        return []

    async def count(self, collection: str, where: Where = None) -> int:
        self._want(collection, *(where or {}))
        return 0

    async def sum(self, collection: str, fields: Sequence[str]) -> dict[str, int]:
        for field in fields:
            self._want(collection, field)
        return dict.fromkeys(fields, 0)

    def _want(self, collection: str, *fields: str | None) -> None:
        if named := [field for field in fields if field]:  # in the order of their paths documents stand anyway
            self.wanted.add((collection.rpartition("/")[2], *named))


async def wanted_by_the_ledger() -> set[Wanted]:
    asked = Asked()
    ledger = Ledger(asked, HandClock(), random.Random(0))
    assert [job async for job in ledger.open_jobs(0)] == []
    assert [chunk async for chunk in ledger.chunks(JOB)] == []
    assert [chunk async for chunk in ledger.open_chunks(JOB, 0)] == []
    assert not await ledger.has_open_chunk(JOB)
    await ledger.progress(JOB)
    await ledger.count_open_jobs("client")
    await ledger.cost(JOB)
    erasures = Erasures(asked, random.Random(0))
    assert [due async for due in erasures.due(0)] == []
    await erasures.drop_chunks(JOB)
    return asked.wanted


def declared() -> set[Wanted]:
    together = {
        (index["collectionGroup"], *(field["fieldPath"] for field in index["fields"])) for index in INDEXES["indexes"]
    }
    alone = {(each["collectionGroup"], each["fieldPath"]) for each in INDEXES["fieldOverrides"] if each["indexes"]}
    return together | alone


async def test_what_is_declared_is_what_the_ledger_asks_for() -> None:
    assert declared() == await wanted_by_the_ledger()


def test_every_index_is_ascending_in_one_collection() -> None:
    for index in INDEXES["indexes"]:
        assert index["queryScope"] == "COLLECTION"
        assert {field["order"] for field in index["fields"]} == {"ASCENDING"}
    assert all(each["indexes"] in ([], ASCENDING) for each in INDEXES["fieldOverrides"])


def test_what_expires_is_removed_by_the_field_that_the_adapter_writes_as_a_timestamp() -> None:
    expiring = {(each["collectionGroup"], each["fieldPath"]) for each in INDEXES["fieldOverrides"] if "ttl" in each}

    assert expiring == {("jobs", EXPIRE_FIELD), ("chunks", EXPIRE_FIELD)}


def test_no_field_is_left_to_be_indexed_by_itself() -> None:
    fields = {("jobs", name) for name in [*Job.model_fields, *Erasure.model_fields, COMMIT]}
    fields |= {("chunks", name) for name in [*Chunk.model_fields, COMMIT]}

    told = [(each["collectionGroup"], each["fieldPath"]) for each in INDEXES["fieldOverrides"]]

    assert sorted(told) == sorted(fields)
