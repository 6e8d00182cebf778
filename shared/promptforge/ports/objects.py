"""Immutable objects in one bucket.

A name is written once. A generation pins the content that is read.
"""

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

MAX_COMPOSE = 32  # Cloud Storage's limit of sources in one compose request


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object and its checksum.

    `crc32c` is base64 of the big-endian checksum, as Cloud Storage writes it.
    """

    name: str
    generation: int
    size: int
    crc32c: str


class Objects(Protocol):
    """One bucket.

    Every write is create-only; a repeated equal write succeeds. A name has 1 to 1,024 bytes of UTF-8 and is neither
    `.` nor `..`.
    """

    async def stat(self, name: str) -> ObjectInfo | None:
        """Return the live object of that name, or None."""
        ...

    def read(
        self, name: str, *, generation: int | None = None, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        """Yield the bytes [start, end) in blocks; a range past the end is cut.

        Raises ObjectMissing.
        """
        ...

    async def create(self, name: str, data: bytes | AsyncIterable[bytes]) -> ObjectInfo:
        """Write an object whole or not at all.

        Raises ObjectExists if the name holds other content. Equal content (size and crc32c) counts as an own earlier
        try and succeeds.
        """
        ...

    async def compose(self, name: str, sources: Sequence[str]) -> ObjectInfo:
        """Create an object from 1 to MAX_COMPOSE others, in order.

        Raises ObjectMissing, and the errors of `create`. Raises ValueError for a wrong number of sources.
        """
        ...

    def list(self, prefix: str) -> AsyncIterator[str]:
        """Yield the names of the live objects that begin with `prefix`, ascending."""
        ...

    async def delete(self, name: str) -> None:
        """Delete an object; a missing one counts as deleted."""
        ...

    async def upload_url(self, name: str, expires_at: float) -> str:
        """Return a URL that lets its bearer PUT this object once, until `expires_at`.

        The store rejects a second PUT, a changed URL and an expired one.
        """
        ...

    async def download_url(self, name: str, filename: str, expires_at: float) -> str:
        """Return a URL that lets its bearer GET this object until `expires_at`, saved as `filename`."""
        ...
