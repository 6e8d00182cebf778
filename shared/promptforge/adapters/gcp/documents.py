"""Documents in Firestore.

The adapter uses the generated client, because the client above it cannot replace a document at a version. Nothing is
locked: a commit is one request whose preconditions hold or fail.

The numbered ids of chunks are not spread. A new collection is in one place whatever its ids are, and one splitter
writes it once. Afterwards its chunks are written in the order of their answers.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from google.api_core import exceptions
from google.cloud.firestore_v1.services.firestore import FirestoreAsyncClient
from google.cloud.firestore_v1.services.firestore.transports import FirestoreGrpcAsyncIOTransport
from google.cloud.firestore_v1.types import document as documents_wire
from google.cloud.firestore_v1.types import firestore as wire
from google.cloud.firestore_v1.types import write as writes_wire

from promptforge.adapters.gcp.billing import BilledOperation, BilledOperations
from promptforge.adapters.gcp.firestore_values import Value, decode, encode, expiry_timestamp, parse_version
from promptforge.adapters.gcp.grpc_channels import ANSWER_SECONDS, RETRY, open_transport
from promptforge.errors import Conflict, Unavailable
from promptforge.ports.documents import (
    EXPIRE_FIELD,
    MAX_COMMIT_BYTES,
    Create,
    Data,
    Delete,
    Document,
    Scalar,
    Update,
    Version,
    Write,
)

COMMIT_FIELD = "_commit"
"""A field of every document with another value in each commit: otherwise a write without changes keeps the version."""

ENTRIES_PER_READ = 1000

READ_ERRORS: dict[type[Exception], type[Exception]] = {exceptions.InvalidArgument: ValueError}
COMMIT_ERRORS = READ_ERRORS | {
    exceptions.Aborted: Conflict,
    exceptions.AlreadyExists: Conflict,
    exceptions.FailedPrecondition: Conflict,
    exceptions.NotFound: Conflict,
}
"""The errors of this package for those of Google; all others become Unavailable."""

LATER_VERSION_TEXT = "base version"
"""The text of an InvalidArgument for a version that is later than the document's, and so of another document."""

Fields = documents_wire.Document.pb()
WireWrite = writes_wire.Write.pb()
CommitRequest = wire.CommitRequest.pb()
GetRequest = wire.BatchGetDocumentsRequest.pb()
QueryRequest = wire.RunQueryRequest.pb()
AggregationRequest = wire.RunAggregationQueryRequest.pb()


