"""`promptforge keys`: API keys, and the daily spend quotas of their clients."""

import asyncio
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from promptforge.cli.options import data_dir_option
from promptforge.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from promptforge.context import AppContext
    from promptforge.state.api_keys import StoredApiKey

T = TypeVar("T")


@click.group()
def keys() -> None:
    """Manage API keys.

    The keys are those of the engine in --data-dir. With PROMPTFORGE_BACKEND=gcp they are those of the project in the
    settings.
    """


@keys.command()
@click.option("--client", required=True, help="Client that owns the key and the jobs created with it.")
@data_dir_option
def create(client: str, data_dir: Path) -> None:
    """Create a key and print it; it cannot be shown again."""
    click.echo(_with_context(data_dir, lambda context: context.api_keys.create(client)))


@keys.command("list")
@click.option("--client", help="List only the keys of this client.")
@data_dir_option
def list_keys(client: str | None, data_dir: Path) -> None:
    """List the id, client, age and state of every key, never the key."""
    from promptforge.domain.timestamps import rfc3339

    for key in _with_context(data_dir, lambda context: context.api_keys.list_for(client)):
        state = f"revoked {rfc3339(key.revoked_at)}" if key.revoked_at else "valid"
        click.echo(f"{key.key_id}  {key.client}  {rfc3339(key.created_at)}  {state}")


def _require_finite(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise click.BadParameter("a finite number is required.")
    return value


@keys.command()
@click.option("--client", required=True, help="Client whose keys share the quota.")
@click.option(
    "--usd-per-day",
    type=click.FloatRange(0, 1_000_000, min_open=True),
    callback=_require_finite,
    help="Quota in US dollars. Without it, the client has no limit.",
)
@data_dir_option
def limit(client: str, usd_per_day: float | None, data_dir: Path) -> None:
    """Set the daily spend quota of a client.

    The day is a UTC day. Calls cost the prices in PROMPTFORGE_PRICES.
    """

    async def set_limit(context: "AppContext") -> "list[StoredApiKey]":
        await context.quotas.set_daily_limit(client, usd_per_day)
        return await context.api_keys.list_for(client)

    if not _with_context(data_dir, set_limit):
        click.echo(f"promptforge: no API key exists for client {client}.", err=True)
    click.echo(f"{client}: " + (f"{usd_per_day:g} USD a day" if usd_per_day else "no limit"))


@keys.command()
@click.option("--client", required=True, help="Client that owns the keys.")
@click.option("--id", "key_id", help="Revoke only the key with this id.")
@data_dir_option
def revoke(client: str, key_id: str | None, data_dir: Path) -> None:
    """Revoke the keys of a client, from the next request on."""
    revoked = _with_context(data_dir, lambda context: context.api_keys.revoke(client, key_id))
    click.echo(f"{revoked} revoked")
    sys.exit(0 if revoked else 1)


def _with_context(data_dir: Path, use: "Callable[[AppContext], Awaitable[T]]") -> T:
    """Return the result of `use` with a context for a data folder, or for the backend in the environment."""
    from promptforge.bootstrap import build_context
    from promptforge.engine import cloud_gateway

    async def build_and_use() -> T:
        context = build_context(Settings.from_env(os.environ, data_dir=data_dir))
        try:
            if context.settings.backend == "gcp":
                await cloud_gateway.check_firestore(context)
            return await use(context)
        finally:
            await context.close()

    return asyncio.run(build_and_use())
