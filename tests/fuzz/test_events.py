"""Malformed events: each is decoded to a valid command or ignored.

Each request is acknowledged, and none changes a document.
"""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from promptforge import logs
from promptforge.domain.commands import TASK_EVENT_TYPE, Command, JobCommand, ProcessChunk, SweepJobs
from promptforge.domain.job_id import is_job_id
from promptforge.engine.load_functions import EVENT_FUNCTIONS, load_function
from promptforge.entrypoints import events
from promptforge.entrypoints.requests import MAX_EVENT_BYTES, Endpoint
from tests.fuzz.effort import examples
from tests.fuzz.events import UNKNOWN_JOB, binary, bodies, headers, kinds, odd_kinds, payloads, pushes
from tests.harness.clock import ManualClock
from tests.harness.in_process import URL, InProcessStack, in_process_stack
from tests.harness.lines import prompts

DECODERS = [
    events.decode_upload,
    events.decode_command(JobCommand),
    events.decode_command(ProcessChunk),
    events.decode_command(SweepJobs),
]
DEEP = b'{"job_id":' + b"[" * 50_000
KNOWN = {"event_ignored", "chunk_unknown"}
functions = st.sampled_from(EVENT_FUNCTIONS)


@dataclass
class EventHarness:
    """A stack with a finished job and one that awaits its upload, and the log of its functions."""

    runner: asyncio.Runner
    stack: InProcessStack
    log: io.StringIO

    def post(self, function: str, headers: dict[str, str], body: bytes) -> httpx.Response:
        """Send a request to a function by ASGI; an unhandled exception is raised here."""
        return self.post_to(load_function(function), headers, body)

    def post_to(self, app: ASGIApp, headers: dict[str, str], body: bytes) -> httpx.Response:
        """Send a request to an app by ASGI."""
        return self.runner.run(self._post(app, headers, body))

    async def _post(self, app: ASGIApp, headers: dict[str, str], body: bytes) -> httpx.Response:
        transport = httpx.ASGITransport(app)
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
            return await client.post("/", content=body, headers=raw)

    def documents(self) -> list[tuple[str, str]]:
        """Return every document of the stack."""
        return self.runner.run(self._documents())

    async def _documents(self) -> list[tuple[str, str]]:
        sql = "select path, data from documents order by path"
        return await self.stack.database.read(lambda connection: connection.execute(sql).fetchall())

    def logged(self) -> list[dict[str, object]]:
        """Return the log lines since the last call; each line must be a JSON object."""
        lines = [json.loads(line) for line in self.log.getvalue().splitlines()]
        self.log.seek(0)
        self.log.truncate()
        return lines


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventHarness]:
    loggers = [logging.getLogger("promptforge"), logging.getLogger()]
    before = [(logger, logger.handlers, logger.level, logger.propagate) for logger in loggers]
    log = io.StringIO()
    logs.configure("WARNING", log)
    with asyncio.Runner() as runner:
        context = in_process_stack(tmp_path_factory.mktemp("events"), ManualClock())
        stack = runner.run(context.__aenter__())
        runner.run(stack.run(prompts(2)))
        runner.run(stack.init())
        yield EventHarness(runner, stack, log)
        runner.run(context.__aexit__(None, None, None))
    for logger, handlers, level, propagate in before:
        logger.handlers, logger.level, logger.propagate = handlers, level, propagate


@examples(1000)
@given(odd_kinds.map(binary) | st.just({}), payloads | st.text(max_size=40))
@example(binary(TASK_EVENT_TYPE), {"job_id": UNKNOWN_JOB, "chunk": 0})
@example(binary(events.STORAGE_EVENT_TYPE), {"name": f"{UNKNOWN_JOB}/input.jsonl"})
@example({}, {"job_id": UNKNOWN_JOB, "chunk": 0})
def test_event_endpoint_any_event_is_decoded_or_ignored(
    harness: EventHarness, headers: dict[str, str], data: object
) -> None:
    for decode in DECODERS:
        handled: list[Command] = []

        async def handler(command: Command, handled: list[Command] = handled) -> None:
            handled.append(command)

        function = events.event_endpoint(decode)(handler)

        async def app(scope: Scope, receive: Receive, send: Send, function: Endpoint = function) -> None:
            await (await function(Request(scope, receive)))(scope, receive, send)

        response = harness.post_to(app, headers, json.dumps(data).encode())

        assert (response.status_code, response.content) == (204, b"")
        assert [line["event"] for line in harness.logged()] == ([] if handled else ["event_ignored"])
        for command in handled:
            assert command.job_id == UNKNOWN_JOB or (isinstance(command, SweepJobs) and command.job_id is None)
            assert command.job_id is None or is_job_id(command.job_id)
            assert not isinstance(command, ProcessChunk) or command.chunk >= 0


@examples(400)
@given(functions, kinds.map(binary) | st.just({}), payloads)
def test_event_functions_any_json_is_acknowledged(
    harness: EventHarness, function: str, headers: dict[str, str], data: object
) -> None:
    before = harness.documents()

    response = harness.post(function, headers, json.dumps(data).encode())

    assert response.status_code == 204
    assert harness.documents() == before
    assert {line["event"] for line in harness.logged()} <= KNOWN


@examples(400)
@given(functions, pushes)
def test_event_functions_any_push_is_acknowledged(harness: EventHarness, function: str, push: object) -> None:
    before = harness.documents()

    response = harness.post(function, {"content-type": "application/json"}, json.dumps(push).encode())

    assert response.status_code == 204
    assert harness.documents() == before
    assert {line["event"] for line in harness.logged()} <= KNOWN


@examples(600)
@given(functions, headers, bodies)
@example("worker", {"content-type": "application/cloudevents+json"}, b'{"specversion": []}')
@example("worker", binary(TASK_EVENT_TYPE), DEEP)
@example("worker", {}, DEEP)
@example("worker", {}, b'{"job_id": "' + b"x" * MAX_EVENT_BYTES + b'"}')
@example("worker", {"content-type": "application/cloudevents+json"}, DEEP)
@example("splitter", binary(events.STORAGE_EVENT_TYPE), b"9" * 5000)
def test_event_functions_any_request_is_acknowledged(
    harness: EventHarness, function: str, headers: dict[str, str], body: bytes
) -> None:
    before = harness.documents()

    response = harness.post(function, headers, body)

    assert response.status_code == 204
    assert harness.documents() == before
    assert {line["event"] for line in harness.logged()} <= KNOWN


@pytest.mark.parametrize("kind", ["\ud800", "a\nb", "é", {"\ud800": 1}, [None], "x" * 10_000])
def test_event_functions_unusual_type_logs_one_line(harness: EventHarness, kind: object) -> None:
    event = {"specversion": "1.0", "id": "7", "source": "//test", "type": kind, "data": {}}

    response = harness.post("worker", {"content-type": "application/cloudevents+json"}, json.dumps(event).encode())

    assert response.status_code == 204
    assert [line["event"] for line in harness.logged()] == ["event_ignored"]
