"""Who may see and do what: keys, foreign jobs, and the errors of the API."""

import hashlib
from pathlib import Path

import pytest
from tests.harness.clock import HandClock
from tests.harness.in_process import in_process_stack, prompts

from promptforge.api.auth import admit_key, list_keys, revoke_keys

CALLS = [("GET", "/v1/jobs/{}/status"), ("GET", "/v1/jobs/{}/results"), ("POST", "/v1/jobs/init")]


@pytest.mark.parametrize(("method", "path"), CALLS)
async def test_every_call_needs_a_good_key_and_all_bad_keys_get_the_same_answer(
    tmp_path: Path, method: str, path: str
) -> None:
    async with in_process_stack(tmp_path) as one:
        mistyped = one.key[:-1] + ("0" if one.key[-1] != "0" else "1")
        bad = (b"", b"nope", mistyped.encode(), b"pf_" + b"0" * 38, b"x" * 100_000, "ключ".encode())
        good = one.key.encode()
        headers: list[list[tuple[bytes, bytes]]] = [
            [],
            *[[(b"X-API-Key", key)] for key in bad],
            [(b"X-API-Key", good), (b"X-API-Key", good)],
            [(b"Authorization", b"Bearer " + good)],
        ]
        replies = [await one.http.request(method, path.format("x"), headers=sent) for sent in headers]
        in_query = await one.http.request(method, path.format("x"), params={"X-API-Key": one.key})

    assert {reply.status_code for reply in [*replies, in_query]} == {401}
    assert len({reply.content for reply in [*replies, in_query]}) == 1
    assert replies[0].headers["content-type"] == "application/problem+json"
    assert replies[0].json()["code"] == "invalid_api_key"


