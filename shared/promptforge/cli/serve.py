"""`promptforge serve`: every function on this machine."""

import asyncio
import os
import sys
from pathlib import Path

import click

from promptforge import logs
from promptforge.cli.options import data_dir_option, workers_option
from promptforge.settings import ENV_PREFIX, Settings


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="Port to listen on; 0 selects a free one.",
)
@data_dir_option
@workers_option
@click.option(
    "--backend",
    type=click.Choice(["local", "gcp"]),
    default="local",
    show_default=True,
    envvar=ENV_PREFIX + "BACKEND",
    help="Services to use: this machine's own, or Google's (or their emulators) as the settings name them.",
)
def serve(host: str, port: int, data_dir: Path, workers: int, backend: str) -> None:
    """Run every function on this machine.

    Jobs continue after a crash and a restart.
    """
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

    async def serve_until_stopped() -> None:
        stop = asyncio.Event()
        engine.stop_on_signals(stop)
        await cloud_gateway.serve(settings, listening, stop, ready)

    asyncio.run(serve_until_stopped())


def _serve_local(settings: Settings, host: str, port: int, workers: int) -> None:
    from promptforge.engine import engine

    def ready(running: engine.Ready) -> None:
        click.echo(f"URL      {running.url}\nAPI key  {running.api_key}")
        click.echo(f"Ready    {workers} worker processes, data in {settings.data_dir}; Ctrl-C stops")
        sys.stdout.flush()

    async def serve_until_stopped() -> None:
        stop = asyncio.Event()
        engine.stop_on_signals(stop)
        plan = engine.plan(settings, host, port, workers, os.environ.get(ENV_PREFIX + "PUBLIC_URL"))
        await engine.serve(plan, stop, ready)

    asyncio.run(serve_until_stopped())
