"""The context of a use case: settings, ports and stores.

One per process, passed as an argument.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from promptforge.domain.limits.token_bucket import TokenBuckets
from promptforge.ports.caller_auth import CallerAuth
from promptforge.ports.clock import Clock
from promptforge.ports.documents import Documents
from promptforge.ports.objects import Objects
from promptforge.ports.tasks import Tasks
from promptforge.ports.topics import Topics
from promptforge.settings import Settings
from promptforge.state.api_keys import ApiKeyStore
from promptforge.state.chunks import ChunkStore
from promptforge.state.jobs import JobStore
from promptforge.state.queues import Queues
from promptforge.state.spend_quotas import SpendQuotaStore
from promptforge.state.tombstones import TombstoneStore


def monotonic_time() -> float:
    """Return the time of the event loop, which never jumps: a span is not measured with a wall clock."""
    return asyncio.get_running_loop().time()


async def _ignore(job_id: str) -> None:
    """Do nothing: only an engine that pauses jobs has to know which one is requested."""


class AsyncCloseable(Protocol):
    """A connection that must be closed before the event loop ends."""

    async def close(self) -> None: ...


@dataclass(kw_only=True)
class Backend:
    """The adapters of one platform.

    `pepper` is the secret of the hashes of API keys. `caller_auth` guards the event functions where the platform does
    not. `release` is called after the `connections` are closed.
    """

    pepper: bytes = field(repr=False)
    documents: Documents
    uploads: Objects
    work: Objects
    results: Objects
    topics: Topics
    tasks: Tasks
    release: Callable[[], None]
    connections: tuple[AsyncCloseable, ...] = ()
    caller_auth: CallerAuth | None = None


class AppContext:
    """Settings, ports and stores of one process.

    `stopping` is set when the process must end: holders of chunks then wait for the calls in flight and release their
    chunks. `job_requested` is called after a client has created a job, repeated its creation or cancelled it.
    """

    def __init__(self, settings: Settings, backend: Backend, clock: Clock, rng: random.Random) -> None:
        self.settings = settings
        self.backend = backend
        self.clock = clock
        self.rng = rng
        self.stopping = asyncio.Event()
        self.job_requested: Callable[[str], Awaitable[None]] = _ignore
        self.pepper = backend.pepper
        self.documents = backend.documents
        self.uploads = backend.uploads
        self.work = backend.work
        self.results = backend.results
        self.caller_auth = backend.caller_auth
        self.queues = Queues(backend.topics, backend.tasks)
        self.quotas = SpendQuotaStore(backend.documents, rng)
        self.jobs = JobStore(backend.documents, self.quotas, clock, rng)
        self.chunks = ChunkStore(backend.documents, clock, rng)
        self.tombstones = TombstoneStore(backend.documents, self.quotas, rng)
        self.api_keys = ApiKeyStore(backend.documents, backend.pepper, clock)
        self.request_limits = TokenBuckets(settings.requests_per_second, monotonic_time)

    def new_id(self) -> str:
        """Return 128 random bits in hex."""
        return f"{self.rng.getrandbits(128):032x}"

    async def close(self) -> None:
        """Close every connection and file."""
        for connection in self.backend.connections:
            await connection.close()
        self.backend.release()
