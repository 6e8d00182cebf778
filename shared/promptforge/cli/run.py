"""`promptforge run`: one file in, its results in a folder, on a running service or an engine of its own."""

import asyncio
import hashlib
import itertools
import os
import time
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

from promptforge import logs
from promptforge.client.async_client import AsyncClient, RequestFailed
from promptforge.client.verify import verify
from promptforge.domain.manifest import ERRORS_FILE, MANIFEST_FILE
from promptforge.engine import engine
from promptforge.errors import Interrupted, SettingsError
from promptforge.settings import Settings

FINAL = ("COMPLETED", "FAILED", "CANCELLED")
POLL_SECONDS = (0.1, 1.0)  # at first, and in the long run


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What to run and where the results go."""

    file: Path
    provider: str
    model: str
    max_retries: int
    output: Path


def run_job(batch: RunOptions, url: str | None, api_key: str | None, data_dir: Path, workers: int) -> bool:
    """Run it with a progress bar and a summary on standard error; whether every prompt was answered.

    Raises SettingsError for a pipe, or for an output folder that cannot take the results; RequestRefused; and
    Interrupted when a signal ends the engine that was started for this run.
    """
    if not batch.file.is_file():
        raise SettingsError(f"{batch.file} is no regular file: write the prompts to one first, it is read twice.")
    if any(path for name in ("results_part_*.jsonl", ERRORS_FILE, MANIFEST_FILE) for path in batch.output.glob(name)):
        raise SettingsError(f"{batch.output} holds results already: name another --output.")
    try:
        batch.output.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise SettingsError(f"{batch.output} cannot be made ({exc.strerror}): name another --output.") from None
    if not os.access(batch.output, os.W_OK):
        raise SettingsError(f"{batch.output} cannot be written: name another --output.")
    if url and api_key:
        return asyncio.run(_run(batch, url, api_key))
    return asyncio.run(_run_on_own_engine(batch, data_dir, workers))


async def _run_on_own_engine(batch: RunOptions, data_dir: Path, workers: int) -> bool:
    """Start an engine in this process for as long as the run lasts; its log goes to the data folder."""
    settings = Settings.from_env(os.environ, data_dir=data_dir)
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
    engine.stop_on_signals(stop)
    with (data_dir / "engine.log").open("a") as log:
        logs.configure(settings.log_level, log)
        plan = engine.plan(settings, "127.0.0.1", 0, workers, log=log)
        serving = asyncio.create_task(engine.serve(plan, stop, ready.set_result))
        running = asyncio.create_task(_when_ready(batch, ready))
        try:
            await asyncio.wait([serving, running], return_when=asyncio.FIRST_COMPLETED)
            interrupted = stop.is_set() or not running.done()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            stop.set()
            await serving
    if interrupted:
        raise Interrupted("Stopped. The same command takes the job up again where it is.")
    return running.result()


async def _when_ready(batch: RunOptions, ready: asyncio.Future[engine.Ready]) -> bool:
    running = await ready
    if running.open_jobs:
        Console(stderr=True).print(f"{'Note':<11}{running.open_jobs} unfinished job(s) of earlier runs go on as well")
    return await _run(batch, running.url, running.api_key)


async def _run(batch: RunOptions, url: str, api_key: str) -> bool:
    console, began = Console(stderr=True, highlight=False, soft_wrap=True), time.monotonic()
    async with AsyncClient(url, api_key) as client:
        job, begun = await _open(client, batch)
        console.print(f"{'Job':<11}{job['job_id']}{', begun by an earlier run' * begun}")
        if not begun:
            await client.upload(job["upload_url"], batch.file)
        status = await _wait(client, job["job_id"], console)
        downloaded = await _download(client, job["job_id"], batch.output)
    _print_summary(console, status, batch.output if downloaded else None, time.monotonic() - began)
    proven = not downloaded or await asyncio.to_thread(_verify, console, batch)
    return bool(proven and status["status"] == "COMPLETED" and status["failed_count"] == 0)


async def _open(client: AsyncClient, batch: RunOptions) -> tuple[dict[str, Any], bool]:
    """A job for the batch, and whether it is one that an earlier run of the same command began and did not bring home:
    what was paid for then need not be paid for again. One that ended with failures is not taken up."""
    key = await asyncio.to_thread(_idempotency_key, batch)
    for count in itertools.count():
        try:
            job = await client.init(
                batch.provider, batch.model, idempotency_key=f"run-{key}-{count}", max_retries=batch.max_retries
            )
        except RequestFailed as exc:
            if exc.code == "job_deleted":
                continue
            raise
        status = await client.status(job["job_id"])
        if status["status"] not in FINAL or (status["status"] == "COMPLETED" and not status["failed_count"]):
            return job, status["status"] != "AWAITING_UPLOAD"
    raise AssertionError("unreachable: the count has no end")


def _idempotency_key(batch: RunOptions) -> str:
    """The same for the same file, order and output folder."""
    with batch.file.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    order = (content, batch.provider, batch.model, str(batch.max_retries), str(batch.output.resolve()))
    return hashlib.sha256("\n".join(order).encode()).hexdigest()[:32]


async def _wait(client: AsyncClient, job_id: str, console: Console) -> dict[str, Any]:
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


async def _download(client: AsyncClient, job_id: str, output: Path) -> bool:
    """Bring every file home; False if the job has none."""
    try:
        found = await client.results(job_id)
    except RequestFailed as exc:
        if exc.code == "no_results":
            return False
        raise
    for file in [*found["files"], found["manifest"]]:
        await client.download(file["url"], output / Path(file["filename"]).name)
    return True


def _verify(console: Console, batch: RunOptions) -> bool:
    verdict = verify(batch.file, batch.output)
    for fault in verdict.faults:
        console.print(f"{'Fault':<11}{fault}")
    if not verdict.faults:
        console.print(f"{'Verified':<11}every prompt has one line, in order; files as in {MANIFEST_FILE}")
    return not verdict.faults


def _print_summary(console: Console, status: dict[str, Any], output: Path | None, seconds: float) -> None:
    console.print(f"{status['status'].title():<11}{status['prompt_count']} prompts in {seconds:.1f} s", end=": ")
    console.print(f"{status['completed_count']} answered, {status['failed_count']} failed", end=", ")
    console.print(f"{status['tokens_used']} tokens")
    if status["error"]:
        console.print(f"{'Reason':<11}{status['error']['code']}: {status['error']['message']}")
    if output:
        console.print(f"{'Results':<11}{output}")
