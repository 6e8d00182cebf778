"""What a use case works with: the ports, the settings, and what one process shares among its calls."""

import asyncio
import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from promptforge.domain.job import Job
from promptforge.domain.pace import Pace
from promptforge.ports.callers import Callers
from promptforge.ports.clock import Clock
from promptforge.ports.documents import Documents
from promptforge.ports.objects import Objects
from promptforge.ports.provider import Provider
from promptforge.ports.tasks import Tasks
from promptforge.ports.topics import Topics
from promptforge.service.erasures import Erasures
from promptforge.service.gate import Gate
from promptforge.service.ledger import Ledger
from promptforge.service.purse import Purse
from promptforge.service.room import Room
from promptforge.settings import Settings

MAX_GATES = 1000
MAX_PURSES = 1000


def loop_time() -> float:
    """The time of a clock that never jumps: a span is not measured with a wall clock."""
    return asyncio.get_running_loop().time()


class Connection(Protocol):
    """What is to be closed before the event loop ends."""

    async def close(self) -> None: ...


@dataclass(kw_only=True)
class Parts:
    """What a backend brings. `pepper` keys the hashes of API keys; `callers` guards the event functions, where nothing
    else does that before them; what is held is let go by closing the `connections` and then by `release`."""

    pepper: bytes = field(repr=False)
    documents: Documents
    uploads: Objects
    work: Objects
    results: Objects
    topics: Topics
    tasks: Tasks
    release: Callable[[], None]
    connections: tuple[Connection, ...] = ()
    callers: Callers | None = None


@dataclass(kw_only=True)
class App(Parts):
    """One per process, handed on by argument.

    `make_provider` makes a provider by name. `instance` names the process in the leases it takes. `room` bounds the
    provider calls in flight; `careful` is held by the one chunk that is asked prompt by prompt, each with the room for
    itself, because its holders keep dying. `stopping` is set when the process is told to end: workers then let come
    back what is in flight and give their chunks back.
    """

    settings: Settings
    clock: Clock
    rng: random.Random
    make_provider: Callable[[str], Provider]
    instance: str = field(default_factory=lambda: secrets.token_hex(8))
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.documents, self.clock, self.rng)
        self.erasures = Erasures(self.documents, self.rng)
        self.pace = Pace(self.settings.requests_per_second, loop_time)
        self.careful = asyncio.Lock()
        self.room = Room(self.settings.max_in_flight)
        self._providers: dict[str, Provider] = {}
        self._purses: dict[str, Purse] = {}
        self._gates: dict[tuple[str, str], Gate] = {}

    def new_id(self) -> str:
        """128 random bits in hex."""
        return f"{self.rng.getrandbits(128):032x}"

    def provider(self, name: str) -> Provider:
        """The process's provider of that name, made at the first call for it."""
        if name not in self._providers:
            self._providers[name] = self.make_provider(name)
        return self._providers[name]

    def purse(self, job: Job) -> Purse:
        """What this process knows of the job's money."""
        if job.job_id not in self._purses:
            if len(self._purses) >= MAX_PURSES:
                del self._purses[next(iter(self._purses))]  # of the job that came first
            self._purses[job.job_id] = Purse(job.max_cost_nanos, partial(self.ledger.cost, job.job_id), loop_time)
        return self._purses[job.job_id]

    def gate(self, provider: str, model: str) -> Gate:
        """What this process has learned of a model's throttling. Clients name models: not all can be kept for good."""
        if len(self._gates) >= MAX_GATES:
            self._gates.clear()
        return self._gates.setdefault((provider, model), Gate(self.rng))

    async def close(self) -> None:
        """Close every connection and file."""
        for connection in (*self._providers.values(), *self.connections):
            await connection.close()
        self.release()
