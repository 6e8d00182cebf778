"""The steps of `promptforge run`: create a job, upload, wait, download and verify.

The job runs on a service that is already running, or on an engine in this process.
"""

import asyncio
import hashlib
import itertools
import os
import time
from dataclasses import dataclass, replace
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
from promptforge.client import AsyncClient, RequestFailed
from promptforge.client.verify import verify
from promptforge.domain.manifest import ERRORS_FILE, MANIFEST_FILE
from promptforge.engine import engine
from promptforge.errors import Interrupted, SettingsError
from promptforge.settings import Settings

FINAL_STATUSES = ("COMPLETED", "FAILED", "CANCELLED")
RESULT_PATTERNS = ("results_part_*.jsonl", ERRORS_FILE, MANIFEST_FILE)
FIRST_POLL_SECONDS = 0.1
MAX_POLL_SECONDS = 1.0
POLL_GROWTH = 1.2


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The job to run, and the folder for its results."""

    file: Path
    provider: str
    model: str
    max_retries: int
    output: Path
    timeout_seconds: float | None = None
    max_in_flight: int | None = None

    @property
    def limits(self) -> dict[str, float]:
        """The limits of the job's calls that are set, by the names of the API."""
        limits = {"timeout_seconds": self.timeout_seconds, "max_in_flight": self.max_in_flight}
        return {name: value for name, value in limits.items() if value is not None}


def run_job(options: RunOptions, url: str | None, api_key: str | None, data_dir: Path, workers: int) -> bool:
    """Run the job with a progress bar and a summary on standard error.

    Returns whether every prompt was answered. Raises SettingsError for an unusable file or output folder,
    RequestFailed, and Interrupted when a signal stops the engine of this run.
    """
    _check_paths(options)
    if url and api_key:
        return asyncio.run(_run(options, url, api_key))
    return asyncio.run(_run_on_own_engine(options, data_dir, workers))


def _check_paths(options: RunOptions) -> None:
    file, output = options.file, options.output
    if not file.is_file():
        raise SettingsError(f"{file} is not a regular file: write the prompts to a file, because it is read twice.")
    if any(path for pattern in RESULT_PATTERNS for path in output.glob(pattern)):
        raise SettingsError(f"{output} already contains results: choose another --output.")
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise SettingsError(f"Cannot create {output} ({exc.strerror}): choose another --output.") from None
    if not os.access(output, os.W_OK):
        raise SettingsError(f"{output} is not writable: choose another --output.")


async def _run_on_own_engine(options: RunOptions, data_dir: Path, workers: int) -> bool:
    """Run the job on an engine in this process, which writes its log to the data folder.

    Jobs of earlier runs stay paused, so that they cause no cost that this command did not request.
    """
    settings = Settings.from_env(os.environ, data_dir=data_dir)
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
    engine.stop_on_signals(stop)
    with (data_dir / "engine.log").open("a") as log:
        logs.configure(settings.log_level, log)
        plan = replace(engine.plan(settings, "127.0.0.1", 0, workers, log=log), resumes_all=False)
        serving = asyncio.create_task(engine.serve(plan, stop, ready.set_result))
        running = asyncio.create_task(_run_when_ready(options, ready))
        try:
            await asyncio.wait([serving, running], return_when=asyncio.FIRST_COMPLETED)
            interrupted = stop.is_set() or not running.done()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            stop.set()
            await serving
    if interrupted:
        raise Interrupted("Stopped. Run the same command again to resume the job.")
    return running.result()


async def _run_when_ready(options: RunOptions, ready: asyncio.Future[engine.Ready]) -> bool:
    running = await ready
    if running.active_jobs:
        note = (
            f"{running.active_jobs} unfinished job(s) of earlier runs: each stays paused until its command is repeated"
        )
        _print(Console(stderr=True, soft_wrap=True), "Note", note)
    return await _run(options, running.url, running.api_key)


