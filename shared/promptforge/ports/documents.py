"""Durable state: small JSON documents, changed by compare-and-set commits only.

A path is `collection/id`, or `collection/id/collection/id` below another document. Values are None, bool,
int, float, str, and lists and string-keyed dicts of those.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Data = dict[str, Any]
Scalar = str | int | float | bool | None
Version = str  # opaque: equal versions of one path mean equal data


@dataclass(frozen=True, slots=True)
class Document:
    """A document at the version that was read."""

    path: str
    data: Data
    version: Version


@dataclass(frozen=True, slots=True)
class Create:
    """Write a document that must not exist."""

    path: str
    data: Data


@dataclass(frozen=True, slots=True)
class Update:
    """Replace a document that must be at `version`."""

    path: str
    data: Data
    version: Version


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove a document that must be at `version`."""

    path: str
    version: Version


Write = Create | Update | Delete

EXPIRE_FIELD = "expire_at"
"""A time in whole seconds since 1970 UTC, or None. A store may remove the document after it, but not at once."""

MAX_COMMIT_BYTES = 4 * 1024 * 1024  # Firestore's gRPC message limit; every adapter refuses more


class Documents(Protocol):
    """A store of documents.

    Reads see every commit that was answered before they began.
    """

    async def get(self, path: str) -> Document | None:
        """Return the document at `path`, or None."""
        ...

    async def commit(self, writes: Sequence[Write]) -> list[Version]:
        """Apply all writes or none.

        Returns the new version of each; an empty string for a deleted document. Raises Conflict if a document is not
        as its write requires. Raises ValueError above MAX_COMMIT_BYTES, or when one path is written twice. Raises
        Unavailable if the answer is lost: then the commit may have been applied.
        """
        ...

    async def query(
        self,
        collection: str,
        where: Mapping[str, Scalar] | None = None,
        *,
        order_by: str | None = None,
        limit: int,
        after: Document | None = None,
    ) -> list[Document]:
        """Return documents whose top-level fields equal `where`, ascending by `order_by`, then by path.

        Documents without the `order_by` field are left out. `after` is the last document of the previous page.
        """
        ...

    async def count(self, collection: str, where: Mapping[str, Scalar] | None = None) -> int:
        """Return the number of documents whose fields equal `where`."""
        ...

    async def sum(self, collection: str, fields: Sequence[str]) -> dict[str, int]:
        """Return the sum of each integer field over a collection; 0 where there is none."""
        ...
