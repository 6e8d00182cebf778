"""Objects as files: a row in SQLite makes an object exist, the file of its generation contains its bytes."""

import asyncio
import base64
import errno
import os
import sqlite3
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import google_crc32c
import orjson

from promptforge.adapters.local.database import Database, next_number
from promptforge.adapters.local.queue import enqueue
from promptforge.adapters.local.urls import UrlSigner
from promptforge.errors import ObjectExists, ObjectMissing, Unavailable
from promptforge.ports.objects import MAX_COMPOSE, ObjectInfo

BLOCK_BYTES = 1024 * 1024
LIST_PAGE = 1000


@dataclass
class FileObjects:
    """One bucket.

    With `notify`, the transaction that creates an object also enqueues its event.
    """

    bucket: str
    folder: Path
    database: Database
    signer: UrlSigner
    notify: bool = False

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    async def stat(self, name: str) -> ObjectInfo | None:
        return await self.database.read(lambda connection: _find(connection, self.bucket, name))

    async def read(
        self, name: str, *, generation: int | None = None, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        info = await self.stat(name)
        if info is None or generation not in (None, info.generation):
            raise ObjectMissing(name)
        left = max(min(info.size, info.size if end is None else end) - start, 0)
        with _translate_errors(), self._open(name, info.generation) as file:
            file.seek(start)
            while left > 0:
                block = await asyncio.to_thread(file.read, min(left, BLOCK_BYTES))
                if not block:
                    raise Unavailable(self.bucket, "file_truncated")
                left -= len(block)
                yield block

    async def create(self, name: str, data: bytes | AsyncIterable[bytes]) -> ObjectInfo:
        generation = await self.database.write(next_number)
        path = self._path(generation)
        try:
            with _translate_errors():
                size, crc32c = await _write_file(path, data)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        info = ObjectInfo(name, generation, size, crc32c)
        # From here on a row may name the file, also without an answer. `sweep` removes the file if no row names it.
        kept = await self.database.write(lambda connection: self._insert_row(connection, info))
        if kept.generation != generation:
            path.unlink(missing_ok=True)
            if (kept.size, kept.crc32c) != (size, crc32c):
                raise ObjectExists(name)
        return kept

    async def compose(self, name: str, sources: Sequence[str]) -> ObjectInfo:
        if not 1 <= len(sources) <= MAX_COMPOSE:
            raise ValueError(f"compose takes 1 to {MAX_COMPOSE} sources, not {len(sources)}")
        return await self.create(name, self._concatenate(sources))

    async def list(self, prefix: str) -> AsyncIterator[str]:
        sql = "select name from objects where bucket = ? and name > ? and substr(name, 1, ?) = ? order by name limit ?"
        last = prefix[:-1]
        while True:
            values = (self.bucket, last, len(prefix), prefix, LIST_PAGE)
            rows = await self.database.read(partial(_fetch_all, sql, values))
            for (name,) in rows:
                yield name
            if len(rows) < LIST_PAGE:
                return
            last = rows[-1][0]

    async def delete(self, name: str) -> None:
        def work(connection: sqlite3.Connection) -> ObjectInfo | None:
            info = _find(connection, self.bucket, name)
            connection.execute("delete from objects where bucket = ? and name = ?", (self.bucket, name))
            return info

        if info := await self.database.write(work):
            self._path(info.generation).unlink(missing_ok=True)

    async def upload_url(self, name: str, expires_at: float) -> str:
        return self.signer.url("PUT", self.bucket, name, expires_at)

    async def download_url(self, name: str, filename: str, expires_at: float) -> str:
        return self.signer.url("GET", self.bucket, name, expires_at, filename)

    async def file_of(self, name: str) -> Path:
        """Return the file with an object's bytes.

        Raises ObjectMissing.
        """
        if info := await self.stat(name):
            return self._path(info.generation)
        raise ObjectMissing(name)

    async def sweep(self) -> None:
        """Delete files that no object names, left by killed writers.

        Call it only while nothing writes.
        """
        sql = "select generation from objects where bucket = ?"
        rows = await self.database.read(lambda connection: connection.execute(sql, (self.bucket,)).fetchall())
        known = {str(row[0]) for row in rows}
        for path in self.folder.iterdir():
            if path.name not in known:
                path.unlink(missing_ok=True)

    def _path(self, generation: int) -> Path:
        return self.folder / str(generation)

    def _open(self, name: str, generation: int) -> BinaryIO:
        try:
            return self._path(generation).open("rb")
        except FileNotFoundError as exc:
            raise ObjectMissing(name) from exc

    async def _concatenate(self, sources: Sequence[str]) -> AsyncIterator[bytes]:
        for source in sources:
            async for block in self.read(source):
                yield block

    def _insert_row(self, connection: sqlite3.Connection, info: ObjectInfo) -> ObjectInfo:
        if there := _find(connection, self.bucket, info.name):
            return there
        row = (self.bucket, info.name, info.generation, info.size, info.crc32c)
        connection.execute("insert into objects values (?, ?, ?, ?, ?)", row)
        if self.notify:
            enqueue(connection, f"bucket:{self.bucket}", [_event(self.bucket, info)])
        return info


@contextmanager
def _translate_errors() -> Iterator[None]:
    """Report a full or failing disk as Unavailable."""
    try:
        yield
    except OSError as exc:
        raise Unavailable("disk", errno.errorcode.get(exc.errno or 0, "")) from exc


async def _write_file(path: Path, data: bytes | AsyncIterable[bytes]) -> tuple[int, str]:
    checksum, size = google_crc32c.Checksum(), 0
    with path.open("xb", buffering=BLOCK_BYTES) as file:
        async for block in _as_stream(data) if isinstance(data, bytes) else data:
            checksum.update(block)
            # A small block only fills the buffer, so a thread costs more than it saves.
            size += await asyncio.to_thread(file.write, block) if len(block) >= BLOCK_BYTES else file.write(block)
        await asyncio.to_thread(_sync, file)
    return size, base64.b64encode(checksum.digest()).decode()


async def _as_stream(data: bytes) -> AsyncIterator[bytes]:
    yield data


def _sync(file: BinaryIO) -> None:
    """Sync the bytes, then the folder entry: both must survive a power cut before the row names the file."""
    file.flush()
    os.fsync(file.fileno())
    folder = os.open(Path(file.name).parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _find(connection: sqlite3.Connection, bucket: str, name: str) -> ObjectInfo | None:
    sql = "select name, generation, size, crc32c from objects where bucket = ? and name = ?"
    row = connection.execute(sql, (bucket, name)).fetchone()
    return ObjectInfo(*row) if row else None


def _fetch_all(sql: str, values: tuple[object, ...], connection: sqlite3.Connection) -> list[tuple[str]]:
    return connection.execute(sql, values).fetchall()


def _event(bucket: str, info: ObjectInfo) -> bytes:
    """Return the data of a google.cloud.storage.object.v1.finalized event, as far as it is used."""
    fields = {"bucket": bucket, "name": info.name, "generation": str(info.generation), "size": str(info.size)}
    return orjson.dumps({"kind": "storage#object", **fields, "crc32c": info.crc32c})
