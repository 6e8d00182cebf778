"""Check a deployment from outside, above all what no emulator can show: signed URLs, private buckets, closed functions.

    PROMPTFORGE_API_KEY=... PROMPTFORGE_OTHER_API_KEY=... python -m tests.smoke --url https://... \\
        [--function-url 'https://.../{function}'] [--bucket NAME ...] [--expiry]

The two keys are of two clients. Each check says ok, FAILED or why it was skipped; the exit code is 1 if any failed.
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
from tests.smoke.site import Site, Skipped, Wrong

ANSWER_SECONDS = 60


async def verdicts(site: Site) -> AsyncIterator[tuple[str, str, str]]:
    """For each check a word, what must hold, and more if there is more to say."""
    for check in CHECKS:
        word, why = await _verdict(check, site)
        yield word, check.__doc__ or "", why


async def _verdict(check: Check, site: Site) -> tuple[str, str]:
    try:
        await check(site)
    except Skipped as exc:
        return "skipped", str(exc)
    except Wrong as exc:
        return "FAILED", str(exc)
    except (aiohttp.ClientError, RequestFailed, OSError, TimeoutError, ValueError) as exc:
        return "FAILED", exc.code if isinstance(exc, RequestFailed) else type(exc).__name__  # its text may hold a URL
    return "ok", ""


async def main(asked: argparse.Namespace, folder: Path) -> int:
    failed = 0
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(ANSWER_SECONDS)) as http:
        site = Site(
            url=asked.url.rstrip("/"),
            key=os.environ["PROMPTFORGE_API_KEY"],
            other_key=os.environ.get("PROMPTFORGE_OTHER_API_KEY", ""),
            function_url=asked.function_url or (asked.url if "{function}" in asked.url else ""),
            buckets=tuple(asked.bucket),
            patient=asked.expiry,
            folder=folder,
            http=http,
        )
        async for word, sentence, why in verdicts(site):
            failed += word == "FAILED"
            click.echo(f"{word:<8}{sentence}{': ' * bool(why)}{why}")
    return bool(failed)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.smoke", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--url", required=True, help="where the API is, or its functions, with {function} for the name")
    parser.add_argument("--function-url", help="the address of all functions, with {function}, if --url has none")
    parser.add_argument("--bucket", action="append", default=[], help="another bucket that must be private: the work's")
    parser.add_argument("--expiry", action="store_true", help="wait for signed URLs to end: an hour by default")
    return parser.parse_args()


if __name__ == "__main__":
    if not os.environ.get("PROMPTFORGE_API_KEY"):
        sys.exit("Set PROMPTFORGE_API_KEY to a client's key, and PROMPTFORGE_OTHER_API_KEY to another client's.")
    with tempfile.TemporaryDirectory() as scratch:
        sys.exit(asyncio.run(main(_arguments(), Path(scratch))))
