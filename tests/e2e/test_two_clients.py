"""Whatever a client does with another's job, on any route that is documented: it learns nothing, changes nothing and
gets nothing. A new route is tried without a word here."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from starlette.types import ASGIApp
from tests.harness.clock import HandClock
from tests.harness.in_process import InProcessStack, in_process_stack
from tests.harness.raw_asgi import Answer, Headers, sent

from promptforge.api.auth import create_key
from promptforge.domain.commands import ProcessChunk
from promptforge.engine.http_app import api_app
from promptforge.entrypoints.openapi import OPERATIONS, Operation
from promptforge.pipeline.split import split
from promptforge.worker.process_chunk import process_chunk

UNKNOWN = "job_" + "7" * 32
SECRET = "alices-own-words"
KEY = "alices-key"
LINE = orjson.dumps({"prompt_id": "a", "prompt": SECRET}) + b"\n"
STATES = ("completed", "failed", "cancelled", "awaiting upload", "uploaded", "cut", "worked on", "deleted")
"""In an order in which no job goes on while another is brought to its end."""
SHOWN = {
    "completed": "COMPLETED",
    "failed": "FAILED",
    "cancelled": "CANCELLED",
    "awaiting upload": "AWAITING_UPLOAD",
    "uploaded": "AWAITING_UPLOAD",
    "cut": "PROCESSING",
    "worked on": "PROCESSING",
    "deleted": None,
}
"""The status that the owner is shown, None where there is no job any more."""
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
OWN = {"job_id", "upload_url", "expires_at"}  # what differs between the tickets of any two orders

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
"""Ways to write an id in a path."""


@dataclass
class Street:
    """Alice has jobs in every state; Bob has a key, and one job of his own."""

    one: InProcessStack
    api: ASGIApp
    portal: BlockingPortal
    bob: str
    jobs: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, target: str, headers: Headers = (), body: bytes = b"") -> Answer:
        """A request of Bob's."""
        return self.portal.call(sent, self.api, method, target, [("X-API-Key", self.bob), *headers], body)

    def belongings(self) -> Any:
        """All that is kept of Alice's, and all that is under way for it."""
        return self.portal.call(self._belongings)

    async def _belongings(self) -> Any:
        tables = ("select path, version, data from documents", "select * from objects", "select * from deliveries")
        rows = await self.one.database.read(lambda c: [row for sql in tables for row in c.execute(sql).fetchall()])
        return [row for row in rows if any(job_id in repr(row) for job_id in self.jobs.values())]


async def _alice(one: InProcessStack) -> dict[str, str]:
    jobs = {}
    for state in STATES:
        order = {"provider": "echo", "model": "m", "metadata": {"note": SECRET}}
        headers = {**one.headers, "Idempotency-Key": f"{KEY}-{state.replace(' ', '-')}"}
        ticket = (await one.http.post("/v1/jobs/init", json=order, headers=headers)).json()
        job_id = jobs[state] = ticket["job_id"]
        if state != "awaiting upload":
            await one.put(ticket["upload_url"], b"nope\n" if state == "failed" else LINE)
        if state in ("cut", "worked on"):
            await split(one.app, job_id)
        if state == "worked on":
            await one.app.chunks.claim(job_id, 0, "a worker", 60)
            await process_chunk(one.runtime, ProcessChunk(job_id=job_id, chunk=0))
        if state == "cancelled":
            await one.cancel(job_id)
        if state in ("completed", "failed", "cancelled"):
            await one.until_ended(job_id)
        if state == "deleted":
            await one.delete(job_id)
    return jobs


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    limits: dict[str, Any] = {"max_active_jobs": 100_000, "requests_per_second": 100_000}
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(
            in_process_stack(tmp_path_factory.mktemp("street"), HandClock(), chunk_lines=1, **limits)
        ) as one,
    ):
        bob = portal.call(create_key, one.app, "bob")
        street = Street(one, api_app(one.app, lambda: None), portal, bob)
        street.jobs = portal.call(_alice, one)
        yield street


def headers_of(job_id: str, idempotency_key: str) -> list[Headers]:
    """Headers that some server somewhere listens to."""
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
    """Nothing, a good order, or one that names another's job."""
    order: dict[str, Any] = {"provider": "echo", "model": "m", "metadata": {"note": SECRET}}
    return (b"", orjson.dumps(order), orjson.dumps({**order, "job_id": job_id}), orjson.dumps({"job_id": job_id}))[kind]


def told(answer: Answer) -> Any:
    """All that an answer says, but for what is the asker's own."""
    headers = {name: value for name, value in answer.headers if name != b"content-length"}
    body: Any = answer.body
    if answer.status == 202:
        ticket = orjson.loads(body)
        assert ticket.keys() == OWN
        body = None
    return answer.status, headers, body


