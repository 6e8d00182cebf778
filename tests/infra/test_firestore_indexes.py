"""Firestore has exactly the indexes that queries need, because every write of a document also writes its indexes."""

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from promptforge.adapters.gcp.documents import COMMIT_FIELD
from promptforge.domain.chunk import Chunk
from promptforge.domain.document import StoredDocument
from promptforge.domain.job import Job
from promptforge.domain.tombstone import Tombstone
from promptforge.ports.documents import EXPIRE_FIELD, Document, Scalar, Version, Write
from promptforge.state.chunks import ChunkStore
from promptforge.state.jobs import JobStore
from promptforge.state.spend_quotas import SpendQuotaStore
from promptforge.state.tombstones import TombstoneStore
from tests.harness.clock import ManualClock

JOB = "00000000-0000-4000-8000-000000000000"
INFRA = Path(__file__).parents[2] / "infra"
INDEXES: dict[str, Any] = json.loads((INFRA / "firestore.indexes.json").read_text())
ASCENDING = [{"order": "ASCENDING", "queryScope": "COLLECTION"}]

Where = Mapping[str, Scalar] | None
Index = tuple[str, ...]  # a collection's name and the fields of one query


class RecordingDocuments:
    """An empty document store that records the index that each query needs."""

    def __init__(self) -> None:
        self.required: set[Index] = set()

    async def get(self, path: str) -> Document | None:
        return None

    async def commit(self, writes: Sequence[Write]) -> list[Version]:
        raise NotImplementedError

    async def query(
        self, collection: str, where: Where = None, *, order_by: str | None = None, **_: object
    ) -> list[Document]:
        self._record(collection, *(where or {}), *[order_by] * bool(order_by))
        return []

    async def count(self, collection: str, where: Where = None) -> int:
        self._record(collection, *(where or {}))
        return 0

    async def sum(self, collection: str, fields: Sequence[str]) -> dict[str, int]:
        for field in fields:
            self._record(collection, field)
        return dict.fromkeys(fields, 0)

    def _record(self, collection: str, *fields: str | None) -> None:
        if named := [field for field in fields if field]:  # the order of paths needs no index
            self.required.add((collection.rpartition("/")[2], *named))


async def required_indexes() -> set[Index]:
    """Run every query of the product and return the indexes that it needs."""
    documents = RecordingDocuments()
    clock, rng = ManualClock(), random.Random(0)
    quotas = SpendQuotaStore(documents, rng)
    jobs = JobStore(documents, quotas, clock, rng)
    assert [job async for job in jobs.list_due(0)] == []
    await jobs.count_active("client")
    chunks = ChunkStore(documents, clock, rng)
    assert [chunk async for chunk in chunks.list_all(JOB)] == []
    assert [chunk async for chunk in chunks.list_open(JOB, 0)] == []
    assert not await chunks.has_open(JOB)
    await chunks.totals(JOB)
    await chunks.total_cost(JOB)
    tombstones = TombstoneStore(documents, quotas, rng)
    assert [due async for due in tombstones.list_due(0)] == []
    await tombstones.delete_chunks(JOB)
    return documents.required


def declared_indexes() -> set[Index]:
    """Return the indexes of firestore.indexes.json."""
    composite = {
        (index["collectionGroup"], *(field["fieldPath"] for field in index["fields"])) for index in INDEXES["indexes"]
    }
    single = {(each["collectionGroup"], each["fieldPath"]) for each in INDEXES["fieldOverrides"] if each["indexes"]}
    return composite | single


def stored_fields(model: type[StoredDocument]) -> list[str]:
    """Return the names under which the fields are stored."""
    return [field.alias or name for name, field in model.model_fields.items()]


async def test_indexes_declared_equal_those_that_queries_need() -> None:
    assert declared_indexes() == await required_indexes()


def test_indexes_all_are_ascending_with_collection_scope() -> None:
    for index in INDEXES["indexes"]:
        assert index["queryScope"] == "COLLECTION"
        assert {field["order"] for field in index["fields"]} == {"ASCENDING"}
    assert all(each["indexes"] in ([], ASCENDING) for each in INDEXES["fieldOverrides"])


def test_ttl_fields_equal_the_expiry_field_of_the_adapter() -> None:
    expiring = {(each["collectionGroup"], each["fieldPath"]) for each in INDEXES["fieldOverrides"] if "ttl" in each}

    assert expiring == {("jobs", EXPIRE_FIELD), ("chunks", EXPIRE_FIELD)}


def test_field_overrides_cover_every_persisted_field() -> None:
    fields = {("jobs", name) for name in [*stored_fields(Job), *stored_fields(Tombstone), COMMIT_FIELD]}
    fields |= {("chunks", name) for name in [*stored_fields(Chunk), COMMIT_FIELD]}

    overridden = [(each["collectionGroup"], each["fieldPath"]) for each in INDEXES["fieldOverrides"]]

    assert sorted(overridden) == sorted(fields)
