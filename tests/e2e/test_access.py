"""Access to the API: keys, jobs of other clients, idempotency keys, and errors."""

import hashlib
from pathlib import Path

import pytest

from promptforge.entrypoints.routes import ROUTES, Route
from tests.harness.clock import ManualClock
from tests.harness.in_process import in_process_stack
from tests.harness.lines import prompts

PRIVATE = [route for route in ROUTES if not route.public]


@pytest.mark.parametrize("route", PRIVATE, ids=lambda route: route.name)
async def test_api_invalid_keys_all_return_the_same_401(tmp_path: Path, route: Route) -> None:
    async with in_process_stack(tmp_path) as one:
        mistyped = one.key[:-1] + ("0" if one.key[-1] != "0" else "1")
        invalid = (b"", b"nope", mistyped.encode(), b"pf_" + b"0" * 38, b"x" * 100_000, "ключ".encode())
        valid = one.key.encode()
        headers: list[list[tuple[bytes, bytes]]] = [
            [],
            *[[(b"X-API-Key", key)] for key in invalid],
            [(b"X-API-Key", valid), (b"X-API-Key", valid)],
            [(b"Authorization", b"Bearer " + valid)],
        ]
        path = route.path.format(job_id="x")
        replies = [await one.http.request(route.method, path, headers=sent) for sent in headers]
        in_query = await one.http.request(route.method, path, params={"X-API-Key": one.key})

    assert {reply.status_code for reply in [*replies, in_query]} == {401}
    assert len({reply.content for reply in [*replies, in_query]}) == 1
    assert replies[0].headers["content-type"] == "application/problem+json"
    assert replies[0].json()["code"] == "invalid_api_key"


