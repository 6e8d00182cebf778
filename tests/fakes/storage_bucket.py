"""A bucket of the fake Cloud Storage: generations, preconditions and upload sessions, without HTTP."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.harness.crc32c import checksum

BLOCK_UNIT_BYTES = 256 * 1024  # each block of a session but the last is a multiple of this
MAX_SOURCES = 32

generations = itertools.count(1_700_000_000_000_000)


class StorageError(Exception):
    """A rejected request: the status, and the reason in the words of Cloud Storage."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


@dataclass(frozen=True)
class StoredObject:
    """One generation of an object."""

    bucket: str
    name: str
    data: bytes = field(repr=False)
    content_type: str
    generation: int

    @property
    def resource(self) -> dict[str, str]:
        """The object as the JSON API describes it."""
        return {
            "kind": "storage#object",
            "id": f"{self.bucket}/{self.name}/{self.generation}",
            "bucket": self.bucket,
            "name": self.name,
            "generation": str(self.generation),
            "metageneration": "1",
            "contentType": self.content_type,
            "size": str(len(self.data)),
            "crc32c": checksum(self.data),
        }


@dataclass
class UploadSession:
    """A resumable upload: the bytes received until now, and the object that it created at its end."""

    name: str
    content_type: str
    conditions: Mapping[str, str]
    received: bytearray = field(default_factory=bytearray)
    created: StoredObject | None = None


@dataclass
class FakeBucket:
    """One bucket.

    It keeps only the live generation of each object. `conditions` are the query of a request.
    """

    name: str
    objects: dict[str, StoredObject] = field(default_factory=dict)
    sessions: dict[str, UploadSession] = field(default_factory=dict)

    def check(self, name: str, conditions: Mapping[str, str]) -> None:
        """Raise 412 unless the live generation is the expected one.

        Generation 0 expects no object.
        """
        live = self.objects.get(name)
        expected = conditions.get("ifGenerationMatch")
        if expected is not None and int(expected) != (live.generation if live else 0):
            raise StorageError(412, "conditionNotMet")

    def put(self, name: str, data: bytes, content_type: str, conditions: Mapping[str, str]) -> StoredObject:
        """Write a whole object.

        A name has 1 to 1024 bytes and is neither `.` nor `..`.
        """
        if not 1 <= len(name.encode()) <= 1024 or name in (".", ".."):
            raise StorageError(400, "invalid")
        self.check(name, conditions)
        self.objects[name] = StoredObject(self.name, name, data, content_type, next(generations))
        return self.objects[name]

    def get(self, name: str, conditions: Mapping[str, str]) -> StoredObject:
        """Return the live object.

        Raises 404 if there is none of this name and generation.
        """
        live = self.objects.get(name)
        if live is None or conditions.get("generation", str(live.generation)) != str(live.generation):
            raise StorageError(404, "notFound")
        self.check(name, conditions)
        return live

    def delete(self, name: str, conditions: Mapping[str, str]) -> None:
        """Remove an object."""
        self.get(name, conditions)
        del self.objects[name]

    def compose(
        self, name: str, sources: Sequence[str], content_type: str, conditions: Mapping[str, str]
    ) -> StoredObject:
        """Concatenate objects into one."""
        if not 1 <= len(sources) <= MAX_SOURCES:
            raise StorageError(400, "invalid")
        data = b"".join(self.get(source, {}).data for source in sources)
        return self.put(name, data, content_type, conditions)

    def page(self, prefix: str, after: str, limit: int) -> tuple[list[StoredObject], str]:
        """Return objects in the byte order of their names, and the token of the next page."""
        names = sorted((name for name in self.objects if name.startswith(prefix)), key=str.encode)
        rest = [name for name in names if name.encode() > after.encode()]
        return [self.objects[name] for name in rest[:limit]], rest[limit - 1] if len(rest) > limit else ""

    def append(self, session: UploadSession, start: int, data: bytes, last: bool) -> None:
        """Add a block to a session.

        Bytes received before are skipped; a gap is rejected.
        """
        if start > len(session.received) or (not last and len(data) % BLOCK_UNIT_BYTES):
            raise StorageError(400, "invalid")
        session.received += data[len(session.received) - start :]

    def finish(self, session: UploadSession) -> StoredObject:
        """Create the object of a session that has received all its bytes."""
        session.created = self.put(session.name, bytes(session.received), session.content_type, session.conditions)
        return session.created
