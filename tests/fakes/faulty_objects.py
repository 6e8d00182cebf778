"""A bucket with one fault, in front of a real bucket."""

from collections.abc import AsyncIterator
from typing import Any

from promptforge.ports.objects import Objects


class FailingReads:
    """Raises `error` at the end of every read, after the content."""

    def __init__(self, objects: Objects, error: BaseException) -> None:
        self._objects = objects
        self._error = error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objects, name)

    async def read(self, name: str, **span: Any) -> AsyncIterator[bytes]:
        async for block in self._objects.read(name, **span):
            yield block
        raise self._error
