"""Data to write into objects, and ways to read it back."""

from collections.abc import AsyncIterator

from promptforge.ports.objects import Objects

LARGE = (
    bytes(range(256)) * 10_000
)  # several blocks; no two neighbouring bytes are equal, so a shifted range is detected


class Broken(Exception):
    """The source of the data failed."""


async def blocks(*parts: bytes) -> AsyncIterator[bytes]:
    """Yield the parts one by one."""
    for part in parts:
        yield part


async def broken(*parts: bytes) -> AsyncIterator[bytes]:
    """Yield the parts one by one, then raise Broken."""
    for part in parts:
        yield part
    raise Broken


async def content(
    objects: Objects, name: str, *, generation: int | None = None, start: int = 0, end: int | None = None
) -> bytes:
    """Return the whole content of a read."""
    found = [block async for block in objects.read(name, generation=generation, start=start, end=end)]
    assert all(found), "a block is never empty"
    return b"".join(found)