async def test_a_strangers_job_and_an_unknown_job_are_answered_alike(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        job_id = await one.run(prompts(2))
        stranger = {"X-API-Key": await one.app.api_keys.create("stranger")}
        unknown = (
            "00000000-0000-4000-8000-000000000000",
            "00000000-0000-4000-8000-00000000000A",
            "x" * 5000,
            job_id + "%20",
            job_id.upper(),
        )

        for verb in ("status", "results"):
            assert (await one.http.get(f"/v1/jobs/{job_id}/{verb}", headers=one.headers)).status_code == 200
            foreign = await one.http.get(f"/v1/jobs/{job_id}/{verb}", headers=stranger)
            assert (foreign.status_code, foreign.json()["code"]) == (404, "job_not_found")
            for name in unknown:
                reply = await one.http.get(f"/v1/jobs/{name}/{verb}", headers=one.headers)
                assert (reply.status_code, reply.content) == (404, foreign.content)


async def test_a_revoked_key_is_refused_from_the_next_request_on(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        second = await one.app.api_keys.create("tests")
        job_id = (await one.init())["job_id"]
        first_id = (await list_keys(one.app, "tests"))[0].key_id

        assert await revoke_keys(one.app, "tests", "no such id") == 0
        assert await revoke_keys(one.app, "tests", first_id) == 1
        path = f"/v1/jobs/{job_id}/status"
        codes = [(await one.http.get(path, headers={"X-API-Key": key})).status_code for key in (one.key, second)]
        assert sorted(codes) == [200, 401]
        assert await revoke_keys(one.app, "tests", None) == 1
        assert (await one.http.get(path, headers={"X-API-Key": second})).status_code == 401
        assert not await admit_key(one.app, "tests", second)


async def test_no_key_is_stored(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        stored = await one.database.read(lambda c: c.execute("select data from documents").fetchall())

    assert stored
    assert all(one.key not in row[0] and one.key[3:20] not in row[0] for row in stored)


@pytest.mark.parametrize(
    ("body", "status", "code", "named"),
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
async def test_a_bad_order_is_refused_naming_what_is_wrong(
    tmp_path: Path, body: bytes, status: int, code: str, named: str
) -> None:
    async with in_process_stack(tmp_path) as one:
        reply = await one.http.post("/v1/jobs/init", content=body, headers=one.headers)

    assert (reply.status_code, reply.json()["code"], reply.json()["status"]) == (status, code, status)
    assert named in reply.json()["detail"]
    assert reply.headers["content-type"] == "application/problem+json"


async def test_wrong_methods_and_paths_are_problems_too_and_health_needs_no_key(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        wrong = await one.http.get("/v1/jobs/init", headers=one.headers)
        nowhere = await one.http.get("/v1/nothing", headers=one.headers)
        health = await one.http.get("/healthz")

    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert (nowhere.status_code, nowhere.json()["code"]) == (404, "not_found")
    assert (health.status_code, health.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize("sent", [[""], ["x" * 256], ["a b"], ["a", "b"], ["a", "a"], ["\xe9"], ["a\tb"], ["\x7f"]])
async def test_an_idempotency_key_is_one_word_of_visible_ascii(tmp_path: Path, sent: list[str]) -> None:
    async with in_process_stack(tmp_path) as one:
        body = {"provider": "echo", "model": "m"}
        headers = [(b"Idempotency-Key", key.encode("latin-1")) for key in sent]
        reply = await one.http.post("/v1/jobs/init", json=body, headers=[(b"X-API-Key", one.key.encode()), *headers])
        good = {**one.headers, "Idempotency-Key": "!~" + "x" * 253}
        longest = await one.http.post("/v1/jobs/init", json=body, headers=good)

    assert (reply.status_code, reply.json()["code"]) == (400, "invalid_idempotency_key")
    assert longest.status_code == 202


async def test_a_whole_number_may_be_written_as_any_json_number(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        for written, status in ((b"3.0", 202), (b"3e0", 202), (b"3.5", 422), (b"true", 422)):
            body = b'{"provider": "echo", "model": "m", "max_retries": %s}' % written
            reply = await one.http.post("/v1/jobs/init", content=body, headers=one.headers)
            assert reply.status_code == status, reply.text


async def test_the_same_idempotency_key_gives_the_same_job(tmp_path: Path) -> None:
    order = {"provider": "echo", "model": "m"}
    async with in_process_stack(tmp_path) as one:
        stranger = {"X-API-Key": await one.app.api_keys.create("stranger"), "Idempotency-Key": "k-1"}
        mine = {**one.headers, "Idempotency-Key": "k-1"}
        first = (await one.http.post("/v1/jobs/init", json=order, headers=mine)).json()
        again = (await one.http.post("/v1/jobs/init", json=order, headers=mine)).json()
        other = await one.http.post("/v1/jobs/init", json={**order, "model": "n"}, headers=mine)
        theirs = (await one.http.post("/v1/jobs/init", json=order, headers=stranger)).json()
        await one.put(again["upload_url"], prompts(1))
        await one.until_ended(first["job_id"])
        late = (await one.http.post("/v1/jobs/init", json=order, headers=mine)).json()
        second_put = await one.put(late["upload_url"], prompts(1))

    assert first == again == late
    assert second_put.status_code == 403
    assert theirs["job_id"] != first["job_id"]
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


FORMER_DUMP = (
    b'{"system":"Be brief.","max_tokens":null,"temperature":null,"top_p":null,"stop":null,"seed":null,'
    b'"response_format":null,"metadata":null,"extra":null,"provider":"echo","model":"echo-1","max_retries":3}'
)
"""How an order was written for its digest before orders had any further field."""


async def test_an_order_may_be_repeated_after_an_upgrade_that_knows_more_fields(tmp_path: Path) -> None:
    order = {"provider": "echo", "model": "echo-1", "system": "Be brief."}
    async with in_process_stack(tmp_path, prices={"echo/*": (1, 2)}) as one:
        headers = {**one.headers, "Idempotency-Key": "k-1"}
        first = (await one.http.post("/v1/jobs/init", json=order, headers=headers)).json()
        digest = (await one.job(first["job_id"])).request_digest
        again = await one.http.post("/v1/jobs/init", json={**order, "max_cost_usd": None}, headers=headers)
        other = await one.http.post("/v1/jobs/init", json={**order, "max_cost_usd": 5}, headers=headers)

    assert digest == hashlib.sha256(FORMER_DUMP).hexdigest()
    assert again.json() == first
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_a_job_is_forgotten_when_its_time_is_over(tmp_path: Path) -> None:
    clock = HandClock()
    async with in_process_stack(tmp_path, clock, retention_days=2, job_seconds=3600) as one:
        job_id = await one.run(prompts(3))
        chunks = {chunk.expire_at async for chunk in one.app.chunks.list_all(job_id)}
        expire_at = (await one.job(job_id)).expire_at
        clock.move(2 * 24 * 3600 + 3590)
        before = await one.status(job_id)
        clock.move(20)
        after = [await one.http.get(f"/v1/jobs/{job_id}/{what}", headers=one.headers) for what in ("status", "results")]

    assert chunks == {expire_at}
    assert before["status"] == "COMPLETED"
    assert [reply.status_code for reply in after] == [404, 404]
