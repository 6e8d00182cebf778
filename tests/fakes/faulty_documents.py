"""Document stores with one fault each, in front of a real store."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from promptforge.errors import Unavailable
from promptforge.ports.documents import Document, Documents, Update, Version, Write


class _Wrapper:
    """Passes every call on to the real store."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def __getattr__(self, name: str) -> Any:
        return getattr(self._documents, name)


class LostReplies(_Wrapper):
    """Applies the next commit that `lose_next` selects, and reports it as Unavailable: its reply was lost."""

    lose_next: Callable[[Sequence[Write]], bool] | None = None

    async def commit(self, writes: Sequence[Write]) -> list[Version]:
        versions = await self._documents.commit(writes)
        if self.lose_next and self.lose_next(writes):
            self.lose_next = None
            raise Unavailable("documents", "reply_lost")
        return versions


class Contended(_Wrapper):
    """Writes the same document just before each of the next `rivals` updates, so that these conflict."""

    rivals = 0

    async def commit(self, writes: Sequence[Write]) -> list[Version]:
        if self.rivals and isinstance(writes[0], Update):
            self.rivals -= 1
            current = await self._documents.get(writes[0].path)
            assert current is not None
            rival = Update(current.path, {**current.data, "rival": self.rivals}, current.version)
            await self._documents.commit([rival])
        return await self._documents.commit(writes)


class UnavailableWrites(_Wrapper):
    """Rejects the next `rejections` commits as Unavailable, without applying them."""

    rejections = 0

    async def commit(self, writes: Sequence[Write]) -> list[Version]:
        if self.rejections:
            self.rejections -= 1
            raise Unavailable("documents", "timeout")
        return await self._documents.commit(writes)


class UnavailableReads(_Wrapper):
    """Reports the next `rejections` reads of one document as Unavailable."""

    rejections = 0

    async def get(self, path: str) -> Document | None:
        if self.rejections:
            self.rejections -= 1
            raise Unavailable("documents", "timeout")
        return await self._documents.get(path)


class SlowSums(_Wrapper):
    """Takes a while for each sum, or reports it as Unavailable."""

    unavailable = False
    sum_count = 0

    async def sum(self, collection: str, fields: Sequence[str]) -> dict[str, int]:
        self.sum_count += 1
        if self.unavailable:
            raise Unavailable("documents", "timeout")
        sums = await self._documents.sum(collection, fields)
        await asyncio.sleep(0.05)
        return sums
