"""What a bucket of Cloud Storage holds and refuses: generations, preconditions, sessions. Nothing of HTTP."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.harness.crc32c import checksum

QUANTUM = 256 * 1024  # what a piece of a session is a multiple of, unless it is the last
MAX_SOURCES = 32

generations = itertools.count(1_700_000_000_000_000)


class Refused(Exception):
    """A request that is not served: a status, and Cloud Storage's word for why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


@dataclass(frozen=True)
class Stored:
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
class Session:
    """A resumable upload. `kept` are the bytes that came so far, `made` is the object at its end."""

    name: str
    content_type: str
    conditions: Mapping[str, str]
    kept: bytearray = field(default_factory=bytearray)
    made: Stored | None = None


@dataclass
class StrictBucket:
    """One bucket. `conditions` are a request's query."""

    name: str
    objects: dict[str, Stored] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)

    def check(self, name: str, conditions: Mapping[str, str]) -> None:
        """Raise 412 unless the live object is the one that the request expects, or there is none as it expects."""
        there = self.objects.get(name)
        expected = conditions.get("ifGenerationMatch")
        if expected is not None and int(expected) != (there.generation if there else 0):
            raise Refused(412, "conditionNotMet")

    def put(self, name: str, data: bytes, content_type: str, conditions: Mapping[str, str]) -> Stored:
        """Write an object whole. A name is 1 to 1024 bytes, and neither `.` nor `..`."""
        if not 1 <= len(name.encode()) <= 1024 or name in (".", ".."):
            raise Refused(400, "invalid")
        self.check(name, conditions)
        self.objects[name] = Stored(self.name, name, data, content_type, next(generations))
        return self.objects[name]

    def find(self, name: str, conditions: Mapping[str, str]) -> Stored:
        """The live object, which is the only generation kept."""
        there = self.objects.get(name)
        if there is None or conditions.get("generation", str(there.generation)) != str(there.generation):
            raise Refused(404, "notFound")
        self.check(name, conditions)
        return there

    def delete(self, name: str, conditions: Mapping[str, str]) -> None:
        """Remove an object."""
        self.find(name, conditions)
        del self.objects[name]

    def compose(self, name: str, sources: Sequence[str], content_type: str, conditions: Mapping[str, str]) -> Stored:
        """Join objects into one."""
        if not 1 <= len(sources) <= MAX_SOURCES:
            raise Refused(400, "invalid")
        data = b"".join(self.find(source, {}).data for source in sources)
        return self.put(name, data, content_type, conditions)

    def page(self, prefix: str, after: str, number: int) -> tuple[list[Stored], str]:
        """Objects in the order of their names' bytes, and the token of the page that follows."""
        names = sorted((name for name in self.objects if name.startswith(prefix)), key=str.encode)
        rest = [name for name in names if name.encode() > after.encode()]
        return [self.objects[name] for name in rest[:number]], rest[number - 1] if len(rest) > number else ""

    def keep(self, session: Session, start: int, data: bytes, last: bool) -> None:
        """Take a piece: what is kept already is not taken twice, and a gap is refused."""
        if start > len(session.kept) or (not last and len(data) % QUANTUM):
            raise Refused(400, "invalid")
        session.kept += data[len(session.kept) - start :]

    def finish(self, session: Session) -> Stored:
        """Make the object of a session that has come to its end."""
        session.made = self.put(session.name, bytes(session.kept), session.content_type, session.conditions)
        return session.made
