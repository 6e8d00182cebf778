"""Jobs on a real engine that a client cancels, or with a prompt that crashes its worker process."""

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

from tests.fakes.provider import answer_after, fake_provider
from tests.harness.engine_process import Engine, engine
from tests.harness.lines import prompts

from promptforge.client.async_client import AsyncClient
from promptforge.client.verify import verify
from promptforge.domain.chunk import ISOLATE_AFTER_CRASHES
from promptforge.worker.isolation import MAX_ISOLATED_CRASHES

FINAL = ("COMPLETED", "FAILED", "CANCELLED")


async def submit(client: AsyncClient, path: Path) -> str:
    job = await client.init("openai", "m")
    await client.upload(job["upload_url"], path)
    return str(job["job_id"])


async def until(client: AsyncClient, job_id: str, done: int | None = None) -> dict[str, Any]:
    """Return the job's status once it is final, or once `done` prompts are complete."""
    async with asyncio.timeout(90):
        while True:
            status = await client.status(job_id)
            if status["status"] in FINAL or (done is not None and status["completed_count"] >= done):
                return status
            await asyncio.sleep(0.02)


async def download(client: AsyncClient, job_id: str, folder: Path) -> None:
    folder.mkdir()
    found = await client.results(job_id)
    for file in [*found["files"], found["manifest"]]:
        await client.download(file["url"], folder / file["filename"])


async def test_engine_cancelled_job_stops_calls_and_verifies(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(prompts(5000))
    async with fake_provider(answer_after(0.1)) as provider:
        environ = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": provider.url, "PROMPTFORGE_MAX_IN_FLIGHT": "8"}
        with engine(tmp_path / "data", environ) as running:
            async with AsyncClient(running.url, running.key) as client:
                job_id = await submit(client, path)
                await until(client, job_id, done=20)
                started = time.monotonic()
                cancelled = await client.cancel(job_id)
                status = await until(client, job_id)
                seconds = time.monotonic() - started
                calls = provider.call_counts.total()
                await download(client, job_id, tmp_path / "results")

    assert (cancelled["status"], cancelled["error"]["code"]) == ("PROCESSING", "cancelled")
    assert (status["status"], status["prompt_count"]) == ("CANCELLED", 5000)
    assert seconds < 10
    assert (
        calls == provider.call_counts.total() == status["completed_count"] < 2000
    )  # every completed call has its result
    assert verify(path, tmp_path / "results").faults == []


async def test_engine_poison_prompt_fails_and_others_are_answered(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(prompts(9) + b" " * 40_000)
    engines: list[Engine] = []

    async def act(prompt: str, call: int) -> None:
        if prompt == "prompt 0":
            for pid in engines[0].worker_pids:
                os.kill(pid, signal.SIGKILL)

    async with fake_provider(act) as provider:
        environ = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": provider.url}
        with engine(tmp_path / "data", environ, workers=1) as running:
            engines.append(running)
            async with AsyncClient(running.url, running.key) as client:
                job_id = await submit(client, path)
                status = await until(client, job_id)
                await download(client, job_id, tmp_path / "results")

    errors = (tmp_path / "results" / "errors.jsonl").read_text()
    assert (status["status"], status["completed_count"], status["failed_count"]) == ("COMPLETED", 8, 1)
    assert '"prompt_id":"id-0","error":"worker_crash"' in errors
    assert provider.call_counts["prompt 0"] == ISOLATE_AFTER_CRASHES + MAX_ISOLATED_CRASHES
    assert verify(path, tmp_path / "results").faults == []
