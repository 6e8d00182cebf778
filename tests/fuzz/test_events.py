"""Events that make no sense: decoded to a valid message or ignored, acknowledged, and without a trace in the data."""

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
from promptforge.domain.commands import TASK_EVENT_TYPE, Command, JobCommand, ProcessChunk, SweepJobs, is_job_id
from promptforge.engine.load_functions import EVENT_FUNCTIONS, load_function
from promptforge.entrypoints import events
from promptforge.entrypoints.requests import MAX_EVENT_BYTES, Endpoint
from tests.fuzz.effort import examples
from tests.fuzz.events import UNKNOWN_JOB, binary, bodies, headers, kinds, odd_kinds, payloads, pushes
from tests.support.clock import HandClock
from tests.support.machine import URL, InProcessStack, in_process_stack, prompts

DECODERS = [
    events.decode_upload,
    events.decode_command(JobCommand),
    events.decode_command(ProcessChunk),
    events.decode_command(SweepJobs),
]
TALL = b'{"job_id":' + b"[" * 50_000
KNOWN = {"event_ignored", "chunk_unknown"}
functions = st.sampled_from(EVENT_FUNCTIONS)


@dataclass
class Bench:
    """A machine that has an ended job and one that waits for its upload, and what its functions log."""

    runner: asyncio.Runner
    machine: InProcessStack
    log: io.StringIO

    def post(self, function: str, headers: dict[str, str], body: bytes) -> httpx.Response:
        """Send a function something, by ASGI; an exception that leaves it is raised here."""
        return self.post_to(load_function(function), headers, body)

    def post_to(self, app: ASGIApp, headers: dict[str, str], body: bytes) -> httpx.Response:
        """The same, of an app."""
        return self.runner.run(self._post(app, headers, body))

    async def _post(self, app: ASGIApp, headers: dict[str, str], body: bytes) -> httpx.Response:
        transport = httpx.ASGITransport(app)
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
            return await client.post("/", content=body, headers=raw)

    def documents(self) -> list[tuple[str, str]]:
        """Everything the machine knows."""
        return self.runner.run(self._documents())

    async def _documents(self) -> list[tuple[str, str]]:
        sql = "select path, data from documents order by path"
        return await self.machine.database.read(lambda connection: connection.execute(sql).fetchall())

    def logged(self) -> list[dict[str, object]]:
        """What was logged since the last look; every line must be a JSON object."""
        lines = [json.loads(line) for line in self.log.getvalue().splitlines()]
        self.log.seek(0)
        self.log.truncate()
        return lines


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    loggers = [logging.getLogger("promptforge"), logging.getLogger()]
    before = [(logger, logger.handlers, logger.level, logger.propagate) for logger in loggers]
    log = io.StringIO()
    logs.configure("WARNING", log)
    with asyncio.Runner() as runner:
        context = in_process_stack(tmp_path_factory.mktemp("events"), HandClock())
        one = runner.run(context.__aenter__())
        runner.run(one.run(prompts(2)))
        runner.run(one.init())
        yield Bench(runner, one, log)
        runner.run(context.__aexit__(None, None, None))
    for logger, handlers, level, propagate in before:
        logger.handlers, logger.level, logger.propagate = handlers, level, propagate


@examples(1000)
@given(odd_kinds.map(binary) | st.just({}), payloads | st.text(max_size=40))
@example(binary(TASK_EVENT_TYPE), {"job_id": UNKNOWN_JOB, "chunk": 0})
@example(binary(events.STORAGE_EVENT_TYPE), {"name": f"{UNKNOWN_JOB}/input.jsonl"})
@example({}, {"job_id": UNKNOWN_JOB, "chunk": 0})
def test_what_is_decoded_is_valid_and_the_rest_is_ignored(bench: Bench, headers: dict[str, str], data: object) -> None:
    for decode in DECODERS:
        handled: list[Command] = []

        async def handler(message: Command, handled: list[Command] = handled) -> None:
            handled.append(message)

        function = events.event_endpoint(decode)(handler)

        async def app(scope: Scope, receive: Receive, send: Send, function: Endpoint = function) -> None:
            await (await function(Request(scope, receive)))(scope, receive, send)

        reply = bench.post_to(app, headers, json.dumps(data).encode())

        assert (reply.status_code, reply.content) == (204, b"")
        assert [line["event"] for line in bench.logged()] == ([] if handled else ["event_ignored"])
        for message in handled:
            assert message.job_id == UNKNOWN_JOB or (isinstance(message, SweepJobs) and message.job_id is None)
            assert message.job_id is None or is_job_id(message.job_id)
            assert not isinstance(message, ProcessChunk) or message.chunk >= 0


@examples(400)
@given(functions, kinds.map(binary) | st.just({}), payloads)
def test_any_json_is_acknowledged(bench: Bench, function: str, headers: dict[str, str], data: object) -> None:
    before = bench.documents()

    reply = bench.post(function, headers, json.dumps(data).encode())

    assert reply.status_code == 204
    assert bench.documents() == before
    assert {line["event"] for line in bench.logged()} <= KNOWN


@examples(400)
@given(functions, pushes)
def test_any_push_of_pubsub_is_acknowledged(bench: Bench, function: str, push: object) -> None:
    before = bench.documents()

    reply = bench.post(function, {"content-type": "application/json"}, json.dumps(push).encode())

    assert reply.status_code == 204
    assert bench.documents() == before
    assert {line["event"] for line in bench.logged()} <= KNOWN


@examples(600)
@given(functions, headers, bodies)
@example("worker", {"content-type": "application/cloudevents+json"}, b'{"specversion": []}')
@example("worker", binary(TASK_EVENT_TYPE), TALL)
@example("worker", {}, TALL)
@example("worker", {}, b'{"job_id": "' + b"x" * MAX_EVENT_BYTES + b'"}')
@example("worker", {"content-type": "application/cloudevents+json"}, TALL)
@example("splitter", binary(events.STORAGE_EVENT_TYPE), b"9" * 5000)
def test_what_is_no_event_is_never_our_fault(bench: Bench, function: str, headers: dict[str, str], body: bytes) -> None:
    before = bench.documents()

    reply = bench.post(function, headers, body)

    assert reply.status_code == 204
    assert bench.documents() == before
    assert {line["event"] for line in bench.logged()} <= KNOWN


@pytest.mark.parametrize("kind", ["\ud800", "a\nb", "é", {"\ud800": 1}, [None], "x" * 10_000])
def test_an_event_of_an_odd_kind_costs_one_line_of_the_log(bench: Bench, kind: object) -> None:
    event = {"specversion": "1.0", "id": "7", "source": "//test", "type": kind, "data": {}}

    reply = bench.post("worker", {"content-type": "application/cloudevents+json"}, json.dumps(event).encode())

    assert reply.status_code == 204
    assert [line["event"] for line in bench.logged()] == ["event_ignored"]
