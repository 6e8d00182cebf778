"""The product on Google Cloud, as far as one machine can show it: Google's emulators, and stand-ins for what has none,
with every function in a process of its own, as deployed. Between them is a network that can be cut.

`python -m tests.harness.cloud_stack` sets it up until Ctrl-C, for whoever wants to try it by hand.
"""

import asyncio
import os
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import grpc
import pytest
from google.cloud import tasks_v2
from google.pubsub_v1.services.publisher import PublisherAsyncClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport
from google.pubsub_v1.services.subscriber import SubscriberAsyncClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcAsyncIOTransport
from google.pubsub_v1.types import PushConfig, Subscription, Topic

from promptforge.adapters.clock import SystemClock
from promptforge.bootstrap import build_context
from promptforge.context import AppContext
from promptforge.domain.commands import SweepJobs
from promptforge.engine.engine import stop_on_signals
from promptforge.engine.load_functions import EVENT_FUNCTIONS
from promptforge.settings import PROVIDER_KEYS, PROVIDER_URLS, Settings
from tests.fakes.cloud_tasks import FakeCloudTasks, fake_cloud_tasks
from tests.fakes.eventarc import run_eventarc
from tests.fakes.flaky_proxy import FlakyProxy
from tests.fakes.gcs_emulator import GcsEmulator, StorageEvents, gcs_emulator
from tests.fakes.iam import fake_iam
from tests.fakes.reverse_proxy import ReverseProxy, reverse_proxy
from tests.fakes.service_account_keys import DOWNLOADER, UPLOADER
from tests.harness.emulators import Firestore, Pubsub, free_port
from tests.harness.function_processes import ALL_FUNCTIONS, function_processes

PREFIX = "promptforge-"
BUCKETS = ("uploads", "work", "results")
EVENTS_TOPIC = "storage-events"
SWEEP_SECONDS = 2.0


@dataclass
class CloudStack:
    """What is running: the API at `url` with a key, an App of the test's own on the same services, and the network."""

    url: str
    key: str
    variables: Mapping[str, str]
    context: AppContext
    proxy: ReverseProxy
    firestore: FlakyProxy
    pubsub: FlakyProxy
    storage: FlakyProxy


@asynccontextmanager
async def cloud_stack(
    folder: Path, firestore: Firestore, pubsub: Pubsub, environ: Mapping[str, str], processes: bool = True
) -> AsyncIterator[CloudStack]:
    """Everything, running. Without `processes` the functions are the caller's to run, with `variables`, and to name to
    the `front`."""
    project = f"stage-{uuid.uuid4().hex[:12]}"
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        state, news = await enter(FlakyProxy(firestore.address)), await enter(FlakyProxy(pubsub.address))
        port = free_port()
        objects = await enter(FlakyProxy(f"127.0.0.1:{port}"))
        await _make_topic(pubsub.address, project, EVENTS_TOPIC)
        await _make_topic(pubsub.address, project, PREFIX + "chunks")
        bucket_events = StorageEvents(pubsub.address, project, EVENTS_TOPIC)
        storage = stack.enter_context(gcs_emulator(bucket_events, port, objects.address))
        _make_buckets(storage)
        gate = await enter(reverse_proxy())
        tasks, tasks_address = await enter(fake_cloud_tasks(SystemClock()))
        await _make_queues(tasks, project)
        iam = await enter(fake_iam(UPLOADER, DOWNLOADER))
        variables = _environ(project, gate.url, environ) | {
            "FIRESTORE_EMULATOR_HOST": state.address,
            "PUBSUB_EMULATOR_HOST": news.address,
            "STORAGE_EMULATOR_HOST": f"http://{objects.address}",
            "CLOUD_TASKS_EMULATOR_HOST": tasks_address,
            "IAM_EMULATOR_HOST": iam.url,
        }
        app = build_context(Settings.from_env(variables))
        stack.push_async_callback(app.close)
        key = await app.api_keys.create("tests")
        if processes:
            functions = await enter(function_processes(ALL_FUNCTIONS, variables, folder / "functions.err"))
            gate.functions = {name: function.url for name, function in functions.items()}
        await _subscribe(pubsub.address, project, f"{gate.url}/worker")
        await enter(_under_way(tasks.run(), _scheduler(gate), run_eventarc(bucket_events, gate, "uploads")))
        yield CloudStack(gate.url, key, variables, app, gate, state, news, objects)


