"""`promptforge serve --backend gcp`: every function in one real process, between Google's emulators."""

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
from tests.harness.in_process import prompts
from tests.harness.smoke import run_smoke

pytestmark = pytest.mark.cloud


@asynccontextmanager
async def served(variables: Mapping[str, str], log: Path) -> AsyncIterator[tuple[Process, str]]:
    """A server that said it is ready, and its URL."""
    command = ["-m", "promptforge", "serve", "--backend", "gcp", "--port", "0"]
    with log.open("wb") as said:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, env=clean_environment(variables), stdout=PIPE, stderr=said
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
        served(one.variables, tmp_path / "serve.err") as (process, url),
    ):
        one.proxy.functions = function_urls(url)
        on_gcp = {**one.variables, "PROMPTFORGE_BACKEND": "gcp"}
        key = (await asyncio.to_thread(run_cli, "keys", "create", "--client", "x", **on_gcp)).stdout.strip()
        listed = await asyncio.to_thread(run_cli, "keys", "list", **on_gcp)
        order = (file, "--provider", "echo", "--model", "m", "--output", tmp_path / "home", "--url", url)
        done = await asyncio.to_thread(run_cli, "run", *order, "--api-key", key)
        code, said = await asyncio.to_thread(run_smoke, url, key, one.key)
        began = time.monotonic()
        process.terminate()
        left = await process.wait()
        seconds = time.monotonic() - began

    assert done.returncode == 0, done.stderr
    assert "300 answered, 0 failed" in done.stderr
    assert "Verified" in done.stderr
    assert sorted(line.split()[1] for line in listed.stdout.splitlines()) == ["tests", "x"]
    assert (code, sorted(said.values())) == (0, ["ok"] * 5 + ["skipped"] * 7), said
    assert (left, seconds < 5) == (0, True)
