"""Requests of one client for the jobs of another, on every documented route.

The answers reveal nothing, and nothing changes. A new route is tested without a change here.
"""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import orjson
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from starlette.types import ASGIApp

from promptforge.bootstrap import set_current
from promptforge.domain.commands import ProcessChunk
from promptforge.engine.http_app import api_app
from promptforge.entrypoints.routes import ROUTES, Route
from promptforge.pipeline.split import split
from promptforge.worker.process_chunk import process_chunk
from tests.harness.clock import ManualClock
from tests.harness.in_process import InProcessStack, in_process_stack
from tests.harness.raw_asgi import AsgiResponse, Headers, send_request

T = TypeVar("T")

UNKNOWN = "77777777-7777-4777-8777-777777777777"
SECRET = "alices-own-words"
KEY = "alices-key"
LINE = orjson.dumps({"prompt_id": "a", "prompt": SECRET}) + b"\n"
STATES = ("completed", "failed", "cancelled", "awaiting upload", "uploaded", "split", "claimed", "deleted")
"""In an order in which no job continues while another is run to its end."""
SHOWN = {
    "completed": "COMPLETED",
    "failed": "FAILED",
    "cancelled": "CANCELLED",
    "awaiting upload": "AWAITING_UPLOAD",
    "uploaded": "AWAITING_UPLOAD",
    "split": "PROCESSING",
    "claimed": "PROCESSING",
    "deleted": None,
}
"""The status that the owner sees; None for a deleted job."""
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
OWN = {"job_id", "upload_url", "expires_at"}  # the fields that differ between any two created jobs

SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": "{}".format,
    "in capitals": str.upper,
    "encoded": lambda job_id: "".join(f"%{ord(letter):02X}" for letter in job_id),
    "encoded twice": lambda job_id: "".join(f"%25{ord(letter):02X}" for letter in job_id),
    "with a space": "{}%20".format,
    "with a zero": "{}%00".format,
    "with a line end": "{}%0A".format,
    "with a slash": "{}/".format,
    "with an encoded slash": "{}%2F".format,
    "from above": "x/../{}".format,
    "from above, encoded": "x%2F..%2F{}".format,
    "from here": "./{}".format,
    "with a verb behind it": "{}%2Fstatus".format,
    "with a parameter": "{};a=b".format,
    "below the path of all jobs": "jobs%2F{}".format,
}
"""Spellings of an id in a path."""


@dataclass
class AliceAndBob:
    """Two clients: Alice with a job in every state, and Bob with a key and jobs of his own."""

    one: InProcessStack
    api: ASGIApp
    portal: BlockingPortal
    bob: str
    jobs: dict[str, str] = field(default_factory=dict)

    def run(self, step: Awaitable[T]) -> T:
        """Run a step in the event loop of the stack."""

        async def in_stack() -> T:
            set_current(self.one.context, self.one.runtime)  # the portal runs each call in a context of its own
            return await step

        return self.portal.call(in_stack)

    def request_as_bob(self, method: str, target: str, headers: Headers = (), body: bytes = b"") -> AsgiResponse:
        """Send a request with Bob's key."""
        return self.run(send_request(self.api, method, target, [("X-API-Key", self.bob), *headers], body))

    def stored(self) -> Any:
        """Return every document, object and queue entry of Alice's jobs."""
        return self.run(self._stored())

    async def _stored(self) -> Any:
        tables = ("select path, version, data from documents", "select * from objects", "select * from deliveries")
        rows = await self.one.database.read(lambda c: [row for sql in tables for row in c.execute(sql).fetchall()])
        return [row for row in rows if any(job_id in repr(row) for job_id in self.jobs.values())]