async def _run(options: RunOptions, url: str, api_key: str) -> bool:
    console, started_at = Console(stderr=True, highlight=False, soft_wrap=True), time.monotonic()
    async with AsyncClient(url, api_key) as client:
        job, resumed = await _create_or_resume(client, options)
        job_id = job["job_id"]
        _print(console, "Job", f"{job_id}, started by an earlier run" if resumed else job_id)
        if not resumed:
            await client.upload(job["upload_url"], options.file)
        status = await _wait(client, job_id, console)
        downloaded = await _download(client, job_id, options.output)
    _print_summary(console, status, options.output if downloaded else None, time.monotonic() - started_at)
    verified = not downloaded or await asyncio.to_thread(_verify, console, options)
    return verified and _succeeded(status)


async def _create_or_resume(client: AsyncClient, options: RunOptions) -> tuple[dict[str, Any], bool]:
    """Return a job for the options, and whether an earlier run of the same command started it.

    A job whose results were not downloaded is resumed, so that its calls are not paid twice.
    A job that ended with failures is not resumed.
    """
    key = await asyncio.to_thread(_idempotency_key, options)
    for attempt in itertools.count():
        try:
            job = await client.init(
                options.provider,
                options.model,
                idempotency_key=f"run-{key}-{attempt}",
                max_retries=options.max_retries,
                **options.limits,
            )
        except RequestFailed as exc:
            if exc.code == "job_deleted":
                continue
            raise
        status = await client.status(job["job_id"])
        if status["status"] not in FINAL_STATUSES or _succeeded(status):
            return job, status["status"] != "AWAITING_UPLOAD"
    raise AssertionError("unreachable: the count has no end")


def _succeeded(status: dict[str, Any]) -> bool:
    return bool(status["status"] == "COMPLETED" and status["failed_count"] == 0)


def _idempotency_key(options: RunOptions) -> str:
    """Return a key that is the same for the same content, options and output folder."""
    with options.file.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    values = [content, options.provider, options.model, str(options.max_retries), str(options.output.resolve())]
    values += [f"{name}={value}" for name, value in options.limits.items()]
    return hashlib.sha256("\n".join(values).encode()).hexdigest()[:32]


async def _wait(client: AsyncClient, job_id: str, console: Console) -> dict[str, Any]:
    columns = (TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    pause = FIRST_POLL_SECONDS
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        bar = progress.add_task("Queued", total=None)
        while True:
            status = await client.status(job_id)
            done, total = status["completed_count"] + status["failed_count"], status["prompt_count"]
            progress.update(bar, description=status["status"].title(), completed=done, total=total or None)
            if status["status"] in FINAL_STATUSES:
                return status
            await asyncio.sleep(pause)
            pause = min(pause * POLL_GROWTH, MAX_POLL_SECONDS)


async def _download(client: AsyncClient, job_id: str, output: Path) -> bool:
    """Download every file of the job; return False if it has none."""
    try:
        results = await client.results(job_id)
    except RequestFailed as exc:
        if exc.code == "no_results":
            return False
        raise
    for file in [*results["files"], results["manifest"]]:
        await client.download(file["url"], output / Path(file["filename"]).name)
    return True


def _verify(console: Console, options: RunOptions) -> bool:
    verdict = verify(options.file, options.output)
    for fault in verdict.faults:
        _print(console, "Fault", fault)
    if not verdict.faults:
        _print(console, "Verified", f"every prompt has one line, in order; files as in {MANIFEST_FILE}")
    return not verdict.faults


def _print_summary(console: Console, status: dict[str, Any], output: Path | None, seconds: float) -> None:
    outcome = f"{status['completed_count']} answered, {status['failed_count']} failed, {status['tokens_used']} tokens"
    _print(console, status["status"].title(), f"{status['prompt_count']} prompts in {seconds:.1f} s: {outcome}")
    if status["error"]:
        _print(console, "Reason", f"{status['error']['code']}: {status['error']['message']}")
    if output:
        _print(console, "Results", str(output))


def _print(console: Console, label: str, text: str) -> None:
    console.print(f"{label:<11}{text}")
