"""The client's side of a storm: jobs sent through an engine that may be gone at any moment, and what came back."""

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
from tests.chaos.provider_faults import HOPELESS
from tests.harness.lines import Line, parse_lines

T = TypeVar("T")
FINAL = ("COMPLETED", "FAILED")
HOPELESS_EVERY = 250
POLL_SECONDS = 0.2


@dataclass
class Sent:
    """A job: its prompts by id, in the order of the file."""

    number: int
    prompts: dict[str, str]
    job_id: str = ""
    status: dict[str, Any] = field(default_factory=dict)


@dataclass
class Balance:
    """What came back, beside what was sent."""

    jobs: int = 0
    sent: int = 0
    answered: int = 0
    failed: int = 0
    lost: int = 0
    doubled: int = 0
    invented: int = 0
    misplaced: int = 0
    wrong: int = 0

    def add(self, sent: Sent, results: list[Line], errors: list[Line], attempts: int) -> None:
        """Settle one job. An error line is right only after `attempts` tries."""
        back = Counter(line["prompt_id"] for line in [*results, *errors])
        bad = {line["prompt_id"] for line in errors}
        right = [name for name in sent.prompts if name not in bad]
        self.jobs += 1
        self.sent += len(sent.prompts)
        self.answered += len(results)
        self.failed += len(errors)
        self.lost += sum(name not in back for name in sent.prompts)
        self.doubled += sum(count - 1 for name, count in back.items())
        self.invented += sum(name not in sent.prompts for name in back)
        self.misplaced += [line["prompt_id"] for line in results] != right
        self.wrong += sum(line["result"] != sent.prompts.get(line["prompt_id"], "").upper() for line in results)
        self.wrong += sum(line["attempts"] != attempts for line in errors)
        self.wrong += sent.status["status"] != "COMPLETED" or sent.status["prompt_count"] != len(sent.prompts)


class Jobs:
    """Keeps jobs under way, and brings them home at the end."""

    def __init__(self, terms: Config, url: str, key: str, folder: Path, hopeless: bool) -> None:
        self._terms = terms
        self._folder = folder
        self._hopeless = hopeless
        self._client = AsyncClient(url, key)
        self.sent: list[Sent] = []

    async def feed(self, stop: asyncio.Event) -> None:
        """Keep as many jobs under way as the terms say; at the end wait until all have ended."""
        async with self._client:
            while True:
                under_way = [sent for sent in self.sent if not await self._ended(sent)]
                if stop.is_set() and not under_way:
                    return
                if not stop.is_set() and len(under_way) < self._terms.jobs_at_once:
                    await self._open()
                else:
                    await asyncio.sleep(POLL_SECONDS)

    async def wait_until_finished(self) -> Balance:
        """Download everything and compare."""
        balance = Balance()
        async with self._client:
            for sent in self.sent:
                results, errors = await self._download(sent)
                balance.add(sent, results, errors, self._terms.max_retries + 1)
        return balance

    async def _ended(self, sent: Sent) -> bool:
        if sent.status.get("status") not in FINAL:
            sent.status = await _persist(lambda: self._client.status(sent.job_id))
        return sent.status["status"] in FINAL

    async def _open(self) -> None:
        sent = self._compose(len(self.sent))
        path = self._folder / f"job-{sent.number}.jsonl"
        rows = [{"prompt_id": name, "prompt": prompt} for name, prompt in sent.prompts.items()]
        path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
        key, retries = f"storm-{sent.number}", self._terms.max_retries
        job = await _persist(lambda: self._client.init("openai", "model-1", key, max_retries=retries))
        await _persist(lambda: self._upload(job["upload_url"], path))
        sent.job_id = job["job_id"]
        self.sent.append(sent)

    def _compose(self, number: int) -> Sent:
        count = self._terms.prompts_a_job
        bad = HOPELESS_EVERY if self._hopeless else count + 1
        prompts = {
            f"id-{n}": f"job {number}, prompt {n}" + f", {HOPELESS}" * (n % bad == bad - 1) for n in range(count)
        }
        return Sent(number, prompts)

    async def _upload(self, url: str, path: Path) -> None:
        try:
            await self._client.upload(url, path)
        except RequestFailed as exc:
            if exc.code != "already_uploaded":  # the engine died after it had the file, before it said so
                raise

    async def _download(self, sent: Sent) -> tuple[list[Line], list[Line]]:
        lines: dict[bool, list[Line]] = {True: [], False: []}
        for file in (await self._client.results(sent.job_id))["files"]:
            target = self._folder / "result"
            await self._client.download(file["url"], target)
            lines[file["filename"].startswith("results")] += parse_lines(target.read_bytes())
        return lines[True], lines[False]


async def _persist(call: Callable[[], Awaitable[T]]) -> T:
    """Try until an engine answers."""
    while True:
        with suppress(aiohttp.ClientError, OSError):
            return await call()
        await asyncio.sleep(POLL_SECONDS)
