"""The client of a chaos run: it sends jobs to an engine that may be down at any moment, and counts the answers."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import orjson

from promptforge.client.async_client import AsyncClient, RequestFailed
from tests.chaos.config import Config
from tests.chaos.provider_script import ALWAYS_FAILING
from tests.harness.lines import Line, parse_lines

T = TypeVar("T")
FINAL = ("COMPLETED", "FAILED")
ALWAYS_FAILING_EVERY = 250
POLL_SECONDS = 0.2


@dataclass
class SentJob:
    """A job with its prompts by id, in the order of the file."""

    number: int
    prompts: dict[str, str]
    job_id: str = ""
    status: dict[str, Any] = field(default_factory=dict)


@dataclass
class AnswerCounts:
    """The counts of prompts and of their answers, right and wrong."""

    jobs: int = 0
    sent: int = 0
    answered: int = 0
    failed: int = 0
    lost: int = 0
    duplicate: int = 0
    unexpected: int = 0
    misplaced: int = 0
    wrong: int = 0

    def add(self, job: SentJob, results: list[Line], errors: list[Line], attempts: int) -> None:
        """Count the answers of one job.

        An error line must have this number of attempts.
        """
        answers = Counter(line["prompt_id"] for line in [*results, *errors])
        failed = {line["prompt_id"] for line in errors}
        in_order = [name for name in job.prompts if name not in failed]
        self.jobs += 1
        self.sent += len(job.prompts)
        self.answered += len(results)
        self.failed += len(errors)
        self.lost += sum(name not in answers for name in job.prompts)
        self.duplicate += sum(count - 1 for name, count in answers.items())
        self.unexpected += sum(name not in job.prompts for name in answers)
        self.misplaced += [line["prompt_id"] for line in results] != in_order
        self.wrong += sum(line["result"] != job.prompts.get(line["prompt_id"], "").upper() for line in results)
        self.wrong += sum(line["attempts"] != attempts for line in errors)
        self.wrong += job.status["status"] != "COMPLETED" or job.status["prompt_count"] != len(job.prompts)


class Jobs:
    """Keeps some jobs active and downloads their results at the end.

    With `always_failing`, some prompts of each job always fail at the faulty provider.
    """

    def __init__(self, config: Config, url: str, key: str, folder: Path, always_failing: bool) -> None:
        self._config = config
        self._folder = folder
        self._always_failing = always_failing
        self._client = AsyncClient(url, key)
        self.sent: list[SentJob] = []

    async def feed(self, stop: asyncio.Event) -> None:
        """Keep the configured number of jobs active until `stop`, then wait until all have finished."""
        async with self._client:
            while True:
                active = [job for job in self.sent if not await self._is_finished(job)]
                if stop.is_set() and not active:
                    return
                if not stop.is_set() and len(active) < self._config.concurrent_jobs:
                    await self._send_job()
                else:
                    await asyncio.sleep(POLL_SECONDS)

    async def collect_results(self) -> AnswerCounts:
        """Download the results of every job and count the answers."""
        counts = AnswerCounts()
        async with self._client:
            for job in self.sent:
                results, errors = await self._download(job)
                counts.add(job, results, errors, self._config.max_retries + 1)
        return counts

    async def _is_finished(self, job: SentJob) -> bool:
        if job.status.get("status") not in FINAL:
            job.status = await _until_connected(lambda: self._client.status(job.job_id))
        return job.status["status"] in FINAL

    async def _send_job(self) -> None:
        job = self._build_job(len(self.sent))
        path = self._folder / f"job-{job.number}.jsonl"
        rows = [{"prompt_id": name, "prompt": prompt} for name, prompt in job.prompts.items()]
        path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
        key, retries = f"chaos-{job.number}", self._config.max_retries
        created = await _until_connected(lambda: self._client.init("openai", "model-1", key, max_retries=retries))
        await _until_connected(lambda: self._upload(created["upload_url"], path))
        job.job_id = created["job_id"]
        self.sent.append(job)

    def _build_job(self, number: int) -> SentJob:
        count = self._config.prompts_per_job
        every = ALWAYS_FAILING_EVERY if self._always_failing else count + 1
        prompts = {
            f"id-{n}": f"job {number}, prompt {n}" + f", {ALWAYS_FAILING}" * (n % every == every - 1)
            for n in range(count)
        }
        return SentJob(number, prompts)

    async def _upload(self, url: str, path: Path) -> None:
        try:
            await self._client.upload(url, path)
        except RequestFailed as exc:
            if exc.code != "already_uploaded":  # the engine was killed after it stored the file, before its response
                raise

    async def _download(self, job: SentJob) -> tuple[list[Line], list[Line]]:
        results: list[Line] = []
        errors: list[Line] = []
        for file in (await self._client.results(job.job_id))["files"]:
            target = self._folder / "result"
            await self._client.download(file["url"], target)
            (results if file["filename"].startswith("results") else errors).extend(parse_lines(target.read_bytes()))
        return results, errors


async def _until_connected(call: Callable[[], Awaitable[T]]) -> T:
    """Repeat a call until an engine responds."""
    while True:
        with suppress(aiohttp.ClientError, OSError):
            return await call()
        await asyncio.sleep(POLL_SECONDS)
