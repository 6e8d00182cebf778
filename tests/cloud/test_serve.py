"""`promptforge serve --backend gcp`: every function in one process, on Google's emulators."""

import asyncio
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.fakes.reverse_proxy import function_urls
from tests.harness.canary import find_leaks
from tests.harness.cloud_stack import cloud_stack
from tests.harness.emulators import Firestore, Pubsub
from tests.harness.engine_process import clean_environment, run_cli
from tests.harness.lines import prompts
from tests.harness.smoke import run_smoke

pytestmark = pytest.mark.cloud


@asynccontextmanager
async def serve_gcp(variables: Mapping[str, str], log: Path) -> AsyncIterator[tuple[Process, str]]:
    """Start a server, wait until it is ready, and yield it with its URL."""
    command = ["-m", "promptforge", "serve", "--backend", "gcp", "--port", "0"]
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, env=clean_environment(variables), stdout=PIPE, stderr=stderr
        )
    assert process.stdout
    try:
        url, ready = [(await process.stdout.readline()).decode().split() for _ in range(2)]
        assert (url[0], ready[:2]) == ("URL", ["Ready", "project"]), log.read_text()
        yield process, url[1]
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    assert not find_leaks(log.read_bytes())


async def test_serve_gcp_creates_key_runs_jobs_and_ends_at_sigterm(
    tmp_path: Path, firestore: Firestore, pubsub: Pubsub
) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_bytes(prompts(300))
    async with (
        cloud_stack(tmp_path, firestore, pubsub, {}, processes=False) as one,
        serve_gcp(one.variables, tmp_path / "serve.err") as (process, url),
    ):
        one.proxy.functions = function_urls(url)
        on_gcp = {**one.variables, "PROMPTFORGE_BACKEND": "gcp"}
        key = (await asyncio.to_thread(run_cli, "keys", "create", "--client", "x", **on_gcp)).stdout.strip()
        listed = await asyncio.to_thread(run_cli, "keys", "list", **on_gcp)
        arguments = (file, "--provider", "echo", "--model", "m", "--output", tmp_path / "output", "--url", url)
        done = await asyncio.to_thread(run_cli, "run", *arguments, "--api-key", key)
        code, checks = await asyncio.to_thread(run_smoke, url, key, one.key)
        began = time.monotonic()
        process.terminate()
        exit_code = await process.wait()
        seconds = time.monotonic() - began

    assert done.returncode == 0, done.stderr
    assert "300 answered, 0 failed" in done.stderr
    assert "Verified" in done.stderr
    assert sorted(line.split()[1] for line in listed.stdout.splitlines()) == ["tests", "x"]
    assert (code, sorted(checks.values())) == (0, ["ok"] * 5 + ["skipped"] * 7), checks
    assert (exit_code, seconds < 5) == (0, True)
