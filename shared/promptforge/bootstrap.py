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
from promptforge.context import AppContext, Backend
from promptforge.domain.providers import PROVIDERS
from promptforge.errors import SettingsError
from promptforge.ports.clock import Clock
from promptforge.ports.provider import Provider
from promptforge.settings import Settings


def build_context(settings: Settings, clock: Clock | None = None, rng: random.Random | None = None) -> AppContext:
    """An App on the parts of the settings' backend: this machine's, in `data_dir`, or Google Cloud's. A provider's code
    is imported when it is first used. `clock` and `rng` stand in for the machine's own where time or chance must be
    ruled."""
    from promptforge.adapters.clock import SystemClock

    time, chance = clock or SystemClock(), rng or random.SystemRandom()

    def provider(name: str) -> Provider:
        made: Provider = import_module(f"promptforge.adapters.llm.{PROVIDERS[name].adapter}").build(
            settings, time, chance
        )
        return made

    parts = _parts_of_google(settings, time) if settings.backend == "gcp" else _parts_of_this_machine(settings, time)
    return AppContext(settings=settings, clock=time, rng=chance, make_provider=provider, **vars(parts))


def _parts_of_this_machine(settings: Settings, clock: Clock) -> Backend:
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


def _parts_of_google(settings: Settings, clock: Clock) -> Backend:
    """Each imports its Google client when it is first used, for few functions use all."""
    try:
        from promptforge.adapters.gcp import billing, caller_auth, documents, objects, signing, tasks, topics
    except ModuleNotFoundError as exc:
        raise SettingsError("The backend gcp needs Google's libraries: install promptforge[gcp].") from exc

    bill = billing.BilledOperations()
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
    rules = caller_auth.CallerPolicy(settings.invokers, settings.url_of, settings.service)

    def release() -> None:
        for close in (urls.close, uploader.close, downloader.close, *(bucket.close for bucket in buckets)):
            close()

    return Backend(
        pepper=settings.pepper.encode(),
        documents=state,
        uploads=buckets[0],
        work=buckets[1],
        results=buckets[2],
        topics=news,
        tasks=errands,
        caller_auth=None if settings.pubsub_emulator else caller_auth.TokenVerifier(rules, clock),  # it sends no token
        release=release,
        connections=(state, news, errands),
    )


@cache
def _built() -> AppContext:
    settings = Settings.from_env(os.environ)
    logs.configure(settings.log_level)
    app = build_context(settings)
    _drain_at_sigterm(app)
    return app


def _drain_at_sigterm(app: AppContext) -> None:
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


_installed: list[AppContext] = []
_of_context: ContextVar[AppContext | None] = ContextVar("app", default=None)


def current() -> AppContext:
    """The App that was `install`ed here, or for the process, or one built from the environment at the first call."""
    return _of_context.get() or (_installed[-1] if _installed else _built())


def set_current(app: AppContext) -> None:
    """Make `app` the one that this process's functions use."""
    _installed[:] = [app]


def install_here(app: AppContext) -> None:
    """Make `app` the one that functions use when called in this context: one process may play several machines."""
    _of_context.set(app)