class FirestoreDocuments:
    """The documents port on one Firestore database.

    `operations` counts the billed operations of all adapters of a process.
    """

    def __init__(self, project: str, database: str, operations: BilledOperations, emulator: str = "") -> None:
        self._database = f"projects/{project}/databases/{database}"
        self._root = f"{self._database}/documents/"
        self._metadata = [("google-cloud-resource-prefix", self._database)]
        self.operations = operations
        self._emulator = emulator

    async def get(self, path: str) -> Document | None:
        request = GetRequest(database=self._database, documents=[self._root + path])
        (answer,) = await self._read(self._client.batch_get_documents, wire.BatchGetDocumentsRequest, request)
        self.operations.add(BilledOperation.DOCUMENT_READ)
        return self._document(answer.found) if answer.HasField("found") else None

    async def commit(self, writes: Sequence[Write]) -> list[Version]:
        if not writes:
            return []
        token = uuid.uuid4().hex
        request = CommitRequest(database=self._database, writes=[self._write(write, token) for write in writes])
        if request.ByteSize() > MAX_COMMIT_BYTES:
            raise ValueError(f"a commit is at most {MAX_COMMIT_BYTES} bytes")
        if len({write.path for write in writes}) < len(writes):
            raise ValueError("a commit may write a path once only")
        for write in writes:
            deleted = isinstance(write, Delete)
            self.operations.add(BilledOperation.DOCUMENT_DELETE if deleted else BilledOperation.DOCUMENT_WRITE)
        with _translate_errors(COMMIT_ERRORS):
            # Sent once: a second try after a lost answer would report the commit of the first one as a conflict.
            answer = await self._client.commit(
                wire.CommitRequest.wrap(request), retry=None, timeout=ANSWER_SECONDS, metadata=self._metadata
            )
        results = wire.CommitResponse.pb(answer).write_results
        return [
            "" if isinstance(write, Delete) else result.update_time.ToJsonString()
            for write, result in zip(writes, results, strict=True)
        ]

    async def query(
        self,
        collection: str,
        where: Mapping[str, Scalar] | None = None,
        *,
        order_by: str | None = None,
        limit: int,
        after: Document | None = None,
    ) -> list[Document]:
        parent, query = self._structured_query(collection, where)
        names = [order_by, "__name__"] if order_by else ["__name__"]
        query["order_by"] = [{"field": {"field_path": name}, "direction": "ASCENDING"} for name in names]
        query["limit"] = {"value": limit}
        if after:
            values = [encode(after.data[order_by])] if order_by else []
            query["start_at"] = {"values": [*values, Value(reference_value=self._root + after.path)]}
        request = QueryRequest(parent=parent, structured_query=query)
        answers = await self._read(self._client.run_query, wire.RunQueryRequest, request)
        found = [self._document(answer.document) for answer in answers if answer.HasField("document")]
        self.operations.add(BilledOperation.DOCUMENT_READ, max(1, len(found)))
        return found

    async def count(self, collection: str, where: Mapping[str, Scalar] | None = None) -> int:
        return await self._aggregate(collection, where, {"count": {}})

    async def sum(self, collection: str, fields: Sequence[str]) -> dict[str, int]:
        # One by one: a query for several sums leaves out documents without one of the fields.
        aggregations: list[Data] = [{"sum": {"field": {"field_path": field}}} for field in fields]
        sums = await asyncio.gather(*(self._aggregate(collection, None, each) for each in aggregations))
        return dict(zip(fields, sums, strict=True))

    async def close(self) -> None:
        """Close the connection."""
        if "_client" in self.__dict__:
            await self._client.transport.close()

    @cached_property
    def _client(self) -> FirestoreAsyncClient:
        """The client, created at the first use because it belongs to the running event loop."""
        return FirestoreAsyncClient(transport=open_transport(FirestoreGrpcAsyncIOTransport, self._emulator))

    async def _read(self, call: Callable[..., Awaitable[Any]], kind: Any, request: Any) -> list[Any]:
        async def attempt() -> list[Any]:
            answers = await call(kind.wrap(request), retry=None, timeout=ANSWER_SECONDS, metadata=self._metadata)
            return [type(answer).pb(answer) async for answer in answers]

        with _translate_errors(READ_ERRORS):
            return await RETRY(attempt)()

    async def _aggregate(self, collection: str, where: Mapping[str, Scalar] | None, aggregation: Data) -> int:
        parent, query = self._structured_query(collection, where)
        aggregations = [{"alias": "entries", "count": {}}, {"alias": "value", **aggregation}]
        aggregation_query = {"structured_query": query, "aggregations": aggregations}
        request = AggregationRequest(parent=parent, structured_aggregation_query=aggregation_query)
        (answer,) = await self._read(self._client.run_aggregation_query, wire.RunAggregationQueryRequest, request)
        values = answer.result.aggregate_fields
        self.operations.add(BilledOperation.DOCUMENT_READ, max(1, -(-decode(values["entries"]) // ENTRIES_PER_READ)))
        return int(decode(values["value"]))

    def _structured_query(self, collection: str, where: Mapping[str, Scalar] | None) -> tuple[str, Data]:
        parent, _, name = (self._root + collection).rpartition("/")
        query: Data = {"from_": [{"collection_id": name}]}
        if where:
            filters = [_condition(name, value) for name, value in where.items()]
            query["where"] = {"composite_filter": {"op": "AND", "filters": filters}}
        return parent, query

    def _write(self, write: Write, token: str) -> Any:
        name = self._root + write.path
        if isinstance(write, Delete):
            return WireWrite(delete=name, current_document=_version_precondition(write))
        fields = {name: encode(value) for name, value in {**write.data, COMMIT_FIELD: token}.items()}
        if EXPIRE_FIELD in write.data:
            fields[EXPIRE_FIELD] = expiry_timestamp(write.data[EXPIRE_FIELD])
        precondition = {"exists": False} if isinstance(write, Create) else _version_precondition(write)
        return WireWrite(update=Fields(name=name, fields=fields), current_document=precondition)

    def _document(self, found: Any) -> Document:
        data = {name: decode(value) for name, value in found.fields.items() if name != COMMIT_FIELD}
        return Document(found.name.removeprefix(self._root), data, found.update_time.ToJsonString())


def _condition(name: str, value: Scalar) -> Data:
    field = {"field_path": name}
    if value is None:
        return {"unary_filter": {"field": field, "op": "IS_NULL"}}
    return {"field_filter": {"field": field, "op": "EQUAL", "value": encode(value)}}


def _version_precondition(write: Update | Delete) -> Data:
    """Return the precondition that a document is at the version of the write."""
    try:
        return {"update_time": parse_version(write.version)}
    except ValueError:
        raise Conflict(write.path) from None  # no document ever had that version


@contextmanager
def _translate_errors(names: Mapping[type[Exception], type[Exception]]) -> Iterator[None]:
    try:
        yield
    except exceptions.GoogleAPIError as exc:
        cause = type(exc).__name__
        error = Conflict if LATER_VERSION_TEXT in str(exc) else names.get(type(exc))
        if error is None:
            raise Unavailable("firestore", cause) from exc
        raise error(f"Firestore rejected the request: {cause}") from exc
