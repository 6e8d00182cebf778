"""Documents as JSON in SQLite."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from promptforge.adapters.local.database import Database, next_number
from promptforge.errors import Conflict
from promptforge.ports.documents import (
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

JSON_TYPES: dict[type, tuple[str, ...]] = {
    bool: ("true", "false"),
    int: ("integer", "real"),
    float: ("integer", "real"),
    str: ("text",),
    type(None): ("null",),
}
"""The JSON types that equal a value of a query: true is not 1, and a missing field is not null."""


class SqliteDocuments:
    """The documents port on one SQLite table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, path: str) -> Document | None:
        def work(connection: sqlite3.Connection) -> Document | None:
            query = "select path, version, data from documents where path = ?"
            row = connection.execute(query, (path,)).fetchone()
            return _document(row) if row else None

        return await self._database.read(work)

    async def commit(self, writes: Sequence[Write]) -> list[Version]:
        encoded = [_encode(write) for write in writes]
        if sum(map(len, encoded)) > MAX_COMMIT_BYTES:
            raise ValueError(f"a commit is at most {MAX_COMMIT_BYTES} bytes")
        if len({write.path for write in writes}) < len(writes):
            raise ValueError("a commit may write a path once only")

        def work(connection: sqlite3.Connection) -> list[Version]:
            return [_apply(connection, write, data) for write, data in zip(writes, encoded, strict=True)]

        return await self._database.write(work)

    async def query(
        self,
        collection: str,
        where: Mapping[str, Scalar] | None = None,
        *,
        order_by: str | None = None,
        limit: int,
        after: Document | None = None,
    ) -> list[Document]:
        condition, values = _condition(collection, where)
        order = "path"
        if order_by:
            order = f"{_field(order_by)}, path"
            condition += f" and {_json_type(order_by)} is not null"
        if after:
            row = "(?, ?)" if order_by else "(?)"
            condition += f" and ({order}) > {row}"
            values += [after.data[order_by], after.path] if order_by else [after.path]
        sql = f"select path, version, data from documents where {condition} order by {order} limit ?"  # noqa: S608

        def work(connection: sqlite3.Connection) -> list[Document]:
            return [_document(row) for row in connection.execute(sql, [*values, limit])]

        return await self._database.read(work)

    async def count(self, collection: str, where: Mapping[str, Scalar] | None = None) -> int:
        condition, values = _condition(collection, where)
        sql = f"select count(*) from documents where {condition}"  # noqa: S608
        return int(await self._database.read(lambda connection: connection.execute(sql, values).fetchone()[0]))

    async def sum(self, collection: str, fields: Sequence[str]) -> dict[str, int]:
        if not fields:
            return {}
        sums = ", ".join(f"coalesce(sum({_field(field)}), 0)" for field in fields)
        sql = f"select {sums} from documents where collection = ?"  # noqa: S608
        row = await self._database.read(lambda connection: connection.execute(sql, (collection,)).fetchone())
        return {field: int(value) for field, value in zip(fields, row, strict=True)}


def _document(row: tuple[str, int, str]) -> Document:
    return Document(path=row[0], data=orjson.loads(row[2]), version=str(row[1]))


def _encode(write: Write) -> bytes:
    data: Data = {} if isinstance(write, Delete) else write.data
    return orjson.dumps(data)


def _apply(connection: sqlite3.Connection, write: Write, encoded: bytes) -> Version:
    data = encoded.decode()
    version = next_number(connection)
    match write:
        case Create(path=path):
            collection = path.rpartition("/")[0]
            sql = "insert into documents (path, collection, version, data) values (?, ?, ?, ?) on conflict do nothing"
            done = connection.execute(sql, (path, collection, version, data))
        case Update(path=path, version=expected):
            sql = "update documents set version = ?, data = ? where path = ? and version = cast(? as integer)"
            done = connection.execute(sql, (version, data, path, expected))
        case Delete(path=path, version=expected):
            sql = "delete from documents where path = ? and version = cast(? as integer)"
            done = connection.execute(sql, (path, expected))
    if done.rowcount != 1:
        raise Conflict(write.path)
    return "" if isinstance(write, Delete) else str(version)


def _field(name: str) -> str:
    if not name.isidentifier():
        raise ValueError(f"not a field name: {name!r}")
    return f"json_extract(data, '$.{name}')"


def _json_type(name: str) -> str:
    """Return the SQL of the JSON type of a field, null for a missing field."""
    return _field(name).replace("json_extract", "json_type")


def _condition(collection: str, where: Mapping[str, Scalar] | None) -> tuple[str, list[Any]]:
    values: list[Any] = [collection]
    condition = "collection = ?"
    for name, value in (where or {}).items():
        kinds = ", ".join(f"'{kind}'" for kind in JSON_TYPES[type(value)])
        condition += f" and {_field(name)} is ? and {_json_type(name)} in ({kinds})"
        values.append(value)
    return condition, values
