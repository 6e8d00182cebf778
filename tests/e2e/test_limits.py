"""How much a client may have going at once, and how fast a key may ask."""

import asyncio
from pathlib import Path

import httpx
from tests.harness.clock import HandClock
from tests.harness.in_process import InProcessStack, in_process_stack, prompts

from promptforge.domain.job import Status
from promptforge.domain.limits.token_bucket import TokenBuckets

ORDER = {"provider": "echo", "model": "m"}


async def opened(one: InProcessStack, key: str | None = None, **headers: str) -> httpx.Response:
    sent = {"X-API-Key": key or one.key, **headers}
    return await one.http.post("/v1/jobs/init", json=ORDER, headers=sent)


async def test_a_client_has_only_so_many_open_jobs_whatever_its_keys(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path, max_active_jobs=3) as one:
        second, stranger = await one.app.api_keys.create("tests"), await one.app.api_keys.create("stranger")
        tickets = [(await opened(one, key)).json() for key in (one.key, second, one.key)]
        refused = [await opened(one, key) for key in (one.key, second)]
        theirs = await opened(one, stranger)
        await one.put(tickets[0]["upload_url"], prompts(1))
        await one.until_ended(tickets[0]["job_id"])
        after_one_ended = [(await opened(one)).status_code for _ in range(2)]
        await one.cancel(tickets[1]["job_id"])
        await one.delete(tickets[2]["job_id"])
        after_two_more = [(await opened(one)).status_code for _ in range(3)]

    for reply in refused:
        assert (reply.status_code, reply.json()["code"]) == (429, "too_many_jobs")
        assert int(reply.headers["retry-after"]) >= 1
        assert "3 jobs" in reply.json()["detail"]
    assert theirs.status_code == 202
    assert after_one_ended == [202, 429]
    assert after_two_more == [202, 202, 429]


async def test_to_repeat_an_order_is_not_to_have_one_more(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path, max_active_jobs=1) as one:
        first = await opened(one, **{"Idempotency-Key": "k-1"})
        again = await opened(one, **{"Idempotency-Key": "k-1"})
        other = await opened(one, **{"Idempotency-Key": "k-2"})

    assert (again.status_code, again.json()) == (202, first.json())
    assert (other.status_code, other.json()["code"]) == (429, "too_many_jobs")


async def test_one_order_sent_many_times_at_once_is_one_job_for_all(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path, max_active_jobs=1) as one:
        replies = await asyncio.gather(*[opened(one, **{"Idempotency-Key": "k"}) for _ in range(20)])

    assert {reply.status_code for reply in replies} == {202}
    assert len({reply.json()["job_id"] for reply in replies}) == 1


async def test_a_key_that_asks_too_fast_is_told_to_wait_and_no_other_is(tmp_path: Path) -> None:
    clock = HandClock()
    async with in_process_stack(tmp_path) as one:
        one.app.request_limits = TokenBuckets(0.4, clock.now)
        other = {"X-API-Key": await one.app.api_keys.create("tests")}
        path = f"/v1/jobs/{'job_' + '0' * 32}/status"
        replies = [await one.http.get(path, headers=one.headers) for _ in range(6)]
        wrong = [await one.http.get(path, headers={"X-API-Key": "not a key"}) for _ in range(6)]
        health = [await one.http.get("/healthz", headers=one.headers) for _ in range(6)]
        others = await one.http.get(path, headers=other)
        clock.move(2.5)
        later = await one.http.get(path, headers=one.headers)

    assert [reply.status_code for reply in replies] == [404] * 4 + [429] * 2
    assert replies[-1].json()["code"] == "rate_limited"
    assert replies[-1].headers["retry-after"] == "3"
    assert [reply.status_code for reply in wrong] == [401] * 4 + [429] * 2
    assert {reply.status_code for reply in health} == {200}
    assert (others.status_code, later.status_code) == (404, 404)


async def test_a_burst_of_orders_is_served_and_all_jobs_end(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        replies = await asyncio.gather(*[opened(one) for _ in range(50)])
        await one.put(replies[0].json()["upload_url"], prompts(1))
        ended = await one.until_ended(replies[0].json()["job_id"])

    assert {reply.status_code for reply in replies} == {202}
    assert ended.status is Status.COMPLETED