@given(
    operation=st.sampled_from(OPERATIONS),
    method=st.one_of(st.none(), st.sampled_from(METHODS)),
    state=st.sampled_from(STATES),
    spelling=st.sampled_from([*SPELLINGS]),
    query=st.booleans(),
    extra=st.integers(0, len(headers_of("", "")) - 1),
    kind=st.integers(0, 3),
)
@settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@example(OPERATIONS[0], None, "completed", "as it is", False, 1, 1)
def test_nobody_learns_of_changes_or_gets_what_is_anothers(
    street: Street,
    operation: Operation,
    method: str | None,
    state: str,
    spelling: str,
    query: bool,
    extra: int,
    kind: int,
) -> None:
    def ask(job_id: str, idempotency_key: str) -> Answer:
        target = operation.path.replace("{job_id}", SPELLINGS[spelling](job_id))
        target += f"?job_id={job_id}&X-API-Key=x" if query else ""
        headers = headers_of(job_id, idempotency_key)[extra]
        return street.ask(method or operation.method.upper(), target, headers, body_of(job_id, kind))

    before = street.belongings()
    foreign = ask(street.jobs[state], f"{KEY}-{state.replace(' ', '-')}")
    unknown = ask(UNKNOWN, f"nobodys-key-{len(before)}-{kind}")

    assert told(foreign) == told(unknown)
    said = foreign.body + repr(foreign.headers).encode()
    assert not [job_id for job_id in street.jobs.values() if job_id.encode() in said]
    assert SECRET.encode() not in said
    assert street.belongings() == before


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.of_job], ids=lambda each: each.name)
@pytest.mark.parametrize("state", STATES)
def test_every_call_about_anothers_job_is_answered_as_for_one_that_never_was(
    street: Street, operation: Operation, state: str
) -> None:
    before = street.belongings()
    foreign, unknown = [
        street.ask(operation.method.upper(), operation.path.format(job_id=job_id))
        for job_id in (street.jobs[state], UNKNOWN)
    ]

    assert (foreign.status, orjson.loads(foreign.body)["code"]) == (404, "job_not_found")
    assert foreign == unknown
    assert street.belongings() == before


@pytest.mark.parametrize("state", STATES)
def test_the_owner_still_has_what_the_others_asked_for(street: Street, state: str) -> None:
    """Else the tests above would look at nothing."""
    job_id = street.jobs[state]
    headers = [("X-API-Key", street.one.key)]
    status, results = [
        street.portal.call(sent, street.api, "GET", f"/v1/jobs/{job_id}/{verb}", headers)
        for verb in ("status", "results")
    ]

    said = orjson.loads(status.body)
    shown = (200, job_id, SHOWN[state]) if SHOWN[state] else (404, None, 404)
    assert (status.status, said.get("job_id"), said["status"]) == shown
    assert results.status == {"completed": 200, "failed": 200, "deleted": 404}.get(state, 409)
    assert f"jobs/{job_id}" in {row[0] for row in street.belongings()}


@pytest.mark.parametrize("bucket", ["uploads", "work", "results"])
@pytest.mark.parametrize("name", ["input.jsonl", "results_part_000.jsonl", "errors.jsonl", "manifest.json"])
@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD"])
def test_a_url_that_was_signed_for_one_opens_nothing_of_anothers(
    street: Street, bucket: str, name: str, method: str
) -> None:
    ticket = orjson.loads(street.ask("POST", "/v1/jobs/init", (), body_of("", 1)).body)
    own = ticket["upload_url"].removeprefix("http://machine")
    before = street.belongings()
    for state in ("completed", "awaiting upload"):
        foreign, unknown = [
            street.ask(method, own.replace(f"/uploads/{ticket['job_id']}/input.jsonl", f"/{bucket}/{job_id}/{name}"))
            for job_id in (street.jobs[state], UNKNOWN)
        ]
        assert foreign.status == 403
        assert foreign == unknown
    assert street.belongings() == before


async def _open(one: InProcessStack, api_key: str, idempotency_key: str) -> httpx.Response:
    headers = {"X-API-Key": api_key, "Idempotency-Key": idempotency_key}
    return await one.http.post("/v1/jobs/init", json={"provider": "echo", "model": "m"}, headers=headers)


async def test_clients_whose_names_and_idempotency_keys_read_alike_have_jobs_of_their_own(tmp_path: Path) -> None:
    pairs = [("acme", "prod:nightly-1"), ("acme:prod", "nightly-1"), ("acme%3Aprod", "nightly-1"), ("acme:", "x")]
    pairs += [("acme", ":x"), ("acme%3A", "x"), ("acme", "prod%3Anightly-1")]
    async with in_process_stack(tmp_path) as one:
        jobs = set()
        for client, idempotency_key in pairs:
            api_key = await one.app.api_keys.create(client)
            first, again = [(await _open(one, api_key, idempotency_key)).json()["job_id"] for _ in range(2)]
            jobs.add(first)
            assert first == again
            assert (await one.job(first)).client == client
        assert len(jobs) == len(pairs)


async def test_a_job_of_anothers_that_stands_under_ones_own_id_is_as_good_as_deleted(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        deleted, foreign = [(await _open(one, one.key, name)).json()["job_id"] for name in ("a", "b")]
        await one.delete(deleted)
        await one.app.jobs.update(foreign, lambda job: job.model_copy(update={"client": "alice"}))
        refused, as_deleted = await _open(one, one.key, "b"), await _open(one, one.key, "a")

        assert as_deleted.json()["code"] == "job_deleted"
        assert (refused.status_code, refused.content) == (409, as_deleted.content)