async def test_api_job_of_other_client_returns_same_404_as_unknown_job(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await one.run(prompts(2))
        other_client = {"X-API-Key": await one.context.api_keys.create("other")}
        unknown = (
            "00000000-0000-4000-8000-000000000000",
            "00000000-0000-4000-8000-00000000000A",
            "x" * 5000,
            job_id + "%20",
            job_id.upper(),
        )

        for verb in ("status", "results"):
            assert (await one.http.get(f"/v1/jobs/{job_id}/{verb}", headers=one.headers)).status_code == 200
            foreign = await one.http.get(f"/v1/jobs/{job_id}/{verb}", headers=other_client)
            assert (foreign.status_code, foreign.json()["code"]) == (404, "job_not_found")
            for name in unknown:
                reply = await one.http.get(f"/v1/jobs/{name}/{verb}", headers=one.headers)
                assert (reply.status_code, reply.content) == (404, foreign.content)


async def test_api_revoked_key_is_rejected_at_next_request(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        second = await one.context.api_keys.create("tests")
        job_id = (await one.init())["job_id"]
        first_id = (await one.context.api_keys.list_for("tests"))[0].key_id

        assert await one.context.api_keys.revoke("tests", "no such id") == 0
        assert await one.context.api_keys.revoke("tests", first_id) == 1
        path = f"/v1/jobs/{job_id}/status"
        codes = [(await one.http.get(path, headers={"X-API-Key": key})).status_code for key in (one.key, second)]
        assert sorted(codes) == [200, 401]
        assert await one.context.api_keys.revoke("tests", None) == 1
        assert (await one.http.get(path, headers={"X-API-Key": second})).status_code == 401
        assert not await one.context.api_keys.admit("tests", second)


async def test_api_keys_are_not_stored_in_clear(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        stored = await one.database.read(lambda c: c.execute("select data from documents").fetchall())

    assert stored
    assert all(one.key not in row[0] and one.key[3:20] not in row[0] for row in stored)


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        (b"", 400, "malformed_json", ""),
        (b"{", 400, "malformed_json", ""),
        (b"[]", 400, "malformed_json", ""),
        (b"[" * 5000, 400, "malformed_json", ""),
        (b'{"provider": "echo"}', 422, "invalid_field", "model"),
        (b'{"provider": "echo", "model": ""}', 422, "invalid_field", "model"),
        (b'{"provider": "echo", "model": 5}', 422, "invalid_field", "model"),
        (b'{"provider": "echo", "model": "m", "max_retries": 11}', 422, "invalid_field", "max_retries"),
        (b'{"provider": "echo", "model": "m", "max_retries": -1}', 422, "invalid_field", "max_retries"),
        (b'{"provider": "echo", "model": "m", "max_retries": "3"}', 422, "invalid_field", "max_retries"),
        (b'{"provider": "echo", "model": "m", "speed": 1}', 422, "invalid_field", "speed"),
        (b'{"provider": "nobody", "model": "m"}', 422, "unsupported_provider", "echo"),
        (b'{"provider": "openai", "model": "m"}', 422, "provider_not_configured", "OPENAI_API_KEY"),
        (b'{"provider": "echo", "model": "' + b"m" * 20_000 + b'"}', 413, "body_too_large", "16384"),
    ],
)
async def test_init_invalid_body_error_names_the_field(
    tmp_path: Path, body: bytes, status: int, code: str, field: str
) -> None:
    async with in_process_stack(tmp_path) as one:
        reply = await one.http.post("/v1/jobs/init", content=body, headers=one.headers)

    assert (reply.status_code, reply.json()["code"], reply.json()["status"]) == (status, code, status)
    assert field in reply.json()["detail"]
    assert reply.headers["content-type"] == "application/problem+json"


async def test_api_wrong_method_and_path_return_problem_details_and_health_is_public(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        wrong = await one.http.get("/v1/jobs/init", headers=one.headers)
        unknown = await one.http.get("/v1/nothing", headers=one.headers)
        health = await one.http.get("/healthz")

    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    assert (health.status_code, health.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize("sent", [[""], ["x" * 256], ["a b"], ["a", "b"], ["a", "a"], ["\xe9"], ["a\tb"], ["\x7f"]])
async def test_init_idempotency_key_must_be_one_visible_ascii_word(tmp_path: Path, sent: list[str]) -> None:
    async with in_process_stack(tmp_path) as one:
        body = {"provider": "echo", "model": "m"}
        headers = [(b"Idempotency-Key", key.encode("latin-1")) for key in sent]
        reply = await one.http.post("/v1/jobs/init", json=body, headers=[(b"X-API-Key", one.key.encode()), *headers])
        good = {**one.headers, "Idempotency-Key": "!~" + "x" * 253}
        longest = await one.http.post("/v1/jobs/init", json=body, headers=good)

    assert (reply.status_code, reply.json()["code"]) == (400, "invalid_idempotency_key")
    assert longest.status_code == 202


async def test_init_integer_field_accepts_any_integral_json_number(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        for written, status in ((b"3.0", 202), (b"3e0", 202), (b"3.5", 422), (b"true", 422)):
            body = b'{"provider": "echo", "model": "m", "max_retries": %s}' % written
            reply = await one.http.post("/v1/jobs/init", content=body, headers=one.headers)
            assert reply.status_code == status, reply.text


async def test_init_same_idempotency_key_returns_same_job(tmp_path: Path) -> None:
    body = {"provider": "echo", "model": "m"}
    async with in_process_stack(tmp_path) as one:
        other_client = {"X-API-Key": await one.context.api_keys.create("other"), "Idempotency-Key": "k-1"}
        own = {**one.headers, "Idempotency-Key": "k-1"}
        first = (await one.http.post("/v1/jobs/init", json=body, headers=own)).json()
        again = (await one.http.post("/v1/jobs/init", json=body, headers=own)).json()
        other = await one.http.post("/v1/jobs/init", json={**body, "model": "n"}, headers=own)
        foreign = (await one.http.post("/v1/jobs/init", json=body, headers=other_client)).json()
        await one.put(again["upload_url"], prompts(1))
        await one.wait_until_finished(first["job_id"])
        late = (await one.http.post("/v1/jobs/init", json=body, headers=own)).json()
        second_put = await one.put(late["upload_url"], prompts(1))

    assert first == again == late
    assert second_put.status_code == 403
    assert foreign["job_id"] != first["job_id"]
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


FORMER_DUMP = (
    b'{"system":"Be brief.","max_tokens":null,"temperature":null,"top_p":null,"stop":null,"seed":null,'
    b'"response_format":null,"metadata":null,"extra":null,"provider":"echo","model":"echo-1","max_retries":3}'
)
"""The dump of a request body, for its digest, before further fields were added."""


async def test_init_same_idempotency_key_after_upgrade_returns_same_job(tmp_path: Path) -> None:
    body = {"provider": "echo", "model": "echo-1", "system": "Be brief."}
    async with in_process_stack(tmp_path, prices={"echo/*": (1, 2)}) as one:
        headers = {**one.headers, "Idempotency-Key": "k-1"}
        first = (await one.http.post("/v1/jobs/init", json=body, headers=headers)).json()
        digest = (await one.job(first["job_id"])).request_digest
        again = await one.http.post("/v1/jobs/init", json={**body, "max_cost_usd": None}, headers=headers)
        other = await one.http.post("/v1/jobs/init", json={**body, "max_cost_usd": 5}, headers=headers)

    assert digest == hashlib.sha256(FORMER_DUMP).hexdigest()
    assert again.json() == first
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_job_after_retention_returns_404(tmp_path: Path) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock, retention_days=2, job_seconds=3600) as one:
        job_id = await one.run(prompts(3))
        chunks = {chunk.expire_at async for chunk in one.context.chunks.list_all(job_id)}
        expire_at = (await one.job(job_id)).expire_at
        clock.advance(2 * 24 * 3600 + 3590)
        before = await one.status(job_id)
        clock.advance(20)
        after = [await one.http.get(f"/v1/jobs/{job_id}/{what}", headers=one.headers) for what in ("status", "results")]

    assert chunks == {expire_at}
    assert before["status"] == "COMPLETED"
    assert [reply.status_code for reply in after] == [404, 404]
