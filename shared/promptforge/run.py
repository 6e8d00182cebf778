"""`promptforge run`: one file in, its results in a folder, on a running service or an engine of its own."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from promptforge.client import Client
from promptforge.errors import SettingsError

FINAL = ("COMPLETED", "FAILED", "CANCELLED")
POLL_SECONDS = (0.1, 1.0)  # at first, and in the long run
STOP_SECONDS = 15


@dataclass(frozen=True, slots=True)
class Batch:
    """What to run and where the results go."""

    file: Path
    provider: str
    model: str
    max_retries: int
    output: Path


def run_batch(batch: Batch, url: str | None, api_key: str | None, data_dir: Path, workers: int) -> bool:
    """Run it with a progress bar and a summary on standard error; whether every prompt was answered."""
    if batch.output.is_dir() and any([*batch.output.glob("results_part_*.jsonl"), *batch.output.glob("errors.jsonl")]):
        raise SettingsError(f"{batch.output} holds results already: name another --output.")
    if url and api_key:
        return asyncio.run(_run(batch, url, api_key))
    with _own_engine(data_dir, workers) as (own_url, own_key):
        return asyncio.run(_run(batch, own_url, own_key))


async def _run(batch: Batch, url: str, api_key: str) -> bool:
    console, began = Console(stderr=True, highlight=False), time.monotonic()
    async with Client(url, api_key) as client:
        job = await client.init(batch.provider, batch.model, max_retries=batch.max_retries)
        console.print(f"{'Job':<11}{job['job_id']}")
        await client.upload(job["upload_url"], batch.file)
        status = await _wait(client, job["job_id"], console)
        if status["prompt_count"]:
            await _download(client, job["job_id"], batch.output)
    _summarise(console, status, batch.output, time.monotonic() - began)
    return bool(status["status"] == "COMPLETED" and status["failed_count"] == 0)


async def _wait(client: Client, job_id: str, console: Console) -> dict[str, Any]:
    columns = (TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    pause, longest = POLL_SECONDS
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        bar = progress.add_task("Queued", total=None)
        while True:
            status = await client.status(job_id)
            done, total = status["completed_count"] + status["failed_count"], status["prompt_count"]
            progress.update(bar, description=status["status"].title(), completed=done, total=total or None)
            if status["status"] in FINAL:
                return status
            await asyncio.sleep(pause)
            pause = min(pause * 1.2, longest)


async def _download(client: Client, job_id: str, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    for file in (await client.results(job_id))["files"]:
        await client.download(file["url"], output / Path(file["filename"]).name)


def _summarise(console: Console, status: dict[str, Any], output: Path, seconds: float) -> None:
    console.print(f"{status['status'].title():<11}{status['prompt_count']} prompts in {seconds:.1f} s", end=": ")
    console.print(f"{status['completed_count']} answered, {status['failed_count']} failed", end=", ")
    console.print(f"{status['tokens_used']} tokens")
    if status["error"]:
        console.print(f"{'Reason':<11}{status['error']['code']}: {status['error']['message']}")
    if output.is_dir():
        console.print(f"{'Results':<11}{output}")


@contextmanager
def _own_engine(data_dir: Path, workers: int) -> Iterator[tuple[str, str]]:
    """An engine on a free port for as long as the context lasts: its URL and key. Its log goes to the data folder."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    command = [sys.executable, "-m", "promptforge", "serve", "--port", "0"]
    command += ["--data-dir", str(data_dir), "--workers", str(workers)]
    log_path = data_dir / "engine.log"
    with log_path.open("ab") as log:
        engine = subprocess.Popen(  # noqa: S603
            command, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True, env=os.environ
        )
    try:
        yield _read_ready(engine, log_path)
    finally:
        engine.terminate()
        try:
            engine.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            engine.kill()


def _read_ready(engine: subprocess.Popen[str], log_path: Path) -> tuple[str, str]:
    said: dict[str, str] = {}
    for line in engine.stdout or ():
        name, _, value = line.strip().partition("  ")
        said[name] = value.strip()
        if name == "Ready":
            return said["URL"], said["API key"]
    engine.wait()
    reason = log_path.read_text(errors="replace").strip().rpartition("\n")[2].removeprefix("promptforge: ")
    raise SettingsError(f"The engine did not start: {reason}")
