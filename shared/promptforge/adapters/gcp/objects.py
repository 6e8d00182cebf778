"""Objects in Cloud Storage.

Google's library blocks, so its calls run in threads. The first call imports it.
"""

import asyncio
import base64
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Sequence
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, TypeVar

import google_crc32c

from promptforge.adapters.gcp.billing import BilledOperation, BilledOperations
from promptforge.adapters.gcp.crc32c import combine
from promptforge.adapters.gcp.signing import SignedUrls
from promptforge.adapters.gcp.threads import Lazy, Threads
from promptforge.errors import ObjectExists, ObjectMissing, Unavailable
from promptforge.ports.objects import MAX_COMPOSE, ObjectInfo

if TYPE_CHECKING:
    from promptforge.adapters.gcp.bucket import Bucket

T = TypeVar("T")

THREADS = 16
RETRY_SECONDS = 20.0
CALL_SECONDS = 30.0  # including the last try, which may begin just before the retries end
BLOCK_BYTES = 8 * 1024 * 1024  # of a read and of a piece of an upload; a multiple of 256 KiB


class BucketObjects:
    """One bucket.

    Failed calls that may run twice are repeated for `retry_seconds`. `endpoint` is the address of an emulator. Without
    it, STORAGE_EMULATOR_HOST or the address of Google counts.
    """

    def __init__(
        self,
        bucket: str,
        urls: SignedUrls,
        operations: BilledOperations,
        endpoint: str = "",
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self.bucket = bucket
        self._urls, self._operations = urls, operations
        self._threads = Threads(bucket, THREADS, CALL_SECONDS)
        self._bucket = Lazy(lambda: _open(bucket, retry_seconds, endpoint))

    async def stat(self, name: str) -> ObjectInfo | None:
        return await self._call(BilledOperation.CLASS_B, lambda bucket: bucket.stat(name))

    async def read(
        self, name: str, *, generation: int | None = None, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        if generation is None or end is None or end <= start:
            info = await self.stat(name)
            if info is None or generation not in (None, info.generation):
                raise ObjectMissing(name)
            generation, end = info.generation, min(info.size, info.size if end is None else end)
        while start < end:
            block = await self._read_range(name, generation, start, min(start + BLOCK_BYTES, end))
            if not block:
                return
            yield block
            start += len(block)  # a short block is not the end: the rest is read next

    async def create(self, name: str, data: bytes | AsyncIterable[bytes]) -> ObjectInfo:
        digest = _ContentDigest()
        async with aclosing(digest.pieces(_as_stream(data) if isinstance(data, bytes) else data)) as pieces:
            try:
                return await self._write(name, pieces, digest)
            except ObjectExists:
                async for _ in pieces:  # the existing object may have this content: compute all of it
                    pass
        return await self._get_if_equal(name, digest.size, digest.crc32c)

    async def compose(self, name: str, sources: Sequence[str]) -> ObjectInfo:
        if not 1 <= len(sources) <= MAX_COMPOSE:
            raise ValueError(f"compose takes 1 to {MAX_COMPOSE} sources, not {len(sources)}")
        try:
            return await self._call(BilledOperation.CLASS_A, lambda bucket: bucket.compose(name, sources))
        except ObjectExists:
            parts = [part for part in await asyncio.gather(*map(self.stat, sources)) if part]
        if len(parts) < len(sources):
            raise ObjectMissing(name)
        return await self._get_if_equal(name, *combine(parts))

    async def list(self, prefix: str) -> AsyncIterator[str]:
        token: str | None = ""
        while token is not None:
            names, token = await self._list_page(prefix, token)
            for name in names:
                yield name

    async def delete(self, name: str) -> None:
        with suppress(ObjectMissing):
            await self._call(BilledOperation.OBJECT_DELETE, lambda bucket: bucket.delete(name))

    async def upload_url(self, name: str, expires_at: float) -> str:
        """The URL works once, because the role of its signer may create objects but not overwrite them."""
        return await self._urls.put(self.bucket, name, expires_at)

    async def download_url(self, name: str, filename: str, expires_at: float) -> str:
        return await self._urls.get(self.bucket, name, filename, expires_at)

    def close(self) -> None:
        """Close the threads and the connections."""
        self._threads.close()
        if bucket := self._bucket.get_if_created():
            bucket.close()

    async def _write(
        self, name: str, pieces: AsyncIterator[tuple[bytes, bool]], digest: "_ContentDigest"
    ) -> ObjectInfo:
        piece, last = await anext(pieces)
        if last:
            return await self._call(BilledOperation.CLASS_A, lambda bucket: bucket.insert(name, piece))
        session = await self._call(
            BilledOperation.CLASS_A, lambda bucket: bucket.start_session(name)
        )  # billed once, with all pieces
        try:
            sent = 0
            while not last:
                await self._send(session, piece, sent)
                sent += len(piece)
                piece, last = await anext(pieces)
            return await self._call(
                None, lambda bucket: bucket.send_last_piece(name, session, piece, sent, digest.crc32c)
            )
        except BaseException:
            self._threads.start(lambda: self._bucket().delete_session(session))
            raise

    async def _send(self, session: str, piece: bytes, start: int) -> None:
        await self._call(None, lambda bucket: bucket.send_piece(session, piece, start))

    async def _read_range(self, name: str, generation: int, start: int, end: int) -> bytes:
        return await self._call(BilledOperation.CLASS_B, lambda bucket: bucket.read_range(name, generation, start, end))

    async def _get_if_equal(self, name: str, size: int, crc32c: str) -> ObjectInfo:
        """Return the existing object if it equals the result of an own earlier try."""
        info = await self.stat(name)
        if info is None:
            raise Unavailable(self.bucket, "object_deleted_meanwhile")
        if (info.size, info.crc32c) != (size, crc32c):
            raise ObjectExists(name)
        return info

    async def _list_page(self, prefix: str, token: str) -> tuple[Sequence[str], str | None]:
        return await self._call(BilledOperation.CLASS_A, lambda bucket: bucket.list_page(prefix, token))

    async def _call(self, operation: BilledOperation | None, call: "Callable[[Bucket], T]") -> T:
        if operation:
            self._operations.add(operation)
        return await self._threads.run(lambda: call(self._bucket()))


class _ContentDigest:
    """The size and the checksum of the content so far, in the form of Cloud Storage."""

    def __init__(self) -> None:
        self.size, self._checksum = 0, google_crc32c.Checksum()

    @property
    def crc32c(self) -> str:
        return base64.b64encode(self._checksum.digest()).decode()

    async def pieces(self, data: AsyncIterable[bytes]) -> AsyncGenerator[tuple[bytes, bool], None]:
        """Yield pieces of BLOCK_BYTES, each with whether it is the last, which may be shorter."""
        buffer = bytearray()
        async for block in data:
            self.size += len(block)
            self._checksum.update(block)
            buffer += block
            while len(buffer) > BLOCK_BYTES:
                yield bytes(buffer[:BLOCK_BYTES]), False
                del buffer[:BLOCK_BYTES]
        yield bytes(buffer), True


async def _as_stream(data: bytes) -> AsyncIterator[bytes]:
    yield data


def _open(bucket: str, retry_seconds: float, endpoint: str) -> "Bucket":
    from promptforge.adapters.gcp.bucket import Bucket

    return Bucket(bucket, THREADS, retry_seconds, endpoint)
