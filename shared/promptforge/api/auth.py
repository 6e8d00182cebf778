"""Who is calling, and what is theirs: API keys made, listed, revoked and checked; a job for its own client only."""

import hmac
import math
import secrets
from dataclasses import dataclass

from promptforge.context import AppContext
from promptforge.domain.api_keys import hash_key, is_mistyped, make_key
from promptforge.domain.commands import is_job_id
from promptforge.domain.job import Job
from promptforge.errors import Conflict, RequestError
from promptforge.ports.documents import Create, Document, Update

KEYS = "api_keys"
PAGE = 1000


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What may be shown of a key. Times are seconds since 1970 UTC."""

    key_id: str
    client: str
    created_at: float
    revoked_at: float | None


async def authenticate(app: AppContext, key: str | None) -> str:
    """The client a key belongs to. Raises RequestError, in the same words for every kind of wrong key, and for one
    that comes too often before anything is looked up."""
    refused = RequestError("invalid_api_key", "Send a valid API key in the X-API-Key header.")
    if not key or len(key) > 512 or is_mistyped(key):
        raise refused
    hashed = hash_key(app.pepper, key)
    if wait := app.request_limits.take(hashed):
        raise RequestError("rate_limited", "This key sends requests too fast.", retry_after=math.ceil(wait))
    document = await app.documents.get(_path(hashed))
    stored = document.data["hash"] if document else "0" * len(hashed)
    if not hmac.compare_digest(stored, hashed) or document is None or document.data["revoked_at"] is not None:
        raise refused
    return str(document.data["client"])


async def get_owned_job(app: AppContext, client: str, job_id: str) -> Job:
    """The client's job. Raises RequestError, the same for a job that is unknown, forgotten, or another client's."""
    job = await app.ledger.get(job_id) if is_job_id(job_id) else None
    if job is None or job.client != client or job.expired(app.clock.now()):
        raise RequestError("job_not_found", "There is no such job.")
    return job


async def create_key(app: AppContext, client: str) -> str:
    """A new random key for a client. It is not stored and cannot be shown again."""
    key = make_key(secrets.randbits(256))
    await admit_key(app, client, key)
    return key


async def admit_key(app: AppContext, client: str, key: str) -> bool:
    """Let a key that was chosen elsewhere in. One that is known stays as it is; False if it is revoked."""
    hashed = hash_key(app.pepper, key)
    fields = {"hash": hashed, "client": client, "created_at": app.clock.now(), "revoked_at": None}
    try:
        await app.documents.commit([Create(_path(hashed), fields)])
    except Conflict:
        document = await app.documents.get(_path(hashed))
        return document is not None and document.data["revoked_at"] is None
    return True


async def list_keys(app: AppContext, client: str | None) -> list[KeyInfo]:
    """The keys of one client, or of all."""
    return [_info(document) for document in await _documents(app, client)]


async def revoke_keys(app: AppContext, client: str, key_id: str | None) -> int:
    """Revoke one key of a client, or all; how many were revoked now."""
    revoked = 0
    for document in await _documents(app, client):
        if document.data["revoked_at"] is None and key_id in (None, _info(document).key_id):
            data = {**document.data, "revoked_at": app.clock.now()}
            await app.documents.commit([Update(document.path, data, document.version)])
            revoked += 1
    return revoked


async def _documents(app: AppContext, client: str | None) -> list[Document]:
    found: list[Document] = []
    while True:
        where = {"client": client} if client else {}
        after = found[-1] if found else None
        page = await app.documents.query(KEYS, where, limit=PAGE, after=after)
        found += page
        if len(page) < PAGE:
            return found


def _path(hashed: str) -> str:
    return f"{KEYS}/{hashed[:16]}"


def _info(document: Document) -> KeyInfo:
    data = document.data
    return KeyInfo(document.path.rpartition("/")[2], data["client"], data["created_at"], data["revoked_at"])
