"""A whole job over Google's emulators, every function a process of its own."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from promptforge.client import Client
from promptforge.verify import verify
from tests.support.emulators import Firestore, Pubsub
from tests.support.machine import prompts
from tests.support.stage import Stage, stage

pytestmark = pytest.mark.cloud

ENDED = ("COMPLETED", "FAILED", "CANCELLED")
Status = dict[str, Any]


async def run(one: Stage, file: Path, home: Path, seconds: float = 120, **order: Any) -> Status:
    """Send a file, wait for the end and bring everything home."""
    async with Client(one.url, one.key) as client:
        job = await client.init(**order)
        await client.upload(job["upload_url"], file)
        async with asyncio.timeout(seconds):
            while (status := await client.status(job["job_id"]))["status"] not in ENDED:
                await asyncio.sleep(0.2)
        home.mkdir()
        found = await client.results(job["job_id"])
        for entry in [*found["files"], found["manifest"]]:
            await client.download(entry["url"], home / entry["filename"])
    return status


async def test_a_thousand_prompts_come_back_in_order(tmp_path: Path, firestore: Firestore, pubsub: Pubsub) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_bytes(prompts(500) + b"not json\n" + prompts(500, first=500))
    async with stage(tmp_path, firestore, pubsub, PROMPTFORGE_CHUNK_LINES="100") as one:
        status = await run(one, file, tmp_path / "home", provider="echo", model="echo-1")

    verdict = verify(file, tmp_path / "home")
    assert verdict.faults == []
    assert (verdict.results, verdict.errors) == (1000, 1)
    assert (status["status"], status["completed_count"], status["failed_count"]) == ("COMPLETED", 1000, 1)
