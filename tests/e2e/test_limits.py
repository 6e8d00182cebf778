"""The limit on active jobs of a client, and the request rate limit of a key."""

import asyncio
from pathlib import Path

import httpx

from promptforge.domain.job import Status
from promptforge.domain.limits.token_bucket import TokenBuckets
from tests.harness.clock import ManualClock
from tests.harness.in_process import InProcessStack, in_process_stack
from tests.harness.lines import prompts

REQUEST = {"provider": "echo", "model": "m"}


async def post_init(one: InProcessStack, key: str | None = None, **headers: str) -> httpx.Response:
    sent = {"X-API-Key": key or one.key, **headers}
    return await one.http.post("/v1/jobs/init", json=REQUEST, headers=sent)


async def test_active_jobs_limit_counts_the_jobs_of_all_keys_of_a_client(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path, max_active_jobs=3) as one:
        second, other_client = await one.context.api_keys.create("tests"), await one.context.api_keys.create("other")
        created = [(await post_init(one, key)).json() for key in (one.key, second, one.key)]
        refused = [await post_init(one, key) for key in (one.key, second)]
        theirs = await post_init(one, other_client)
        await one.put(created[0]["upload_url"], prompts(1))
        await one.wait_until_finished(created[0]["job_id"])
        after_one_finished = [(await post_init(one)).status_code for _ in range(2)]
        await one.cancel(created[1]["job_id"])
        await one.delete(created[2]["job_id"])
        after_two_more = [(await post_init(one)).status_code for _ in range(3)]

    for reply in refused:
        assert (reply.status_code, reply.json()["code"]) == (429, "too_many_jobs")
        assert int(reply.headers["retry-after"]) >= 1
        assert "3 active jobs" in reply.json()["detail"]
    assert theirs.status_code == 202
    assert after_one_finished == [202, 429]
    assert after_two_more == [202, 202, 429]


async def test_active_jobs_limit_does_not_count_a_repeated_request(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path, max_active_jobs=1) as one:
        first = await post_init(one, **{"Idempotency-Key": "k-1"})
        again = await post_init(one, **{"Idempotency-Key": "k-1"})
        other = await post_init(one, **{"Idempotency-Key": "k-2"})

    assert (again.status_code, again.json()) == (202, first.json())
    assert (other.status_code, other.json()["code"]) == (429, "too_many_jobs")


async def test_active_jobs_limit_accepts_one_request_sent_twenty_times_at_once(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path, max_active_jobs=1) as one:
        replies = await asyncio.gather(*[post_init(one, **{"Idempotency-Key": "k"}) for _ in range(20)])

    assert {reply.status_code for reply in replies} == {202}
    assert len({reply.json()["job_id"] for reply in replies}) == 1


async def test_request_rate_limit_applies_to_each_key_separately(tmp_path: Path) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path) as one:
        one.context.request_limits = TokenBuckets(0.4, clock.now)
        other = {"X-API-Key": await one.context.api_keys.create("tests")}
        path = "/v1/jobs/00000000-0000-4000-8000-000000000000/status"
        replies = [await one.http.get(path, headers=one.headers) for _ in range(6)]
        wrong = [await one.http.get(path, headers={"X-API-Key": "not a key"}) for _ in range(6)]
        health = [await one.http.get("/healthz", headers=one.headers) for _ in range(6)]
        others = await one.http.get(path, headers=other)
        clock.advance(2.5)
        later = await one.http.get(path, headers=one.headers)

    assert [reply.status_code for reply in replies] == [404] * 4 + [429] * 2
    assert replies[-1].json()["code"] == "rate_limited"
    assert replies[-1].headers["retry-after"] == "3"
    assert [reply.status_code for reply in wrong] == [401] * 4 + [429] * 2
    assert {reply.status_code for reply in health} == {200}
    assert (others.status_code, later.status_code) == (404, 404)


async def test_create_burst_of_fifty_requests_is_served(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        replies = await asyncio.gather(*[post_init(one) for _ in range(50)])
        await one.put(replies[0].json()["upload_url"], prompts(1))
        ended = await one.wait_until_finished(replies[0].json()["job_id"])

    assert {reply.status_code for reply in replies} == {202}
    assert ended.status is Status.COMPLETED
