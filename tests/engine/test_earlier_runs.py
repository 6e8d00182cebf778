"""Unfinished jobs of earlier commands on a real engine: no calls in a later run, and none to another address."""

import asyncio
import json
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from tests.fakes.provider import FakeProvider, answer_after, fake_provider
from tests.harness.engine_process import clean_environment, engine
from tests.harness.lines import prompts

from promptforge.client.async_client import AsyncClient

COUNT = 300
NAMES = {f"prompt {number}" for number in range(COUNT)}


def command(folder: Path, file: Path, *options: object) -> list[str]:
    where = ("--output", folder / f"results-{file.stem}", "--data-dir", folder / "data", "--workers", 1)
    command = (sys.executable, "-m", "promptforge", "run", file, "--provider", "openai", "--model", "m", *where)
    return [*map(str, command), *map(str, options)]


def environ(url: str, in_flight: int = 4) -> dict[str, str]:
    return clean_environment(
        {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": url, "PROMPTFORGE_MAX_IN_FLIGHT": str(in_flight)}
    )


async def run(folder: Path, url: str, file: Path, *options: object) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *command(folder, file, *options), env=environ(url, 64), stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(90):
        stderr = (await process.communicate())[1]
    return process.returncode, stderr.decode()


async def interrupted_run(folder: Path, provider: FakeProvider, file: Path) -> None:
    """Run a job and stop the command once it has made calls."""
    process = await asyncio.create_subprocess_exec(
        *command(folder, file), env=environ(provider.url), stderr=asyncio.subprocess.DEVNULL
    )
    async with asyncio.timeout(60):
        while provider.call_counts.total() < 20:
            await asyncio.sleep(0.02)
        process.terminate()
        await process.wait()


def jobs(folder: Path) -> list[dict[str, object]]:
    with closing(sqlite3.connect(folder / "data" / "state.db")) as database:
        rows = database.execute("select data from documents where collection = 'jobs'").fetchall()
    return [json.loads(data) for (data,) in rows]


@asynccontextmanager
async def abandoned_job(folder: Path) -> AsyncIterator[tuple[FakeProvider, Path]]:
    """Yield the provider and the file of a job whose command was stopped."""
    file = folder / "first.jsonl"
    file.write_bytes(prompts(COUNT))
    async with fake_provider(answer_after(0.05)) as provider:
        await interrupted_run(folder, provider, file)
        yield provider, file


async def test_run_makes_no_call_for_a_job_of_an_earlier_run_until_its_command_is_repeated(tmp_path: Path) -> None:
    other = tmp_path / "second.jsonl"
    other.write_bytes(prompts(200, first=COUNT))
    async with abandoned_job(tmp_path) as (provider, file):
        before = {name: calls for name, calls in provider.call_counts.items() if name in NAMES}
        code, stderr = await run(tmp_path, provider.url, other, "--timeout", 30, "--max-in-flight", 2)
        during = {name: calls for name, calls in provider.call_counts.items() if name in NAMES}
        again, second = await run(tmp_path, provider.url, file)

    assert (code, during) == (0, before), stderr
    assert "1 unfinished job(s) of earlier runs" in stderr
    assert (again, f"{COUNT} answered" in second) == (0, True), second
    assert sorted((job["timeout_seconds"], job["max_in_flight"]) for job in jobs(tmp_path) if job["max_in_flight"]) == [
        (30.0, 2)
    ]


async def test_serve_continues_jobs_of_earlier_runs_also_after_a_run_has_paused_them(tmp_path: Path) -> None:
    other = tmp_path / "second.jsonl"
    other.write_bytes(prompts(3, first=COUNT))
    async with abandoned_job(tmp_path) as (provider, _):
        code, stderr = await run(tmp_path, provider.url, other)
        keys = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": provider.url}
        with engine(tmp_path / "data", keys) as running:
            async with AsyncClient(running.url, running.key) as client, asyncio.timeout(60):
                (job_id,) = (str(job["job_id"]) for job in jobs(tmp_path) if job["prompt_count"] == COUNT)
                while (status := await client.status(job_id))["status"] != "COMPLETED":
                    await asyncio.sleep(0.05)

    assert code == 0, stderr
    assert status["completed_count"] == COUNT


async def test_engine_with_another_address_makes_no_call_and_names_both(tmp_path: Path) -> None:
    async with abandoned_job(tmp_path) as (provider, _), fake_provider() as second:
        keys = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": second.url}
        before = provider.call_counts.total()
        with engine(tmp_path / "data", keys) as running:
            async with AsyncClient(running.url, running.key) as client, asyncio.timeout(60):
                (job,) = jobs(tmp_path)
                while not (status := await client.status(str(job["job_id"])))["waiting"]:
                    await asyncio.sleep(0.05)
        log = (tmp_path / "engine.err").read_text()

    assert status["waiting"]["code"] == "provider_address_changed"
    for text in (status["waiting"]["message"], log):
        assert provider.url in text
        assert second.url in text
    assert log.count(provider.url) == 1
    assert (second.call_counts.total(), provider.call_counts.total()) == (0, before)
