"""Data: immutable objects in one bucket. A name is written once; what is read is pinned by its generation."""

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

MAX_COMPOSE = 32  # Cloud Storage's limit of sources in one compose request


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object as it stands. `crc32c` is base64 of the big-endian checksum, as Cloud Storage writes it."""

    name: str
    generation: int
    size: int
    crc32c: str


class Objects(Protocol):
    """One bucket. Every write is create-only; an equal write that is repeated succeeds.
    A name is 1 to 1,024 bytes of UTF-8, and neither `.` nor `..`."""

    async def stat(self, name: str) -> ObjectInfo | None:
        """The live object of that name, or None."""
        ...

    def read(
        self, name: str, *, generation: int | None = None, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        """The bytes [start, end) in blocks; a range past the end is cut. Raises ObjectMissing."""
        ...

    async def create(self, name: str, data: bytes | AsyncIterable[bytes]) -> ObjectInfo:
        """Write an object whole or not at all. Raises ObjectExists if the name holds other content;
        equal content (size and crc32c) is taken for one's own earlier try and answered as success."""
        ...

    async def compose(self, name: str, sources: Sequence[str]) -> ObjectInfo:
        """Create an object from 1 to MAX_COMPOSE others, in order. Raises ObjectMissing, or as `create`;
        ValueError for a wrong number of sources."""
        ...

    def list(self, prefix: str) -> AsyncIterator[str]:
        """The names of the live objects that begin with `prefix`, ascending."""
        ...

    async def delete(self, name: str) -> None:
        """Remove an object; one that is not there counts as removed."""
        ...

    async def upload_url(self, name: str, expires_at: float) -> str:
        """A URL that lets its bearer PUT this object once, until `expires_at`. The store refuses a second PUT,
        a changed URL and a late one."""
        ...

    async def download_url(self, name: str, filename: str, expires_at: float) -> str:
        """A URL that lets its bearer GET this object until `expires_at`, saved as `filename`."""
        ...
