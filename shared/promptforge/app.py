"""The composition root: the one place that knows which adapter stands behind each port."""

import asyncio
import os
import random
import signal
from contextvars import ContextVar
from functools import cache
from importlib import import_module
from types import FrameType

from promptforge import logs
from promptforge.errors import SettingsError
from promptforge.ports.clock import Clock
from promptforge.ports.provider import Provider
from promptforge.service.app import App, Parts
from promptforge.settings import Settings


def build(settings: Settings, clock: Clock | None = None, rng: random.Random | None = None) -> App:
    """An App on the parts of the settings' backend: this machine's, in `data_dir`, or Google Cloud's. A provider's code
    is imported when it is first used. `clock` and `rng` stand in for the machine's own where time or chance must be
    ruled."""
    from promptforge.adapters.clock import SystemClock

    time, chance = clock or SystemClock(), rng or random.SystemRandom()

    def provider(name: str) -> Provider:
        made: Provider = import_module(f"promptforge.adapters.llm.{name}").build(settings, time, chance)
        return made

    parts = _parts_of_google(settings, time) if settings.backend == "gcp" else _parts_of_this_machine(settings, time)
    return App(settings=settings, clock=time, rng=chance, make_provider=provider, **vars(parts))


def _parts_of_this_machine(settings: Settings, clock: Clock) -> Parts:
    from promptforge.adapters.local import database, deliveries, documents, objects, secret, urls

    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = secret.load_secret(settings.data_dir)
    state = database.Database(settings.data_dir / "state.db")
    signer = urls.UrlSigner(secret.derive(key, "signed-urls"), settings.public_url)

    def bucket(name: str, notify: bool = False) -> objects.FileObjects:
        return objects.FileObjects(name, settings.data_dir / "objects" / name, state, signer, notify)

    return Parts(
        pepper=secret.derive(key, "api-keys"),
        documents=documents.SqliteDocuments(state),
        uploads=bucket("uploads", notify=True),
        work=bucket("work"),
        results=bucket("results"),
        topics=deliveries.SqliteTopics(state),
        tasks=deliveries.SqliteTasks(state, clock),
        release=state.close,
    )


def _parts_of_google(settings: Settings, clock: Clock) -> Parts:
    """Each imports its Google client when it is first used, for few functions use all."""
    try:
        from promptforge.adapters.gcp import documents, identity, objects, operations, signing, tasks, topics
    except ModuleNotFoundError as exc:
        hint = "install promptforge-batch[gcp], or run make setup-gcp"
        raise SettingsError(f"The backend gcp needs Google's libraries: {hint}.") from exc

    bill = operations.Operations()
    uploader = signing.IamAccount(settings.upload_signer, settings.iam_emulator)
    downloader = signing.IamAccount(settings.download_signer, settings.iam_emulator)
    urls = signing.SignedUrls(uploader, downloader, bill, clock, settings.storage_emulator or signing.STORAGE)
    names = (settings.uploads_bucket, settings.work_bucket, settings.results_bucket)
    buckets = [objects.BucketObjects(name, urls, bill, settings.storage_emulator) for name in names]
    state = documents.FirestoreDocuments(settings.project, settings.database, bill, settings.firestore_emulator)
    news = topics.PubsubTopics(settings.project, settings.name_prefix, bill, settings.pubsub_emulator)
    location = f"projects/{settings.project}/locations/{settings.region}"
    target = tasks.Target(location, settings.name_prefix, settings.url_of, settings.task_account)
    errands = tasks.CloudTasks(target, bill, settings.tasks_emulator)
    rules = identity.Rules(settings.invokers, settings.url_of, settings.service)

    def release() -> None:
        for close in (urls.close, uploader.close, downloader.close, *(bucket.close for bucket in buckets)):
            close()

    return Parts(
        pepper=settings.pepper.encode(),
        documents=state,
        uploads=buckets[0],
        work=buckets[1],
        results=buckets[2],
        topics=news,
        tasks=errands,
        callers=None if settings.pubsub_emulator else identity.GoogleCallers(rules, clock),  # it sends no token
        release=release,
        connections=(state, news, errands),
    )


@cache
def _built() -> App:
    settings = Settings.from_env(os.environ)
    logs.configure(settings.log_level)
    app = build(settings)
    _drain_at_sigterm(app)
    return app


def _drain_at_sigterm(app: App) -> None:
    """Have SIGTERM set `app.stopping` before the server does its part. Under functions-framework that is uvicorn in a
    worker of gunicorn: it has set its handler before the first request comes, and at SIGTERM waits for the requests
    under way, longer than the platform would. A process without a handler is not a server: SIGTERM ends it."""
    theirs = signal.getsignal(signal.SIGTERM)
    if not callable(theirs):
        return
    loop = asyncio.get_running_loop()

    def stop(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(app.stopping.set)
        theirs(number, frame)

    signal.signal(signal.SIGTERM, stop)


_installed: list[App] = []
_of_context: ContextVar[App | None] = ContextVar("app", default=None)


def current() -> App:
    """The App that was `install`ed here, or for the process, or one built from the environment at the first call."""
    return _of_context.get() or (_installed[-1] if _installed else _built())


def install(app: App) -> None:
    """Make `app` the one that this process's functions use."""
    _installed[:] = [app]


def install_here(app: App) -> None:
    """Make `app` the one that functions use when called in this context: one process may play several machines."""
    _of_context.set(app)
