"""Every function of the backend, one row each.

Settings, the engine, the Cloud Tasks adapter, the archives and the tests read this table, and a test compares the
Terraform table with it. A new function needs a row here, a folder in functions/ and, for HTTP, a row in
entrypoints/routes.py. This file imports only the standard library, because infra/package.py runs it by itself.
"""

from typing import Literal, NamedTuple


class Source(NamedTuple):
    """A queue, topic or bucket whose deliveries go to a function.

    `name` is `queue:NAME`, `topic:NAME` or `bucket:NAME`. `concurrency` is the number of concurrent deliveries for each
    worker process of the engine.
    """

    name: str
    concurrency: int


class Function(NamedTuple):
    """A function, and the values by which the platform and the engine run it.

    `dependencies` is the dependency group of its archive. `own_settings` are the settings that it requires on Google
    Cloud besides those of every function. No function requires a secret that it does not use. `invoker` is the setting
    that names the service account which may call it besides the account of the tasks. `dispatch_seconds` is how long
    Cloud Tasks and the engine wait for it before they deliver again, at most half an hour.
    """

    name: str
    kind: Literal["http", "event"]
    dependencies: Literal["api", "events", "worker"]
    own_settings: tuple[str, ...] = ()
    invoker: str | None = None
    dispatch_seconds: float | None = None
    sources: tuple[Source, ...] = ()

    @property
    def required_settings(self) -> tuple[str, ...]:
        """Every setting that it requires on Google Cloud besides those of every function."""
        return (*self.own_settings, self.invoker) if self.invoker else self.own_settings


# A task whose dispatch deadline is shorter than the function's timeout would repeat a step that still runs.
# The worker has the 10 minutes that a Pub/Sub push can wait. Functions that read or write a whole file, or delete many
# objects, have the maximum.
FUNCTIONS = {
    function.name: function
    for function in (
        Function("init", "http", "api", ("upload_signer", "pepper")),
        Function("status", "http", "api", ("pepper",)),
        Function("results", "http", "api", ("download_signer", "pepper")),
        Function("cancel", "http", "api", ("pepper",)),
        Function("delete", "http", "api", ("pepper",)),
        Function(
            "splitter",
            "event",
            "events",
            invoker="event_account",
            dispatch_seconds=1800.0,
            sources=(Source("bucket:uploads", concurrency=1), Source("queue:splitter", concurrency=1)),
        ),
        Function(
            "worker",
            "event",
            "worker",
            invoker="push_account",
            dispatch_seconds=600.0,
            sources=(Source("topic:chunks", concurrency=4), Source("queue:worker", concurrency=4)),
        ),
        Function(
            "finalizer",
            "event",
            "events",
            dispatch_seconds=1800.0,
            sources=(Source("queue:finalizer", concurrency=2),),
        ),
        Function(
            "sweeper",
            "event",
            "events",
            invoker="timer_account",
            dispatch_seconds=600.0,
            sources=(Source("queue:sweeper", concurrency=1),),
        ),
        Function(
            "eraser",
            "event",
            "events",
            dispatch_seconds=1800.0,
            sources=(Source("queue:eraser", concurrency=1),),
        ),
    )
}