@asynccontextmanager
async def _under_way(*parts: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Beside what is done inside, these run; a fault of theirs is raised at the end."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if not isinstance(outcome, asyncio.CancelledError):
                raise AssertionError("it ended by itself") from outcome


def _environ(project: str, url: str, more: Mapping[str, str]) -> dict[str, str]:
    values = {
        "backend": "gcp",
        "project": project,
        "region": "europe-west1",
        **{f"{name}_bucket": name for name in BUCKETS},
        "name_prefix": PREFIX,
        "function_url": url + "/{function}",
        **{f"{name}_account": f"{name}@test.iam.gserviceaccount.com" for name in ("task", "push", "event", "timer")},
        "upload_signer": UPLOADER,
        "download_signer": DOWNLOADER,
        "pepper": "pepper",
    }
    return {f"PROMPTFORGE_{name.upper()}": value for name, value in values.items()} | dict(more)


def _make_buckets(storage: GcsEmulator) -> None:
    for name in BUCKETS:
        storage.make_bucket(name)


async def _make_queues(tasks: FakeCloudTasks, project: str) -> None:
    parent = f"projects/{project}/locations/europe-west1"
    for name in EVENT_FUNCTIONS:
        config = tasks_v2.RetryConfig(max_attempts=-1, min_backoff=timedelta(seconds=0.2))
        queue = tasks_v2.Queue(name=f"{parent}/queues/{PREFIX}{name}", retry_config=config)
        await tasks.create_queue(tasks_v2.CreateQueueRequest(parent=parent, queue=queue))


async def _make_topic(address: str, project: str, name: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        publisher = PublisherAsyncClient(transport=PublisherGrpcAsyncIOTransport(channel=channel))
        await publisher.create_topic(Topic(name=f"projects/{project}/topics/{name}"))


async def _subscribe(address: str, project: str, endpoint: str) -> None:
    """Have Pub/Sub push what is published to the worker, as deployed but for the retry policy: the emulator forgets a
    message that is waiting for its time under one when there are no others left to deliver."""
    async with grpc.aio.insecure_channel(address) as channel:
        client = SubscriberAsyncClient(transport=SubscriberGrpcAsyncIOTransport(channel=channel))
        subscription = Subscription(
            name=f"projects/{project}/subscriptions/{PREFIX}chunks",
            topic=f"projects/{project}/topics/{PREFIX}chunks",
            push_config=PushConfig(push_endpoint=endpoint),
            ack_deadline_seconds=600,
        )
        await client.create_subscription(subscription)


async def _scheduler(gate: ReverseProxy) -> None:
    """Cloud Scheduler, a little hasty."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        await gate.post("sweeper", {"content-type": "application/json"}, SweepJobs().encode())


async def main(folder: Path) -> None:
    """Run everything, with the providers' variables of the environment, until a signal comes."""
    stop, firestore, pubsub = asyncio.Event(), Firestore(), Pubsub()
    stop_on_signals(stop)
    theirs = {*PROVIDER_KEYS.values(), *(variable for variable, _ in PROVIDER_URLS.values())}
    environ = {name: value for name, value in os.environ.items() if name in theirs}
    try:
        firestore.start()
        pubsub.start()
        async with cloud_stack(folder, firestore, pubsub, environ) as one:
            click.echo(f"URL      {one.url}\nAPI key  {one.key}")
            click.echo(
                f"Ready    {len(ALL_FUNCTIONS)} functions, log in {folder}/functions.err; Ctrl-C stops and forgets all"
            )
            await stop.wait()
    finally:
        pubsub.kill()
        firestore.kill()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        try:
            asyncio.run(main(Path(scratch)))
        except pytest.skip.Exception as lacking:
            sys.exit(str(lacking))
