"""The composition root: the one place that knows which adapter implements each port."""

import asyncio
import os
import random
import signal
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from types import FrameType
from typing import TYPE_CHECKING

from promptforge import logs
from promptforge.context import AppContext, Backend
from promptforge.domain.providers import PROVIDERS
from promptforge.errors import SettingsError
from promptforge.ports.clock import Clock
from promptforge.ports.provider import Provider
from promptforge.settings import Settings

if TYPE_CHECKING:  # only the worker needs it, and its import is a part of every cold start
    from promptforge.worker.runtime import WorkerRuntime


def build_context(settings: Settings, clock: Clock | None = None, rng: random.Random | None = None) -> AppContext:
    """Return a context on the settings' backend: this machine's, in `data_dir`, or Google Cloud's.

    `clock` and `rng` replace the machine's own where a test controls time and chance. Raises SettingsError.
    """
    from promptforge.adapters.clock import SystemClock

    clock = clock or SystemClock()
    backend = _gcp_backend(settings, clock) if settings.backend == "gcp" else _local_backend(settings, clock)
    return AppContext(settings, backend, clock, rng or random.SystemRandom())


def build_worker_runtime(context: AppContext, instance: str | None = None) -> "WorkerRuntime":
    """Return the state that a process shares among its chunks.

    Adapters of providers are imported at first use.
    """
    from promptforge.worker.runtime import WorkerRuntime

    def make_provider(name: str) -> Provider:
        module = import_module(f"promptforge.adapters.llm.{PROVIDERS[name].name}")
        provider: Provider = module.build(context.settings, context.clock, context.rng)
        return provider

    return WorkerRuntime(context, make_provider, instance)


def _local_backend(settings: Settings, clock: Clock) -> Backend:
    from promptforge.adapters.local import database, documents, objects, queue, secret, urls

    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = secret.load_secret(settings.data_dir)
    state = database.Database(settings.data_dir / "state.db")
    signer = urls.UrlSigner(secret.derive(key, "signed-urls"), settings.public_url)

    def bucket(name: str, notify: bool = False) -> objects.FileObjects:
        return objects.FileObjects(name, settings.data_dir / "objects" / name, state, signer, notify)

    return Backend(
        pepper=secret.derive(key, "api-keys"),
        documents=documents.SqliteDocuments(state),
        uploads=bucket("uploads", notify=True),
        work=bucket("work"),
        results=bucket("results"),
        topics=queue.SqliteTopics(state),
        tasks=queue.SqliteTasks(state, clock),
        release=state.close,
    )


def _gcp_backend(settings: Settings, clock: Clock) -> Backend:
    """Each adapter imports its Google client when it is first used: few functions use all of them."""
    try:
        from promptforge.adapters.gcp import billing, caller_auth, documents, objects, signing, tasks, topics
    except ModuleNotFoundError as exc:
        hint = "install promptforge-batch[gcp], or run make setup-gcp"
        raise SettingsError(f"Backend gcp requires Google's libraries: {hint}.") from exc

    operations = billing.BilledOperations()
    uploader = signing.IamAccount(settings.upload_signer, settings.iam_emulator)
    downloader = signing.IamAccount(settings.download_signer, settings.iam_emulator)
    urls = signing.SignedUrls(uploader, downloader, operations, clock, settings.storage_emulator or signing.STORAGE)
    names = (settings.uploads_bucket, settings.work_bucket, settings.results_bucket)
    buckets = [objects.BucketObjects(name, urls, operations, settings.storage_emulator) for name in names]
    state = documents.FirestoreDocuments(settings.project, settings.database, operations, settings.firestore_emulator)
    topic_adapter = topics.PubsubTopics(settings.project, settings.name_prefix, operations, settings.pubsub_emulator)
    location = f"projects/{settings.project}/locations/{settings.region}"
    target = tasks.Target(location, settings.name_prefix, settings.url_of, settings.task_account)
    task_adapter = tasks.CloudTasks(target, operations, settings.tasks_emulator)
    policy = caller_auth.CallerPolicy(settings.invokers, settings.url_of, settings.service)

    def release() -> None:
        for close in (urls.close, uploader.close, downloader.close, *(bucket.close for bucket in buckets)):
            close()

    return Backend(
        pepper=settings.pepper.encode(),
        documents=state,
        uploads=buckets[0],
        work=buckets[1],
        results=buckets[2],
        topics=topic_adapter,
        tasks=task_adapter,
        # the Pub/Sub emulator sends no token
        caller_auth=None if settings.pubsub_emulator else caller_auth.TokenVerifier(policy, clock),
        release=release,
        connections=(state, topic_adapter, task_adapter),
    )


@dataclass
class _Process:
    """The context of a process, and its worker runtime once it is used."""

    context: AppContext
    runtime: "WorkerRuntime | None" = None

    @cached_property
    def worker(self) -> "WorkerRuntime":
        return self.runtime or build_worker_runtime(self.context)


_current: ContextVar[_Process | None] = ContextVar("process", default=None)


def current() -> AppContext:
    """Return the context of this process: the one that was set, or one built from the environment at the first call."""
    return (_current.get() or _process_from_environment()).context


def current_worker() -> "WorkerRuntime":
    """Return the worker runtime of this process, likewise."""
    return (_current.get() or _process_from_environment()).worker


def set_current(context: AppContext, runtime: "WorkerRuntime | None" = None) -> None:
    """Make functions that are called from here use this context.

    Other tasks keep theirs, so one process can hold several instances.
    """
    _current.set(_Process(context, runtime))


@cache
def _process_from_environment() -> _Process:
    settings = Settings.from_env(os.environ)
    logs.configure(settings.log_level)
    context = build_context(settings)
    _stop_at_sigterm(context)
    return _Process(context)


def _stop_at_sigterm(context: AppContext) -> None:
    """Set `stopping` at SIGTERM before the server handles it.

    Under functions-framework the server is uvicorn in a worker of gunicorn. It sets its handler before the first
    request. At SIGTERM it waits for the requests in flight, longer than the platform does. A process without a handler
    is not a server: SIGTERM ends it.
    """
    server_handler = signal.getsignal(signal.SIGTERM)
    if not callable(server_handler):
        return
    loop = asyncio.get_running_loop()

    def stop(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(context.stopping.set)
        server_handler(number, frame)

    signal.signal(signal.SIGTERM, stop)