async def _create_jobs(one: InProcessStack) -> dict[str, str]:
    """Create a job of Alice in every state."""
    jobs = {}
    for state in STATES:
        body = {"provider": "echo", "model": "m", "metadata": {"note": SECRET}}
        headers = {**one.headers, "Idempotency-Key": f"{KEY}-{state.replace(' ', '-')}"}
        created = (await one.http.post("/v1/jobs/init", json=body, headers=headers)).json()
        job_id = jobs[state] = created["job_id"]
        if state != "awaiting upload":
            await one.put(created["upload_url"], b"nope\n" if state == "failed" else LINE)
        if state in ("split", "claimed"):
            await split(one.context, job_id)
        if state == "claimed":
            await one.context.chunks.claim(job_id, 0, "a worker", 60)
            await process_chunk(one.runtime, ProcessChunk(job_id=job_id, chunk=0))
        if state == "cancelled":
            await one.cancel(job_id)
        if state in ("completed", "failed", "cancelled"):
            await one.wait_until_finished(job_id)
        if state == "deleted":
            await one.delete(job_id)
    return jobs


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AliceAndBob]:
    limits: dict[str, Any] = {"max_active_jobs": 100_000, "requests_per_second": 100_000}
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(
            in_process_stack(tmp_path_factory.mktemp("both"), ManualClock(), chunk_lines=1, **limits)
        ) as one,
    ):
        bob = portal.call(one.context.api_keys.create, "bob")
        both = AliceAndBob(one, api_app(one.context, lambda: None), portal, bob)
        both.jobs = both.run(_create_jobs(one))
        yield both


def headers_of(job_id: str, idempotency_key: str) -> list[Headers]:
    """Return headers that some servers and proxies obey."""
    return [
        (),
        (("Idempotency-Key", idempotency_key),),
        (("X-HTTP-Method-Override", "DELETE"),),
        (("X-Original-URL", f"/v1/jobs/{job_id}/status"), ("X-Rewrite-URL", f"/v1/jobs/{job_id}/status")),
        (("Host", f"machine/v1/jobs/{job_id}/status?"),),
        (("X-Forwarded-User", "tests"), ("X-Client", "tests")),
        (("If-None-Match", "*"), ("Range", "bytes=0-9")),
    ]


def body_of(job_id: str, kind: int) -> bytes:
    """Return no body, a valid request, one that also names the job, or one that only names the job."""
    body: dict[str, Any] = {"provider": "echo", "model": "m", "metadata": {"note": SECRET}}
    return (b"", orjson.dumps(body), orjson.dumps({**body, "job_id": job_id}), orjson.dumps({"job_id": job_id}))[kind]


def comparable(answer: AsgiResponse) -> Any:
    """Return the content of an answer without the fields of Bob's own new job."""
    headers = {name: value for name, value in answer.headers if name != b"content-length"}
    body: Any = answer.body
    if answer.status == 202:
        created = orjson.loads(body)
        assert created.keys() == OWN
        body = None
    return answer.status, headers, body


@given(
    route=st.sampled_from(ROUTES),
    method=st.one_of(st.none(), st.sampled_from(METHODS)),
    state=st.sampled_from(STATES),
    spelling=st.sampled_from([*SPELLINGS]),
    query=st.booleans(),
    extra=st.integers(0, len(headers_of("", "")) - 1),
    kind=st.integers(0, 3),
)
@settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@example(ROUTES[0], None, "completed", "as it is", False, 1, 1)
def test_request_for_a_foreign_job_reveals_nothing_and_changes_nothing(
    both: AliceAndBob,
    route: Route,
    method: str | None,
    state: str,
    spelling: str,
    query: bool,
    extra: int,
    kind: int,
) -> None:
    def request(job_id: str, idempotency_key: str) -> AsgiResponse:
        target = route.path.replace("{job_id}", SPELLINGS[spelling](job_id))
        target += f"?job_id={job_id}&X-API-Key=x" if query else ""
        headers = headers_of(job_id, idempotency_key)[extra]
        return both.request_as_bob(method or route.method, target, headers, body_of(job_id, kind))

    before = both.stored()
    foreign = request(both.jobs[state], f"{KEY}-{state.replace(' ', '-')}")
    unknown = request(UNKNOWN, f"nobodys-key-{len(before)}-{kind}")

    assert comparable(foreign) == comparable(unknown)
    content = foreign.body + repr(foreign.headers).encode()
    assert not [job_id for job_id in both.jobs.values() if job_id.encode() in content]
    assert SECRET.encode() not in content
    assert both.stored() == before


