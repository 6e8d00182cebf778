"""The product on Google Cloud's emulators, and on fakes where there is none.

Every function is a process of its own, as deployed, behind a network that a test can break.
`python -m tests.harness.cloud_stack` runs the stack until Ctrl-C.
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
    """A running stack.

    `url` is the API and `key` a key for it. `variables` are the settings of the functions, `context` is a context of
    the test on the same services. `proxy` routes to the functions; the other proxies lead to the services.
    """

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
    """Run a stack on two emulators.

    Without `processes`, the caller runs the functions with `variables` and sets their addresses in the `proxy`.
    """
    project = f"stage-{uuid.uuid4().hex[:12]}"
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        firestore_proxy, pubsub_proxy = (
            await enter(FlakyProxy(firestore.address)),
            await enter(FlakyProxy(pubsub.address)),
        )
        port = free_port()
        storage_proxy = await enter(FlakyProxy(f"127.0.0.1:{port}"))
        await _create_topics(pubsub.address, project)
        events = StorageEvents(pubsub.address, project, EVENTS_TOPIC)
        _create_buckets(stack.enter_context(gcs_emulator(events, port, storage_proxy.address)))
        proxy = await enter(reverse_proxy())
        tasks, tasks_address = await enter(fake_cloud_tasks(SystemClock()))
        await _create_queues(tasks, project)
        iam = await enter(fake_iam(UPLOADER, DOWNLOADER))
        variables = _settings(project, proxy.url, environ) | {
            "FIRESTORE_EMULATOR_HOST": firestore_proxy.address,
            "PUBSUB_EMULATOR_HOST": pubsub_proxy.address,
            "STORAGE_EMULATOR_HOST": f"http://{storage_proxy.address}",
            "CLOUD_TASKS_EMULATOR_HOST": tasks_address,
            "IAM_EMULATOR_HOST": iam.url,
        }
        context = build_context(Settings.from_env(variables))
        stack.push_async_callback(context.close)
        key = await context.api_keys.create("tests")
        if processes:
            functions = await enter(function_processes(ALL_FUNCTIONS, variables, folder / "functions.err"))
            proxy.functions = {name: function.url for name, function in functions.items()}
        await _subscribe(pubsub.address, project, f"{proxy.url}/worker")
        await enter(_background(tasks.run(), _run_scheduler(proxy), run_eventarc(events, proxy, "uploads")))
        yield CloudStack(proxy.url, key, variables, context, proxy, firestore_proxy, pubsub_proxy, storage_proxy)


@asynccontextmanager
async def _background(*services: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run services beside the block.

    An error of a service is raised at the end.
    """
    tasks = [asyncio.create_task(service) for service in services]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if not isinstance(outcome, asyncio.CancelledError):
                raise AssertionError("a service ended before the test") from outcome


def _settings(project: str, url: str, overrides: Mapping[str, str]) -> dict[str, str]:
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
    return {f"PROMPTFORGE_{name.upper()}": value for name, value in values.items()} | dict(overrides)


def _create_buckets(storage: GcsEmulator) -> None:
    for name in BUCKETS:
        storage.make_bucket(name)


async def _create_queues(tasks: FakeCloudTasks, project: str) -> None:
    parent = f"projects/{project}/locations/europe-west1"
    for name in EVENT_FUNCTIONS:
        config = tasks_v2.RetryConfig(max_attempts=-1, min_backoff=timedelta(seconds=0.2))
        queue = tasks_v2.Queue(name=f"{parent}/queues/{PREFIX}{name}", retry_config=config)
        await tasks.create_queue(tasks_v2.CreateQueueRequest(parent=parent, queue=queue))


async def _create_topics(address: str, project: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        publisher = PublisherAsyncClient(transport=PublisherGrpcAsyncIOTransport(channel=channel))
        for name in (EVENTS_TOPIC, PREFIX + "chunks"):
            await publisher.create_topic(Topic(name=f"projects/{project}/topics/{name}"))


async def _subscribe(address: str, project: str, endpoint: str) -> None:
    """Let Pub/Sub push chunk messages to the worker, as deployed but without a retry policy.

    Under a retry policy, the emulator loses a message that waits for its retry while no other message is left.
    """
    async with grpc.aio.insecure_channel(address) as channel:
        client = SubscriberAsyncClient(transport=SubscriberGrpcAsyncIOTransport(channel=channel))
        subscription = Subscription(
            name=f"projects/{project}/subscriptions/{PREFIX}chunks",
            topic=f"projects/{project}/topics/{PREFIX}chunks",
            push_config=PushConfig(push_endpoint=endpoint),
            ack_deadline_seconds=600,
        )
        await client.create_subscription(subscription)


async def _run_scheduler(proxy: ReverseProxy) -> None:
    """Trigger the sweep, as Cloud Scheduler does, but more often."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        await proxy.post("sweeper", {"content-type": "application/json"}, SweepJobs().encode())


async def main(folder: Path) -> None:
    """Run the stack with the provider variables of the environment until a signal arrives."""
    stop, firestore, pubsub = asyncio.Event(), Firestore(), Pubsub()
    stop_on_signals(stop)
    names = {*PROVIDER_KEYS.values(), *(variable for variable, _ in PROVIDER_URLS.values())}
    environ = {name: value for name, value in os.environ.items() if name in names}
    log = f"{folder}/functions.err"
    try:
        firestore.start()
        pubsub.start()
        async with cloud_stack(folder, firestore, pubsub, environ) as stack:
            click.echo(f"URL      {stack.url}\nAPI key  {stack.key}")
            click.echo(f"Ready    {len(ALL_FUNCTIONS)} functions, log in {log}; Ctrl-C stops them and deletes all data")
            await stop.wait()
    finally:
        pubsub.kill()
        firestore.kill()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        try:
            asyncio.run(main(Path(scratch)))
        except pytest.skip.Exception as missing:
            sys.exit(str(missing))
