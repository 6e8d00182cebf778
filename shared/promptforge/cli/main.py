"""The command line: serve, run, verify, keys."""

import asyncio
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import aiohttp
import click

from promptforge import __version__, logs
from promptforge.client.async_client import RequestFailed
from promptforge.errors import Conflict, Interrupted, PromptForgeError
from promptforge.settings import ENV_PREFIX, Settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from promptforge.context import AppContext

T = TypeVar("T")

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".promptforge"),
    show_default=True,
    envvar=ENV_PREFIX + "DATA_DIR",
    help="Where the engine keeps everything.",
)
workers_option = click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=os.cpu_count,
    show_default="cores",
    help="Worker processes.",
)


@click.group()
@click.version_option(__version__)
def cli() -> None:
    """Give it a file of prompts; get every answer back, in order, exactly once."""


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes a free one.")
@data_dir_option
@workers_option
@click.option(
    "--backend",
    type=click.Choice(["local", "gcp"]),
    default="local",
    show_default=True,
    envvar=ENV_PREFIX + "BACKEND",
    help="What is worked with: this machine's parts, or Google's services (or their emulators), as the settings say.",
)
def serve(host: str, port: int, data_dir: Path, workers: int, backend: str) -> None:
    """Run every function on this machine. State survives kill -9 and a restart."""
    settings = Settings.from_env(os.environ, data_dir=data_dir, backend=backend)
    logs.configure(settings.log_level)
    if backend == "gcp":
        _serve_gcp(settings, host, port)
    else:
        _serve_local(settings, host, port, workers)


def _serve_gcp(settings: Settings, host: str, port: int) -> None:
    from promptforge.engine import cloud_gateway, engine, http_server

    listening, url = http_server.bind(host, port)

    def ready() -> None:
        click.echo(f"URL      {url}\nReady    project {settings.project}; Ctrl-C stops")
        sys.stdout.flush()

    async def main() -> None:
        stop = asyncio.Event()
        engine.stop_on_signals(stop)
        await cloud_gateway.serve(settings, listening, stop, ready)

    asyncio.run(main())


def _serve_local(settings: Settings, host: str, port: int, workers: int) -> None:
    from promptforge.engine import engine

    def ready(running: engine.Ready) -> None:
        click.echo(f"URL      {running.url}\nAPI key  {running.api_key}")
        click.echo(f"Ready    {running.workers} worker processes, data in {settings.data_dir}; Ctrl-C stops")
        sys.stdout.flush()

    async def main() -> None:
        stop = asyncio.Event()
        engine.stop_on_signals(stop)
        await engine.serve(
            engine.plan(settings, host, port, workers, os.environ.get(ENV_PREFIX + "PUBLIC_URL")), stop, ready
        )

    asyncio.run(main())


@cli.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path))
@click.option("--provider", required=True, help="openai, anthropic, gemini, mistral or echo.")
@click.option("--model", required=True, help="The model's name, as the provider writes it.")
@click.option("--max-retries", type=click.IntRange(0, 10), default=3, show_default=True)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("results"),
    show_default=True,
    help="Folder for the results.",
)
@click.option(
    "--url", help="A running service, {function} in it stands for each one's name; without it an engine is started."
)
@click.option("--api-key", envvar=ENV_PREFIX + "API_KEY", help="Key of the service at --url.")
@data_dir_option
@workers_option
def run(
    file: Path,
    provider: str,
    model: str,
    max_retries: int,
    output: Path,
    url: str | None,
    api_key: str | None,
    data_dir: Path,
    workers: int,
) -> None:
    """Send FILE, wait for every answer, download the results. Exit code 0 only if no prompt failed."""
    from promptforge.cli.run import RunOptions, run_job

    if url and not api_key:
        raise click.UsageError(f"--url needs a key: set {ENV_PREFIX}API_KEY or give --api-key.")
    batch = RunOptions(file, provider, model, max_retries, output)
    sys.exit(0 if run_job(batch, url, api_key, data_dir, workers) else 1)


