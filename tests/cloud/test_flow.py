"""A whole job over Google's emulators, every function a process of its own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from promptforge.client.async_client import AsyncClient, RequestFailed
from promptforge.client.verify import verify
from promptforge.context import AppContext
from promptforge.domain.tombstone import Tombstone
from tests.fakes.flaky_proxy import FlakyProxy
from tests.fakes.provider import FakeProvider, answer_after, fake_provider
from tests.harness.cloud_stack import CloudStack, cloud_stack
from tests.harness.emulators import Firestore, Pubsub
from tests.harness.in_process import prompts

pytestmark = pytest.mark.cloud

ENDED = ("COMPLETED", "FAILED", "CANCELLED")
Status = dict[str, Any]
Trouble = Callable[["Play"], Coroutine[Any, Any, None]]


async def run(one: CloudStack, file: Path, home: Path, seconds: float = 180, **order: Any) -> Status:
    """Send a file, wait for the end and bring everything home."""
    async with AsyncClient(one.url, one.key) as client:
        job = await client.init(**order)
        await client.upload(job["upload_url"], file)
        async with asyncio.timeout(seconds):
            while (status := await status_of(client, job["job_id"])).get("status") not in ENDED:
                await asyncio.sleep(0.2)
        home.mkdir()
        found = await client.results(job["job_id"])
        for entry in [*found["files"], found["manifest"]]:
            await client.download(entry["url"], home / entry["filename"])
    return status


async def status_of(client: AsyncClient, job_id: str) -> Status:
    """How the job stands; nothing while the API says that it cannot tell."""
    try:
        return await client.status(job_id)
    except RequestFailed as exc:
        if exc.code != "unavailable":
            raise
        return {}


@dataclass
class Play:
    """A stage whose provider takes its time, so that there is a middle of a job."""

    one: CloudStack
    provider: FakeProvider
    firestore: Firestore

    async def run_through(self, trouble: Trouble, folder: Path) -> None:
        """A job that goes through trouble must lose nothing."""
        file, count = folder / "prompts.jsonl", 400
        file.write_bytes(prompts(count))
        self.provider.call_counts.clear()
        async with asyncio.TaskGroup() as both:
            both.create_task(trouble(self))
            job = both.create_task(run(self.one, file, folder / "home", provider="openai", model="m"))

        status = job.result()
        assert verify(file, folder / "home").faults == []
        assert (status["status"], status["completed_count"]) == ("COMPLETED", count)
        assert set(self.provider.call_counts) == {f"prompt {number}" for number in range(count)}

    async def asked(self, calls: int) -> None:
        """Wait for a number of calls."""
        while self.provider.call_counts.total() < calls:
            await asyncio.sleep(0.02)


@asynccontextmanager
async def slow_play(folder: Path, firestore: Firestore, pubsub: Pubsub) -> AsyncIterator[Play]:
    environ = {
        "OPENAI_API_KEY": "k",
        "PROMPTFORGE_CHUNK_LINES": "50",
        "PROMPTFORGE_MAX_IN_FLIGHT": "8",
        "PROMPTFORGE_LEASE_SECONDS": "8",
        "PROMPTFORGE_HEARTBEAT_SECONDS": "2",
    }
    async with (
        fake_provider(answer_after(0.3)) as provider,
        cloud_stack(folder, firestore, pubsub, environ | {"OPENAI_BASE_URL": provider.url}) as one,
    ):
        yield Play(one, provider, firestore)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def play(tmp_path_factory: pytest.TempPathFactory, firestore: Firestore, pubsub: Pubsub) -> AsyncIterator[Play]:
    """One for all tests of trouble: it takes long to build."""
    async with slow_play(tmp_path_factory.mktemp("play"), firestore, pubsub) as play:
        yield play


async def nobody_gets_through(network: FlakyProxy, seconds: float) -> None:
    network.refuse_connections()
    network.drop_connections()
    await asyncio.sleep(seconds)
    await network.restore()


async def firestore_is_away(play: Play) -> None:
    await play.asked(40)
    await nobody_gets_through(play.one.firestore, 10)


async def firestore_stands_still(play: Play) -> None:
    await play.asked(40)
    play.firestore.suspend()
    await asyncio.sleep(10)
    play.firestore.resume()


async def pubsub_is_away(play: Play) -> None:
    await nobody_gets_through(play.one.pubsub, 30)
    assert play.provider.call_counts.total() == 0  # nothing could be published before


async def storage_connections_break(play: Play) -> None:
    await play.asked(40)
    for _ in range(20):
        play.one.storage.drop_connections()
        await asyncio.sleep(0.3)


async def firestore_restarts(play: Play) -> None:
    await play.asked(40)
    network = play.one.firestore
    network.refuse_connections()
    network.drop_connections()
    await asyncio.to_thread(play.firestore.restart, play.one.context.settings.project)
    await network.restore()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "trouble", [firestore_is_away, firestore_stands_still, pubsub_is_away, storage_connections_break]
)
async def test_job_survives_outage_without_loss(tmp_path: Path, play: Play, trouble: Trouble) -> None:
    await play.run_through(trouble, tmp_path)


async def test_job_survives_firestore_restart_without_loss(tmp_path: Path, pubsub: Pubsub) -> None:
    own = Firestore().start()  # what it brings back after the restart, it brings back to every project
    try:
        async with slow_play(tmp_path, own, pubsub) as play:
            await play.run_through(firestore_restarts, tmp_path)
    finally:
        own.kill()


async def test_job_of_thousand_prompts_returns_results_in_order(
    tmp_path: Path, firestore: Firestore, pubsub: Pubsub
) -> None:
    """By a client that asks each function at an address of its own."""
    file = tmp_path / "prompts.jsonl"
    file.write_bytes(prompts(500) + b"not json\n" + prompts(500, first=500))
    async with cloud_stack(tmp_path, firestore, pubsub, {"PROMPTFORGE_CHUNK_LINES": "100"}) as one:
        apart = replace(one, url=f"{one.url}/{{function}}")
        status = await run(apart, file, tmp_path / "home", provider="echo", model="echo-1")

    verdict = verify(file, tmp_path / "home")
    assert verdict.faults == []
    assert (verdict.results, verdict.errors) == (1000, 1)
    assert (status["status"], status["completed_count"], status["failed_count"]) == ("COMPLETED", 1000, 1)


async def test_deleted_job_leaves_only_its_tombstone(tmp_path: Path, firestore: Firestore, pubsub: Pubsub) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_bytes(prompts(300))
    async with cloud_stack(tmp_path, firestore, pubsub, {"PROMPTFORGE_CHUNK_LINES": "50"}) as one:
        await run(one, file, tmp_path / "home", provider="echo", model="echo-1")
        objects = [bucket.list("") for bucket in (one.context.uploads, one.context.work, one.context.results)]
        (job_id, *_) = {name.partition("/")[0] for bucket in objects async for name in bucket}
        async with AsyncClient(one.url, one.key) as client:
            await client.delete(job_id)
            with pytest.raises(RequestFailed, match="404"):
                await client.status(job_id)
        async with asyncio.timeout(60):
            while await _left(one.context, job_id):
                await asyncio.sleep(0.2)
        place = await one.context.documents.get(f"jobs/{job_id}")

    assert place
    assert place.data.keys() == {field.alias or name for name, field in Tombstone.model_fields.items()}


async def _left(app: AppContext, job_id: str) -> list[str]:
    """Return the remaining documents and objects of a job."""
    buckets = [bucket.list(f"{job_id}/") for bucket in (app.uploads, app.work, app.results)]
    objects = [name for bucket in buckets async for name in bucket]
    return objects + [str(chunk.number) async for chunk in app.chunks.list_all(job_id)]
