"""A complete job on Google's emulators, with each function in its own process."""

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
from tests.harness.lines import prompts

pytestmark = pytest.mark.cloud

FINAL_STATUSES = ("COMPLETED", "FAILED", "CANCELLED")
Status = dict[str, Any]
Outage = Callable[["OutageScenario"], Coroutine[Any, Any, None]]


async def run(one: CloudStack, file: Path, output: Path, seconds: float = 180, **fields: Any) -> Status:
    """Submit a file, wait for the final status and download every file."""
    async with AsyncClient(one.url, one.key) as client:
        job = await client.init(**fields)
        await client.upload(job["upload_url"], file)
        async with asyncio.timeout(seconds):
            while (status := await job_status(client, job["job_id"])).get("status") not in FINAL_STATUSES:
                await asyncio.sleep(0.2)
        output.mkdir()
        found = await client.results(job["job_id"])
        for entry in [*found["files"], found["manifest"]]:
            await client.download(entry["url"], output / entry["filename"])
    return status


async def job_status(client: AsyncClient, job_id: str) -> Status:
    """Return the status of a job; an empty one while the API answers `unavailable`."""
    try:
        return await client.status(job_id)
    except RequestFailed as exc:
        if exc.code != "unavailable":
            raise
        return {}


@dataclass
class OutageScenario:
    """A cloud stack with a slow provider, so that an outage falls into the middle of a job."""

    one: CloudStack
    provider: FakeProvider
    firestore: Firestore

    async def run_job_during(self, outage: Outage, folder: Path) -> None:
        """Run a job during an outage and check that nothing is lost."""
        file, count = folder / "prompts.jsonl", 400
        file.write_bytes(prompts(count))
        self.provider.call_counts.clear()
        async with asyncio.TaskGroup() as both:
            both.create_task(outage(self))
            job = both.create_task(run(self.one, file, folder / "output", provider="openai", model="m"))

        status = job.result()
        assert verify(file, folder / "output").faults == []
        assert (status["status"], status["completed_count"]) == ("COMPLETED", count)
        assert set(self.provider.call_counts) == {f"prompt {number}" for number in range(count)}

    async def wait_for_calls(self, calls: int) -> None:
        """Wait for a number of calls."""
        while self.provider.call_counts.total() < calls:
            await asyncio.sleep(0.02)


@asynccontextmanager
async def slow_scenario(folder: Path, firestore: Firestore, pubsub: Pubsub) -> AsyncIterator[OutageScenario]:
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
        yield OutageScenario(one, provider, firestore)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scenario(
    tmp_path_factory: pytest.TempPathFactory, firestore: Firestore, pubsub: Pubsub
) -> AsyncIterator[OutageScenario]:
    """Return one scenario for all outages, because its start is slow."""
    async with slow_scenario(tmp_path_factory.mktemp("scenario"), firestore, pubsub) as scenario:
        yield scenario


async def interrupt(network: FlakyProxy, seconds: float) -> None:
    network.refuse_connections()
    network.drop_connections()
    await asyncio.sleep(seconds)
    await network.restore()


async def firestore_unreachable(scenario: OutageScenario) -> None:
    await scenario.wait_for_calls(40)
    await interrupt(scenario.one.firestore, 10)


async def firestore_suspended(scenario: OutageScenario) -> None:
    await scenario.wait_for_calls(40)
    scenario.firestore.suspend()
    await asyncio.sleep(10)
    scenario.firestore.resume()


async def pubsub_unreachable(scenario: OutageScenario) -> None:
    await interrupt(scenario.one.pubsub, 30)
    assert scenario.provider.call_counts.total() == 0  # nothing could be published before


async def storage_disconnects(scenario: OutageScenario) -> None:
    await scenario.wait_for_calls(40)
    for _ in range(20):
        scenario.one.storage.drop_connections()
        await asyncio.sleep(0.3)


async def firestore_restarts(scenario: OutageScenario) -> None:
    await scenario.wait_for_calls(40)
    network = scenario.one.firestore
    network.refuse_connections()
    network.drop_connections()
    await asyncio.to_thread(scenario.firestore.restart, scenario.one.context.settings.project)
    await network.restore()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "outage", [firestore_unreachable, firestore_suspended, pubsub_unreachable, storage_disconnects]
)
async def test_job_survives_outage_without_loss(tmp_path: Path, scenario: OutageScenario, outage: Outage) -> None:
    await scenario.run_job_during(outage, tmp_path)


async def test_job_survives_firestore_restart_without_loss(tmp_path: Path, pubsub: Pubsub) -> None:
    own = Firestore().start()  # a restart restores the documents of every project, so the shared emulator is not used
    try:
        async with slow_scenario(tmp_path, own, pubsub) as scenario:
            await scenario.run_job_during(firestore_restarts, tmp_path)
    finally:
        own.kill()


async def test_job_of_thousand_prompts_returns_results_in_order(
    tmp_path: Path, firestore: Firestore, pubsub: Pubsub
) -> None:
    """Use a client that calls each function at its own address."""
    file = tmp_path / "prompts.jsonl"
    file.write_bytes(prompts(500) + b"not json\n" + prompts(500, first=500))
    async with cloud_stack(tmp_path, firestore, pubsub, {"PROMPTFORGE_CHUNK_LINES": "100"}) as one:
        apart = replace(one, url=f"{one.url}/{{function}}")
        status = await run(apart, file, tmp_path / "output", provider="echo", model="echo-1")

    report = verify(file, tmp_path / "output")
    assert report.faults == []
    assert (report.results, report.errors) == (1000, 1)
    assert (status["status"], status["completed_count"], status["failed_count"]) == ("COMPLETED", 1000, 1)


async def test_deleted_job_leaves_only_its_tombstone(tmp_path: Path, firestore: Firestore, pubsub: Pubsub) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_bytes(prompts(300))
    async with cloud_stack(tmp_path, firestore, pubsub, {"PROMPTFORGE_CHUNK_LINES": "50"}) as one:
        await run(one, file, tmp_path / "output", provider="echo", model="echo-1")
        objects = [bucket.list("") for bucket in (one.context.uploads, one.context.work, one.context.results)]
        (job_id, *_) = {name.partition("/")[0] for bucket in objects async for name in bucket}
        async with AsyncClient(one.url, one.key) as client:
            await client.delete(job_id)
            with pytest.raises(RequestFailed, match="404"):
                await client.status(job_id)
        async with asyncio.timeout(60):
            while await _remaining(one.context, job_id):
                await asyncio.sleep(0.2)
        tombstone = await one.context.documents.get(f"jobs/{job_id}")

    assert tombstone
    assert tombstone.data.keys() == {field.alias or name for name, field in Tombstone.model_fields.items()}


async def _remaining(app: AppContext, job_id: str) -> list[str]:
    """Return the remaining documents and objects of a job."""
    buckets = [bucket.list(f"{job_id}/") for bucket in (app.uploads, app.work, app.results)]
    objects = [name for bucket in buckets async for name in bucket]
    return objects + [str(chunk.number) async for chunk in app.chunks.list_all(job_id)]
