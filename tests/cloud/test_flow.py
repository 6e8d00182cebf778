"""A whole job over Google's emulators, every function a process of its own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from promptforge.client import Client, RequestRefused
from promptforge.domain.erasure import Erasure
from promptforge.service.app import App
from promptforge.verify import verify
from tests.support.cut import Cut
from tests.support.emulators import Firestore, Pubsub
from tests.support.machine import prompts
from tests.support.openai_server import OpenAIServer, openai_server, slow
from tests.support.stage import Stage, stage

pytestmark = pytest.mark.cloud

ENDED = ("COMPLETED", "FAILED", "CANCELLED")
Status = dict[str, Any]
Meanwhile = Callable[[Stage], Awaitable[None]]


async def run(
    one: Stage, file: Path, home: Path, seconds: float = 120, meanwhile: Meanwhile | None = None, **order: Any
) -> Status:
    """Send a file, wait for the end and bring everything home."""
    async with Client(one.url, one.key) as client:
        job = await client.init(**order)
        await client.upload(job["upload_url"], file)
        if meanwhile:
            await meanwhile(one)
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
    async with stage(tmp_path, firestore, pubsub, {"PROMPTFORGE_CHUNK_LINES": "100"}) as one:
        status = await run(one, file, tmp_path / "home", provider="echo", model="echo-1")

    verdict = verify(file, tmp_path / "home")
    assert verdict.faults == []
    assert (verdict.results, verdict.errors) == (1000, 1)
    assert (status["status"], status["completed_count"], status["failed_count"]) == ("COMPLETED", 1000, 1)


async def test_a_deleted_job_leaves_nothing_but_its_place(tmp_path: Path, firestore: Firestore, pubsub: Pubsub) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_bytes(prompts(300))
    async with stage(tmp_path, firestore, pubsub, {"PROMPTFORGE_CHUNK_LINES": "50"}) as one:
        await run(one, file, tmp_path / "home", provider="echo", model="echo-1")
        objects = [bucket.list("job_") for bucket in (one.app.uploads, one.app.work, one.app.results)]
        (job_id, *_) = {name.partition("/")[0] for bucket in objects async for name in bucket}
        async with Client(one.url, one.key) as client:
            await client.delete(job_id)
            with pytest.raises(RequestRefused, match="404"):
                await client.status(job_id)
        async with asyncio.timeout(60):
            while await _left(one.app, job_id):
                await asyncio.sleep(0.2)
        place = await one.app.documents.get(f"jobs/{job_id}")

    assert place
    assert place.data.keys() == Erasure.model_fields.keys()


async def _left(app: App, job_id: str) -> list[str]:
    """What there still is of a job."""
    buckets = [bucket.list(f"{job_id}/") for bucket in (app.uploads, app.work, app.results)]
    objects = [name for bucket in buckets async for name in bucket]
    return objects + [str(chunk.number) async for chunk in app.ledger.chunks(job_id)]


@asynccontextmanager
async def slow_stage(folder: Path, firestore: Firestore, pubsub: Pubsub) -> AsyncIterator[tuple[Stage, OpenAIServer]]:
    """A provider that takes its time, so that there is a middle of the job."""
    environ = {
        "OPENAI_API_KEY": "k",
        "PROMPTFORGE_CHUNK_LINES": "50",
        "PROMPTFORGE_MAX_IN_FLIGHT": "8",
        "PROMPTFORGE_LEASE_SECONDS": "8",
        "PROMPTFORGE_BEAT_SECONDS": "2",
    }
    async with (
        openai_server(slow(0.4)) as provider,
        stage(folder, firestore, pubsub, environ | {"OPENAI_BASE_URL": provider.url}) as one,
    ):
        yield one, provider


async def asked(provider: OpenAIServer, calls: int) -> None:
    """Wait until so many calls were made."""
    while provider.calls.total() < calls:
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("outage", ["firestore", "firestore frozen", "pubsub", "storage"])
async def test_an_outage_in_the_middle_of_a_job_loses_nothing(
    tmp_path: Path, firestore: Firestore, pubsub: Pubsub, outage: str
) -> None:
    file, count = tmp_path / "prompts.jsonl", 400
    file.write_bytes(prompts(count))
    async with slow_stage(tmp_path, firestore, pubsub) as (one, provider):

        async def meanwhile(one: Stage) -> None:
            if outage == "pubsub":  # from before anything is announced
                await refused(one.pubsub, 30)
                return
            await asked(provider, 40)
            if outage == "firestore":
                await refused(one.firestore, 10)
            elif outage == "firestore frozen":
                firestore.freeze()
                await asyncio.sleep(10)
                firestore.thaw()
            else:
                for _ in range(20):
                    one.storage.cut()
                    await asyncio.sleep(0.3)

        status = await run(one, file, tmp_path / "home", 240, meanwhile, provider="openai", model="m")

    assert verify(file, tmp_path / "home").faults == []
    assert (status["status"], status["completed_count"]) == ("COMPLETED", count)
    assert set(provider.calls) == {f"prompt {number}" for number in range(count)}


async def refused(network: Cut, seconds: float) -> None:
    """Nobody gets through for a while."""
    network.refuse()
    network.cut()
    await asyncio.sleep(seconds)
    await network.resume()


async def test_a_restart_of_firestore_in_the_middle_of_a_job_loses_nothing(tmp_path: Path, pubsub: Pubsub) -> None:
    file, count = tmp_path / "prompts.jsonl", 400
    file.write_bytes(prompts(count))
    own = Firestore().start()
    try:
        async with slow_stage(tmp_path, own, pubsub) as (one, provider):

            async def meanwhile(one: Stage) -> None:
                await asked(provider, 40)
                one.firestore.refuse()
                one.firestore.cut()
                await asyncio.to_thread(own.restart, one.app.settings.project)
                await one.firestore.resume()

            status = await run(one, file, tmp_path / "home", 240, meanwhile, provider="openai", model="m")
    finally:
        own.kill()

    assert verify(file, tmp_path / "home").faults == []
    assert (status["status"], status["completed_count"]) == ("COMPLETED", count)
