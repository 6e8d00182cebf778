"""What a use case works with: the ports, the settings, and what one process shares among its calls."""

import asyncio
import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from promptforge.domain.job import Job
from promptforge.domain.limits.token_bucket import TokenBuckets
from promptforge.ports.caller_auth import CallerAuth
from promptforge.ports.clock import Clock
from promptforge.ports.documents import Documents
from promptforge.ports.objects import Objects
from promptforge.ports.provider import Provider
from promptforge.ports.tasks import Tasks
from promptforge.ports.topics import Topics
from promptforge.settings import Settings
from promptforge.state.jobs import Ledger
from promptforge.state.tombstones import TombstoneStore
from promptforge.worker.call_slots import CallSlots
from promptforge.worker.circuit_breaker import CircuitBreaker
from promptforge.worker.cost_budget import CostBudget

MAX_CIRCUIT_BREAKERS = 1000
MAX_COST_BUDGETS = 1000


def loop_time() -> float:
    """The time of a clock that never jumps: a span is not measured with a wall clock."""
    return asyncio.get_running_loop().time()


class AsyncCloseable(Protocol):
    """What is to be closed before the event loop ends."""

    async def close(self) -> None: ...


@dataclass(kw_only=True)
class Backend:
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
    connections: tuple[AsyncCloseable, ...] = ()
    caller_auth: CallerAuth | None = None


@dataclass(kw_only=True)
class AppContext(Backend):
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
        self.tombstones = TombstoneStore(self.documents, self.rng)
        self.request_limits = TokenBuckets(self.settings.requests_per_second, loop_time)
        self.isolation_lock = asyncio.Lock()
        self.call_slots = CallSlots(self.settings.max_in_flight)
        self._providers: dict[str, Provider] = {}
        self._purses: dict[str, CostBudget] = {}
        self._gates: dict[tuple[str, str], CircuitBreaker] = {}

    def new_id(self) -> str:
        """128 random bits in hex."""
        return f"{self.rng.getrandbits(128):032x}"

    def provider(self, name: str) -> Provider:
        """The process's provider of that name, made at the first call for it."""
        if name not in self._providers:
            self._providers[name] = self.make_provider(name)
        return self._providers[name]

    def cost_budget(self, job: Job) -> CostBudget:
        """What this process knows of the job's money."""
        if job.job_id not in self._purses:
            if len(self._purses) >= MAX_COST_BUDGETS:
                del self._purses[next(iter(self._purses))]  # of the job that came first
            self._purses[job.job_id] = CostBudget(
                job.max_cost_nanos, partial(self.ledger.total_cost, job.job_id), loop_time
            )
        return self._purses[job.job_id]

    def circuit_breaker(self, provider: str, model: str) -> CircuitBreaker:
        """What this process has learned of a model's throttling. Clients name models: not all can be kept for good."""
        if len(self._gates) >= MAX_CIRCUIT_BREAKERS:
            self._gates.clear()
        return self._gates.setdefault((provider, model), CircuitBreaker(self.rng))

    async def close(self) -> None:
        """Close every connection and file."""
        for connection in (*self._providers.values(), *self.connections):
            await connection.close()
        self.release()