@pytest.mark.parametrize("route", [each for each in ROUTES if each.has_job_id], ids=lambda each: each.name)
@pytest.mark.parametrize("state", STATES)
def test_request_for_a_foreign_job_gets_the_same_404_as_for_an_unknown_job(
    both: AliceAndBob, route: Route, state: str
) -> None:
    before = both.stored()
    foreign, unknown = [
        both.request_as_bob(route.method, route.path.format(job_id=job_id)) for job_id in (both.jobs[state], UNKNOWN)
    ]

    assert (foreign.status, orjson.loads(foreign.body)["code"]) == (404, "job_not_found")
    assert foreign == unknown
    assert both.stored() == before


@pytest.mark.parametrize("state", STATES)
def test_request_of_the_owner_still_finds_the_job(both: AliceAndBob, state: str) -> None:
    """Otherwise the tests above would compare nothing."""
    job_id = both.jobs[state]
    headers = [("X-API-Key", both.one.key)]
    status, results = [
        both.run(send_request(both.api, "GET", f"/v1/jobs/{job_id}/{verb}", headers)) for verb in ("status", "results")
    ]

    body = orjson.loads(status.body)
    shown = (200, job_id, SHOWN[state]) if SHOWN[state] else (404, None, 404)
    assert (status.status, body.get("job_id"), body["status"]) == shown
    assert results.status == {"completed": 200, "failed": 200, "deleted": 404}.get(state, 409)
    assert f"jobs/{job_id}" in {row[0] for row in both.stored()}


@pytest.mark.parametrize("bucket", ["uploads", "work", "results"])
@pytest.mark.parametrize("name", ["input.jsonl", "results_part_001.jsonl", "errors.jsonl", "manifest.json"])
@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD"])
def test_signed_url_of_one_job_is_rejected_for_any_other_object(
    both: AliceAndBob, bucket: str, name: str, method: str
) -> None:
    created = orjson.loads(both.request_as_bob("POST", "/v1/jobs/init", (), body_of("", 1)).body)
    own = created["upload_url"].removeprefix("http://machine")
    own_object = f"/uploads/{created['job_id']}/input.jsonl"
    before = both.stored()
    for state in ("completed", "awaiting upload"):
        foreign, unknown = [
            both.request_as_bob(method, own.replace(own_object, f"/{bucket}/{job_id}/{name}"))
            for job_id in (both.jobs[state], UNKNOWN)
        ]
        assert foreign.status == 403
        assert foreign == unknown
    assert both.stored() == before


async def _post_init(one: InProcessStack, api_key: str, idempotency_key: str) -> httpx.Response:
    headers = {"X-API-Key": api_key, "Idempotency-Key": idempotency_key}
    return await one.http.post("/v1/jobs/init", json={"provider": "echo", "model": "m"}, headers=headers)


async def test_create_with_similar_client_names_and_keys_gives_separate_jobs(tmp_path: Path) -> None:
    pairs = [("acme", "prod:nightly-1"), ("acme:prod", "nightly-1"), ("acme%3Aprod", "nightly-1"), ("acme:", "x")]
    pairs += [("acme", ":x"), ("acme%3A", "x"), ("acme", "prod%3Anightly-1")]
    async with in_process_stack(tmp_path) as one:
        jobs = set()
        for client, idempotency_key in pairs:
            api_key = await one.context.api_keys.create(client)
            first, again = [(await _post_init(one, api_key, idempotency_key)).json()["job_id"] for _ in range(2)]
            jobs.add(first)
            assert first == again
            assert (await one.job(first)).client == client
        assert len(jobs) == len(pairs)


async def test_create_with_an_id_that_belongs_to_another_client_returns_job_deleted(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        deleted, foreign = [(await _post_init(one, one.key, name)).json()["job_id"] for name in ("a", "b")]
        await one.delete(deleted)
        await one.context.jobs.update(foreign, lambda job: job.model_copy(update={"client": "alice"}))
        refused, as_deleted = await _post_init(one, one.key, "b"), await _post_init(one, one.key, "a")

        assert as_deleted.json()["code"] == "job_deleted"
        assert (refused.status_code, refused.content) == (409, as_deleted.content)
