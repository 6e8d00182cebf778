"""Check a deployment from outside, above all the properties that no emulator has: signed URLs, buckets, functions.

    PROMPTFORGE_API_KEY=... PROMPTFORGE_OTHER_API_KEY=... python -m tests.smoke --url https://... \\
        [--function-url 'https://.../{function}'] [--bucket NAME ...] [--expiry]

The two keys belong to two clients. Each check prints ok, FAILED or the reason for a skip. The exit code is 1 if a
check failed.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import click

from promptforge.client.async_client import RequestFailed
from tests.smoke.checks import CHECKS, Check
from tests.smoke.deployment import CheckFailed, CheckSkipped, Deployment

TIMEOUT_SECONDS = 60


async def run_checks(deployment: Deployment) -> AsyncIterator[tuple[str, str, str]]:
    """Run each check and yield its status, its description and the reason of a failure or skip."""
    for check in CHECKS:
        status, reason = await _run_check(check, deployment)
        yield status, _description(check), reason


def _description(check: Check) -> str:
    summary = (check.__doc__ or "").partition("\n")[0]
    return summary.removeprefix("Check that ").removesuffix(".")


async def _run_check(check: Check, deployment: Deployment) -> tuple[str, str]:
    try:
        await check(deployment)
    except CheckSkipped as exc:
        return "skipped", str(exc)
    except CheckFailed as exc:
        return "FAILED", str(exc)
    except (aiohttp.ClientError, RequestFailed, OSError, TimeoutError, ValueError) as exc:
        return "FAILED", exc.code if isinstance(exc, RequestFailed) else type(exc).__name__  # its text may hold a URL
    return "ok", ""


async def main(options: argparse.Namespace, folder: Path) -> int:
    failed = 0
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(TIMEOUT_SECONDS)) as http:
        deployment = Deployment(
            url=options.url.rstrip("/"),
            key=os.environ["PROMPTFORGE_API_KEY"],
            other_key=os.environ.get("PROMPTFORGE_OTHER_API_KEY", ""),
            function_url=options.function_url or (options.url if "{function}" in options.url else ""),
            buckets=tuple(options.bucket),
            wait_for_expiry=options.expiry,
            folder=folder,
            http=http,
        )
        async for status, description, reason in run_checks(deployment):
            failed += status == "FAILED"
            click.echo(f"{status:<8}{description}{': ' * bool(reason)}{reason}")
    return bool(failed)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.smoke", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--url", required=True, help="URL of the API, or of its functions with {function} as the name")
    parser.add_argument("--function-url", help="URL of all functions with {function} as the name, if --url has none")
    parser.add_argument("--bucket", action="append", default=[], help="another bucket that must be private: the work's")
    parser.add_argument("--expiry", action="store_true", help="wait until signed URLs expire: an hour by default")
    return parser.parse_args()


if __name__ == "__main__":
    if not os.environ.get("PROMPTFORGE_API_KEY"):
        sys.exit("PROMPTFORGE_API_KEY requires the key of a client, PROMPTFORGE_OTHER_API_KEY that of another client.")
    with tempfile.TemporaryDirectory() as scratch:
        sys.exit(asyncio.run(main(_parse_arguments(), Path(scratch))))
