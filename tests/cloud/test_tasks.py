"""Tasks from the adapter through a Cloud Tasks server to a function: the requests and the deliveries."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import grpc.aio
import pytest
from google.api_core.exceptions import AlreadyExists, InvalidArgument, NotFound
from google.cloud import tasks_v2
from google.cloud.tasks_v2 import CloudTasksAsyncClient
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcAsyncIOTransport

from promptforge.adapters.clock import SystemClock
from promptforge.adapters.gcp.billing import BilledOperation, BilledOperations
from promptforge.adapters.gcp.caller_auth import CallerPolicy, TokenVerifier
from promptforge.adapters.gcp.tasks import DISPATCH_SECONDS, CloudTasks, Target
from promptforge.bootstrap import set_current
from promptforge.domain.commands import JobCommand
from promptforge.engine.load_functions import load_function
from promptforge.errors import Unavailable
from tests.contract.task_adapters import LOCATION, CloudTaskAdapter, cloud_task_adapter, make_queues
from tests.fakes.cloud_tasks import fake_cloud_tasks
from tests.fakes.google_tokens import TokenIssuer, serve_issuer
from tests.harness.asgi_server import serve_asgi
from tests.harness.clock import ManualClock
from tests.harness.context import with_adapters
from tests.harness.in_process import in_process_stack
from tests.harness.lines import prompts

ACCOUNT = "pf-tasks@demo.iam.gserviceaccount.com"
PARENT = "projects/demo/locations/here/queues/pf-finalizer"


@pytest.fixture
async def adapter(tmp_path: Path) -> AsyncIterator[CloudTaskAdapter]:
    async with cloud_task_adapter(tmp_path, ManualClock()) as adapter:
        yield adapter


@pytest.fixture
async def client(adapter: CloudTaskAdapter) -> AsyncIterator[CloudTasksAsyncClient]:
    channel = grpc.aio.insecure_channel(adapter.address)
    yield CloudTasksAsyncClient(transport=CloudTasksGrpcAsyncIOTransport(channel=channel))
    await channel.close()


@pytest.mark.parametrize("queue", DISPATCH_SECONDS)
async def test_cloud_task_is_an_event_with_token_of_task_account(
    adapter: CloudTaskAdapter, client: CloudTasksAsyncClient, queue: str
) -> None:
    tasks = await adapter.open()
    await tasks.enqueue(queue, b"{}", name="finish-job_1", not_before=ManualClock().now() + 9.5)

    (task,) = [task async for task in await client.list_tasks(parent=PARENT.replace("finalizer", queue))]
    request, url = task.http_request, adapter.target.url_of(queue)
    task_id = task.name.rpartition("/")[2]
    assert (request.url, request.http_method, request.body) == (url, tasks_v2.HttpMethod.POST, b"{}")
    assert dict(request.headers) == {
        "ce-specversion": "1.0",
        "ce-type": "promptforge.task",
        "ce-id": task_id,
        "ce-source": f"//promptforge/queues/{queue}",
        "content-type": "application/json",
    }
    assert (request.oidc_token.service_account_email, request.oidc_token.audience) == ("tasks@demo", url)
    assert task.schedule_time.timestamp() == ManualClock().now() + 9.5
    assert task.dispatch_deadline.total_seconds() == DISPATCH_SECONDS[queue]
    assert (len(task_id), "finish" in task_id) == (64, False)


async def test_cloud_tasks_are_counted(adapter: CloudTaskAdapter) -> None:
    tasks = await adapter.open()
    for name in ("a", "b", "b"):
        await tasks.enqueue("worker", b"", name=name)

    assert adapter.operations.counts == {BilledOperation.TASK: 3}


async def test_cloud_task_to_missing_queue_or_server_raises_unavailable(adapter: CloudTaskAdapter) -> None:
    for prefix, address in (("other-", adapter.address), ("pf-", "127.0.0.1:1")):
        tasks = CloudTasks(replace(adapter.target, prefix=prefix), BilledOperations(), address, retry_seconds=0.2)
        with pytest.raises(Unavailable) as caught:
            await tasks.enqueue("worker", b"", name="t")
        assert caught.value.dependency == "cloud_tasks"
        await tasks.close()


async def test_cloud_task_token_is_accepted_by_function(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        google = await stack.enter_async_context(serve_issuer(TokenIssuer()))
        clock = SystemClock()
        server, address = await stack.enter_async_context(fake_cloud_tasks(clock, google.token))
        one = await stack.enter_async_context(in_process_stack(tmp_path))
        job_id = await one.submit(prompts(3))
        target = Target(LOCATION, "pf-", lambda function: f"{url}/{function}", ACCOUNT)
        await make_queues(server, target)
        policy = CallerPolicy(lambda function: frozenset({ACCOUNT}), target.url_of)
        set_current(with_adapters(one.context, caller_auth=TokenVerifier(policy, clock, google.certificates_url)))
        # The server serves in the context of its start, so it starts after the adapter is replaced.
        url = await stack.enter_async_context(serve_asgi(load_function("splitter")))
        tasks = CloudTasks(target, BilledOperations(), address)
        stack.push_async_callback(tasks.close)

        await tasks.enqueue("splitter", JobCommand(job_id=job_id).encode(), name="split")
        await server.deliver_due()
        job = await one.job(job_id)

    assert (job.prompt_count, job.chunk_count) == (3, 3)
    assert google.certificate_requests == 1


async def test_cloud_task_names_stay_taken_and_invalid_tasks_are_rejected(client: CloudTasksAsyncClient) -> None:
    request = {"url": "http://127.0.0.1:1/"}
    await client.create_task({"parent": PARENT, "task": {"name": f"{PARENT}/tasks/t", "http_request": request}})
    await client.delete_task(name=f"{PARENT}/tasks/t")
    invalid: list[tuple[type[Exception], str, dict[str, object]]] = [
        (AlreadyExists, PARENT, {"name": f"{PARENT}/tasks/t", "http_request": request}),
        (NotFound, f"{PARENT}-2", {"http_request": request}),
        (InvalidArgument, PARENT, {"name": f"{PARENT}-2/tasks/t", "http_request": request}),
        (InvalidArgument, PARENT, {"name": f"{PARENT}/tasks/t t", "http_request": request}),
        (InvalidArgument, PARENT, {"http_request": {"url": "function"}}),
        (InvalidArgument, PARENT, {"http_request": {**request, "body": b"x" * 1024**2}}),
        (InvalidArgument, PARENT, {"http_request": {**request, "body": b"x", "http_method": "GET"}}),
        (InvalidArgument, PARENT, {"http_request": request, "dispatch_deadline": {"seconds": 1801}}),
        (InvalidArgument, PARENT, {"http_request": request, "dispatch_deadline": {"seconds": 14}}),
        (InvalidArgument, PARENT, {"http_request": request, "schedule_time": {"seconds": 1_900_000_000}}),
    ]
    for error, parent, task in invalid:
        with pytest.raises(error):
            await client.create_task({"parent": parent, "task": task})
    with pytest.raises(NotFound):
        await client.get_task(name=f"{PARENT}/tasks/t")
