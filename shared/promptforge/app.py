"""The composition root: the one place that knows which adapter stands behind each port."""

import asyncio
import os
import random
import secrets
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module

from promptforge import logs
from promptforge.ports.clock import Clock
from promptforge.ports.documents import Documents
from promptforge.ports.objects import Objects
from promptforge.ports.provider import Provider
from promptforge.ports.tasks import Tasks
from promptforge.ports.topics import Topics
from promptforge.service.gate import Gate
from promptforge.service.ledger import Ledger
from promptforge.settings import Settings


@dataclass
class App:
    """Everything a use case needs; one per process, handed on by argument.

    `pepper` keys the hashes of API keys. `slots` bounds the provider calls in flight. `stopping` is set when the
    process is told to end: workers then finish what is in flight and give their chunks back.
    """

    settings: Settings
    pepper: bytes
    clock: Clock
    rng: random.Random
    documents: Documents
    uploads: Objects
    work: Objects
    results: Objects
    topics: Topics
    tasks: Tasks
    instance: str = field(default_factory=lambda: secrets.token_hex(8))
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.documents, self.clock, self.rng)
        self.slots = asyncio.Semaphore(self.settings.max_in_flight)
        self._providers: dict[str, Provider] = {}
        self._gates: dict[tuple[str, str], Gate] = {}

    def new_id(self) -> str:
        """128 random bits in hex."""
        return f"{self.rng.getrandbits(128):032x}"

    def provider(self, name: str) -> Provider:
        """The provider of that name, its code imported at the first call for it."""
        if name not in self._providers:
            module = import_module(f"promptforge.adapters.llm.{name}")
            self._providers[name] = module.build(self.settings, self.rng)
        return self._providers[name]

    def gate(self, provider: str, model: str) -> Gate:
        """What this process has learned of a model's throttling."""
        return self._gates.setdefault((provider, model), Gate(self.rng))

    async def close(self) -> None:
        """Close the providers' connections."""
        for provider in self._providers.values():
            await provider.close()


def build(settings: Settings) -> App:
    """An App on this machine's parts, in `settings.data_dir`."""
    from promptforge.adapters.local import clock, database, deliveries, documents, objects, secret, urls

    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = secret.load_secret(settings.data_dir)
    state = database.Database(settings.data_dir / "state.db")
    signer = urls.UrlSigner(secret.derive(key, "signed-urls"), settings.public_url)
    now = clock.SystemClock()

    def bucket(name: str, notify: bool = False) -> objects.FileObjects:
        return objects.FileObjects(name, settings.data_dir / "objects" / name, state, signer, notify)

    return App(
        settings=settings,
        pepper=secret.derive(key, "api-keys"),
        clock=now,
        rng=random.SystemRandom(),
        documents=documents.SqliteDocuments(state),
        uploads=bucket("uploads", notify=True),
        work=bucket("work"),
        results=bucket("results"),
        topics=deliveries.SqliteTopics(state),
        tasks=deliveries.SqliteTasks(state, now),
    )


@cache
def _built() -> App:
    settings = Settings.from_env(os.environ)
    logs.configure(settings.log_level)
    return build(settings)


_given: list[App] = []


def current() -> App:
    """The App of this process: the one that was `install`ed, or one built from the environment at the first call."""
    return _given[-1] if _given else _built()


def install(app: App) -> None:
    """Make `app` the one that this process's functions use."""
    _given[:] = [app]