@cli.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def verify(file: Path, folder: Path) -> None:
    """Prove that the results in FOLDER hold one line for every prompt of FILE. Exit code 0 only if they do."""
    from promptforge.client.verify import verify as examine

    verdict = examine(file, folder)
    for fault in verdict.faults:
        click.echo(fault)
    if verdict.faults:
        sys.exit(f"promptforge: {folder} does not hold the answers to {file}.")
    click.echo(
        f"{verdict.lines} prompts: {verdict.results} results and {verdict.errors} errors, each once and in order"
    )


@cli.group()
def keys() -> None:
    """API keys: of the engine in --data-dir, or of the project in the settings with PROMPTFORGE_BACKEND=gcp."""


@keys.command("create")
@click.option("--client", required=True, help="Whose key it is; a job belongs to its key's client.")
@data_dir_option
def create(client: str, data_dir: Path) -> None:
    """Make a key and print it, this once."""
    from promptforge.api import auth

    click.echo(_with_app(data_dir, lambda app: auth.create_key(app, client)))


@keys.command("list")
@click.option("--client", help="Only this client's.")
@data_dir_option
def list_(client: str | None, data_dir: Path) -> None:
    """Show every key's id, client, age and state; never the key."""
    from promptforge.api import auth
    from promptforge.domain.timestamps import rfc3339

    for key in _with_app(data_dir, lambda app: auth.list_keys(app, client)):
        state = f"revoked {rfc3339(key.revoked_at)}" if key.revoked_at else "valid"
        click.echo(f"{key.key_id}  {key.client}  {rfc3339(key.created_at)}  {state}")


def _finite(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise click.BadParameter("it must be a number.")
    return value


@keys.command("limit")
@click.option("--client", required=True, help="Whose limit; it is one for all keys of the client.")
@click.option(
    "--usd-per-day",
    type=click.FloatRange(0, 1_000_000, min_open=True),
    callback=_finite,
    help="Without it: no limit.",
)
@data_dir_option
def limit(client: str, usd_per_day: float | None, data_dir: Path) -> None:
    """Let a client spend only so much in a day (UTC), by the prices in PROMPTFORGE_PRICES."""
    from promptforge.api import auth
    from promptforge.state import spend_quotas

    async def change(app: "AppContext") -> list[auth.KeyInfo]:
        await spend_quotas.set_limit(app.documents, client, usd_per_day)
        return await auth.list_keys(app, client)

    if not _with_app(data_dir, change):
        click.echo(f"promptforge: so far there is no key of a client {client}.", err=True)
    click.echo(f"{client}: " + (f"{usd_per_day:g} USD a day" if usd_per_day else "no limit"))


@keys.command("revoke")
@click.option("--client", required=True, help="Whose keys.")
@click.option("--id", "key_id", help="Only the key with this id.")
@data_dir_option
def revoke(client: str, key_id: str | None, data_dir: Path) -> None:
    """Make a client's keys useless, from the next request on."""
    from promptforge.api import auth

    revoked = _with_app(data_dir, lambda app: auth.revoke_keys(app, client, key_id))
    click.echo(f"{revoked} revoked")
    sys.exit(0 if revoked else 1)


def main() -> None:
    """The `promptforge` command."""
    try:
        cli()
    except Interrupted as exc:
        click.echo(f"promptforge: {exc}", err=True)
        sys.exit(130)
    except Conflict:
        sys.exit("promptforge: The same was changed elsewhere at this moment: try again.")
    except (PromptForgeError, RequestFailed) as exc:
        sys.exit(f"promptforge: {exc}")
    except (aiohttp.ClientError, OSError) as exc:
        sys.exit(f"promptforge: {type(exc).__name__}: {exc}")


def _with_app(data_dir: Path, use: "Callable[[AppContext], Awaitable[T]]") -> T:
    """What `use` makes of an App on a data folder, or on the backend that the environment names."""
    from promptforge.bootstrap import build_context
    from promptforge.engine import cloud_gateway

    async def main() -> T:
        app = build_context(Settings.from_env(os.environ, data_dir=data_dir))
        try:
            if app.settings.backend == "gcp":
                await cloud_gateway.check_firestore(app)
            return await use(app)
        finally:
            await app.close()

    return asyncio.run(main())
