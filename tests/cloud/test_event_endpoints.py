"""The requests that the platform POSTs to an event function, in each form, and their answers."""

import base64
import io
import json
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from cloudevents.conversion import to_structured
from cloudevents.http.event import CloudEvent
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from promptforge import logs
from promptforge.context import AppContext
from promptforge.domain.commands import Command, JobCommand, JobUploaded, ProcessChunk, SweepJobs, task_headers
from promptforge.engine.load_functions import EVENT_FUNCTIONS, load_function
from promptforge.entrypoints import events
from promptforge.entrypoints.requests import MAX_EVENT_BYTES
from promptforge.errors import ObjectMissing, Unavailable
from tests.harness.in_process import in_process_stack

JOB = "01234567-89ab-4def-8123-456789abcdef"
CHUNK = ProcessChunk(job_id=JOB, chunk=3)
SECRET = "a client's prompt"
JSON = {"content-type": "application/json"}

Post = tuple[dict[str, str], bytes]


@pytest.fixture(autouse=True)
async def app(tmp_path: Path) -> AsyncIterator[AppContext]:
    async with in_process_stack(tmp_path) as one:
        yield one.context


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    logger = logging.getLogger("promptforge")
    before, stream = (logger.handlers, logger.level, logger.propagate), io.StringIO()
    root = logging.getLogger()
    root_before = (root.handlers, root.level)
    logs.configure("INFO", stream)
    yield stream
    logger.handlers, logger.level, logger.propagate = before
    root.handlers, root.level = root_before


def push(data: bytes) -> Post:
    """Return a message as Pub/Sub pushes it: https://cloud.google.com/pubsub/docs/push."""
    message = {
        "data": base64.b64encode(data).decode(),
        "attributes": {"key": "value"},
        "messageId": "62016",
        "message_id": "62016",
        "publishTime": "2026-01-02T03:04:05.678Z",
        "publish_time": "2026-01-02T03:04:05.678Z",
    }
    return JSON, json.dumps({"message": message, "subscription": "projects/p/subscriptions/s"}).encode()


def task(message: Command) -> Post:
    return task_headers("queue", "0123abcd"), message.encode()


def storage_event(name: str) -> Post:
    """Return an event as Eventarc sends it: https://cloud.google.com/eventarc/docs/cloudevents."""
    headers = {
        "ce-specversion": "1.0",
        "ce-id": "1234567",
        "ce-type": "google.cloud.storage.object.v1.finalized",
        "ce-source": "//storage.googleapis.com/projects/_/buckets/uploads",
        "ce-subject": f"objects/{name}",
        "ce-bucket": "uploads",
        "ce-time": "2026-01-02T03:04:05.678Z",
        "content-type": "application/json; charset=utf-8",
    }
    info = {"kind": "storage#object", "bucket": "uploads", "name": name, "generation": "1587627537231057", "size": "3"}
    return headers, json.dumps(info).encode()


def structured(message: Command) -> Post:
    event = CloudEvent({"type": "promptforge.task", "source": "//test"}, json.loads(message.encode()))
    headers, body = to_structured(event)
    return headers, body


def recording_function(
    decode: events.Decoder[Command], fault: Exception | None = None
) -> tuple[ASGIApp, list[Command]]:
    """Return a function that records its messages, or raises `fault`."""
    handled: list[Command] = []

    async def record(message: Command) -> None:
        handled.append(message)
        if fault:
            raise fault

    function = events.event_endpoint(decode)(record)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await (await function(Request(scope, receive)))(scope, receive, send)

    return app, handled


async def send(app: ASGIApp, post: Post, method: str = "POST") -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://function") as client:
        return await client.request(method, "/", headers=post[0], content=post[1])


CHUNKS: events.Decoder[Command] = events.decode_command(ProcessChunk)
SWEEPS: events.Decoder[Command] = events.decode_command(SweepJobs)


@pytest.mark.parametrize(
    ("decode", "post", "message"),
    [
        (CHUNKS, push(CHUNK.encode()), CHUNK),
        (CHUNKS, task(CHUNK), CHUNK),
        (CHUNKS, structured(CHUNK), CHUNK),
        (events.decode_upload, storage_event(f"{JOB}/input.jsonl"), JobUploaded(job_id=JOB)),
        (events.decode_upload, task(JobCommand(job_id=JOB)), JobCommand(job_id=JOB)),
        (events.decode_command(JobCommand), task(JobCommand(job_id=JOB)), JobCommand(job_id=JOB)),
        (SWEEPS, (JSON, b"{}"), SweepJobs()),
        (SWEEPS, ({"content-type": "application/octet-stream"}, b"{}"), SweepJobs()),
        (SWEEPS, task(SweepJobs(job_id=JOB)), SweepJobs(job_id=JOB)),
    ],
)
async def test_event_endpoint_decodes_each_form_and_answers_204(
    decode: events.Decoder[Command], post: Post, message: Command
) -> None:
    app, handled = recording_function(decode)

    reply = await send(app, post)

    assert (reply.status_code, reply.content) == (204, b"")
    assert handled == [message]


@pytest.mark.parametrize(
    ("decode", "post"),
    [
        (CHUNKS, push(b"not json")),
        (CHUNKS, push(b"")),
        (CHUNKS, (JSON, b'{"message": {"attributes": {}}, "subscription": "s"}')),
        (CHUNKS, (JSON, b'{"message": {"data": "%%%"}, "subscription": "s"}')),
        (CHUNKS, (JSON, b"[]")),
        (CHUNKS, (JSON, b"7")),
        (CHUNKS, (JSON, b"")),
        (CHUNKS, ({}, b"\xff")),
        (CHUNKS, storage_event(f"{JOB}/input.jsonl")),
        (CHUNKS, push(b" " * MAX_EVENT_BYTES + CHUNK.encode())),
        (events.decode_upload, storage_event("someone-else/input.jsonl")),
        (events.decode_upload, storage_event(f"{JOB}/parts/1")),
    ],
)
async def test_event_endpoint_logs_and_acknowledges_unknown_messages(
    decode: events.Decoder[Command], post: Post, log: io.StringIO
) -> None:
    app, handled = recording_function(decode)

    reply = await send(app, post)

    assert (reply.status_code, reply.content, handled) == (204, b"", [])
    assert [json.loads(line)["event"] for line in log.getvalue().splitlines()] == ["event_ignored"]


@pytest.mark.parametrize(
    ("fault", "status"), [(ValueError(SECRET), 500), (ObjectMissing(SECRET), 500), (Unavailable("test", SECRET), 503)]
)
async def test_event_endpoint_answers_errors_without_their_text(
    fault: Exception, status: int, log: io.StringIO
) -> None:
    app, handled = recording_function(CHUNKS, fault)

    reply = await send(app, push(CHUNK.encode()))

    assert (reply.status_code, handled) == (status, [CHUNK])
    line = json.loads(log.getvalue())
    assert (line["event"], line["error"], line["job_id"]) == ("event_failed", type(fault).__name__, JOB)
    assert SECRET not in reply.text + log.getvalue()


@pytest.mark.parametrize("function", EVENT_FUNCTIONS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_event_endpoint_accepts_post_only(function: str, method: str) -> None:
    reply = await send(load_function(function), (JSON, b"{}"), method)

    assert (reply.status_code, reply.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(("function", "post"), [("worker", push(CHUNK.encode())), ("sweeper", (JSON, b"{}"))])
async def test_event_functions_accept_what_their_sources_send(function: str, post: Post) -> None:
    assert (await send(load_function(function), post)).status_code == 204
