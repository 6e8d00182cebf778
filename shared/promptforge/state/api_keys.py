"""API keys: created, listed, revoked and looked up.

Only a keyed hash of a key is stored.
"""

import hmac
import secrets

from promptforge.domain.api_keys import hash_key, make_key
from promptforge.domain.document import StoredDocument
from promptforge.errors import Conflict
from promptforge.ports.clock import Clock
from promptforge.ports.documents import Create, Document, Documents, Update
from promptforge.state.commit import read_pages

API_KEYS = "api_keys"


class StoredApiKey(StoredDocument):
    """An API key's document.

    Times are seconds since 1970 UTC.
    """

    hash: str
    client: str
    created_at: float
    revoked_at: float | None = None

    @property
    def key_id(self) -> str:
        """The id that may be shown."""
        return self.hash[:16]

    def revoked(self, now: float) -> "StoredApiKey":
        """Return the key as revoked."""
        return StoredApiKey.model_validate(self.model_dump() | {"revoked_at": now})


class ApiKeyStore:
    """API keys by their hash.

    `pepper` is the secret of the hash.
    """

    def __init__(self, documents: Documents, pepper: bytes, clock: Clock) -> None:
        self._documents = documents
        self._pepper = pepper
        self._clock = clock

    def hash(self, key: str) -> str:
        """Return the hash under which a key is stored."""
        return hash_key(self._pepper, key)

    async def find_client(self, hashed: str) -> str | None:
        """Return the client of a valid key, or None for an unknown or revoked one, in the same time."""
        document = await self._documents.get(_path(hashed))
        stored = document.data["hash"] if document else "0" * len(hashed)
        if not hmac.compare_digest(stored, hashed) or document is None or document.data["revoked_at"] is not None:
            return None
        return str(document.data["client"])

    async def create(self, client: str) -> str:
        """Create a random key for a client and return it.

        The key cannot be shown again.
        """
        key = make_key(secrets.randbits(256))
        await self.admit(client, key)
        return key

    async def admit(self, client: str, key: str) -> bool:
        """Store a key that was chosen elsewhere; a known key stays as it is.

        Returns False if it is revoked.
        """
        hashed = self.hash(key)
        stored = StoredApiKey(hash=hashed, client=client, created_at=self._clock.now())
        try:
            await self._documents.commit([Create(_path(hashed), stored.model_dump(mode="json"))])
        except Conflict:
            document = await self._documents.get(_path(hashed))
            return document is not None and _parse(document).revoked_at is None
        return True

    async def list_for(self, client: str | None) -> list[StoredApiKey]:
        """Return the keys of one client, or of all."""
        return [_parse(document) for document in await self._read(client)]

    async def revoke(self, client: str, key_id: str | None) -> int:
        """Revoke one key of a client, or all of them.

        Returns how many were revoked now.
        """
        revoked = 0
        for document in await self._read(client):
            key = _parse(document)
            if key.revoked_at is None and key_id in (None, key.key_id):
                data = key.revoked(self._clock.now()).model_dump(mode="json")
                await self._documents.commit([Update(document.path, data, document.version)])
                revoked += 1
        return revoked

    async def _read(self, client: str | None) -> list[Document]:
        where = {"client": client} if client else {}
        return [document async for document in read_pages(self._documents, API_KEYS, where, None)]


def _parse(document: Document) -> StoredApiKey:
    return StoredApiKey.model_validate(document.data)


def _path(hashed: str) -> str:
    return f"{API_KEYS}/{hashed[:16]}"
