"""The daily spend quota of a client: reserved when a job is created, the unused part released when it ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from promptforge.pipeline.split import split
from tests.fakes.provider import FakeProvider, Script, answer_after, answer_all
from tests.fakes.provider_formats import INPUT_TOKENS, OUTPUT_TOKENS
from tests.harness.clock import ManualClock
from tests.harness.in_process import InProcessStack
from tests.harness.lines import prompts
from tests.harness.openai_stack import openai_stack

CALL_USD = (INPUT_TOKENS + 2 * OUTPUT_TOKENS) / 1000
DAY = 24 * 60 * 60


@asynccontextmanager
async def priced_stack(
    folder: Path,
    act: Script = answer_all,
    clock: ManualClock | None = None,
    calls_per_day: int | None = 10,
    max_in_flight: int = 1,
) -> AsyncIterator[tuple[InProcessStack, FakeProvider]]:
    """Yield a stack with a price for the model `m`.

    The client `tests` has a daily quota of that number of calls. Its quota has no document if the number is None.
    """
    prices = {"openai/m": (1000.0, 2000.0)}
    async with openai_stack(folder, act, clock, prices=prices, max_in_flight=max_in_flight) as (one, provider):
        if calls_per_day is not None:
            await set_daily_calls(one, calls_per_day)
        yield one, provider


async def set_daily_calls(one: InProcessStack, calls: int | None) -> None:
    await one.context.quotas.set_daily_limit("tests", None if calls is None else calls * CALL_USD)


async def post_init(one: InProcessStack, key: str = "", model: str = "m", **fields: Any) -> httpx.Response:
    headers = {"X-API-Key": key or one.key, **fields.pop("headers", {})}
    return await one.http.post("/v1/jobs/init", json={"provider": "openai", "model": model, **fields}, headers=headers)


async def run_created(one: InProcessStack, created: httpx.Response, count: int) -> dict[str, Any]:
    """Upload that number of prompts for a created job, and return the status when the job has finished."""
    assert created.status_code == 202, created.text
    await one.put(created.json()["upload_url"], prompts(count))
    await one.wait_until_finished(created.json()["job_id"])
    return await one.status(created.json()["job_id"])


async def max_cost(one: InProcessStack, created: httpx.Response) -> float | None:
    usd: float | None = (await one.status(created.json()["job_id"]))["max_cost_usd"]
    return usd


def is_refused(reply: httpx.Response) -> bool:
    """Return whether the quota is exhausted."""
    if reply.status_code == 429:
        assert reply.json()["code"] == "spend_limit"
        assert 0 < int(reply.headers["retry-after"]) <= DAY
    return reply.status_code == 429


async def test_quota_limits_the_spend_of_all_keys_of_a_client_per_day(tmp_path: Path) -> None:
    clock = ManualClock()
    async with priced_stack(tmp_path, clock=clock) as (one, provider):
        second, other_client = await one.context.api_keys.create("tests"), await one.context.api_keys.create("other")
        first = await run_created(one, await post_init(one), 4)
        rest = await run_created(one, await post_init(one, second), 50)
        exhausted = [is_refused(await post_init(one, key)) for key in (one.key, second)]
        again, theirs = await post_init(one), await post_init(one, other_client)
        clock.advance(DAY)
        tomorrow = await run_created(one, await post_init(one), 3)

        assert (first["status"], first["max_cost_usd"]) == ("COMPLETED", pytest.approx(10 * CALL_USD))
        assert (rest["error"]["code"], rest["max_cost_usd"]) == ("cost_limit", pytest.approx(6 * CALL_USD))
        assert exhausted == [True, True]
        assert again.headers["retry-after"] == str(DAY - 8 * 60 * 60)
        assert theirs.status_code == 202
        assert tomorrow["status"] == "COMPLETED"
        assert provider.call_counts.total() == 10 + 3


async def test_quota_of_many_small_jobs_is_exceeded_by_at_most_one_call_per_job(tmp_path: Path) -> None:
    async with priced_stack(tmp_path, answer_after(0.01), max_in_flight=8) as (one, provider):
        replies = [await post_init(one, max_cost_usd=0.01) for _ in range(20)]
        created = [reply for reply in replies if not is_refused(reply)]
        for reply in created:
            await one.put(reply.json()["upload_url"], prompts(50))
        for reply in created:
            await one.wait_until_finished(reply.json()["job_id"])

        assert len(created) == 19  # reservations of 0.01 of 0.19
        assert provider.call_counts.total() == len(created)
        assert is_refused(await post_init(one))


async def test_quota_reserved_by_active_jobs_is_not_reserved_again(tmp_path: Path) -> None:
    async with priced_stack(tmp_path) as (one, _):
        replies = await asyncio.gather(*[post_init(one, max_cost_usd=3 * CALL_USD) for _ in range(8)])
        created = [reply for reply in replies if not is_refused(reply)]
        reserved = [(await one.status(reply.json()["job_id"]))["max_cost_usd"] for reply in created]
        await one.cancel(created[0].json()["job_id"])
        after = await post_init(one)
        waiting = await post_init(one)

        assert is_refused(waiting)
        assert waiting.headers["retry-after"] == "30"  # an active job may end and release a part
        assert sum(reserved) == pytest.approx(10 * CALL_USD)
        assert len(created) == 4
        assert not is_refused(after)


async def test_quota_after_delete_of_finished_jobs_stays_spent(tmp_path: Path) -> None:
    async with priced_stack(tmp_path) as (one, _):
        for _ in range(2):
            status = await run_created(one, await post_init(one, max_cost_usd=5 * CALL_USD), 5)
            await one.delete(status["job_id"])
            await one.deliver_all()
        assert is_refused(await post_init(one))


async def test_quota_of_job_deleted_before_any_call_is_released(tmp_path: Path) -> None:
    async with priced_stack(tmp_path) as (one, _):
        for uploaded in (False, True):
            created = (await post_init(one)).json()
            if uploaded:
                await one.put(created["upload_url"], prompts(1))
            await one.delete(created["job_id"])
            await one.deliver_all()
        created = (await post_init(one)).json()
        await one.put(created["upload_url"], prompts(1))
        await split(one.context, created["job_id"])  # from now on calls may be in flight
        await one.delete(created["job_id"])

        assert is_refused(await post_init(one))


async def test_quota_of_job_created_before_midnight_and_stored_after_it_counts_on_the_new_day(tmp_path: Path) -> None:
    clock = ManualClock()
    async with priced_stack(tmp_path, clock=clock) as (one, _):
        assert not is_refused(await post_init(one))
        clock.advance(DAY - 8 * 60 * 60)
        assert not is_refused(await post_init(one, max_cost_usd=3 * CALL_USD))
        clock.advance(-1)
        late = await post_init(one, max_cost_usd=3 * CALL_USD)
        clock.advance(1)
        rest = await post_init(one)
        nothing_left = is_refused(await post_init(one))
        await one.cancel(late.json()["job_id"])
        released = await post_init(one)

        assert await max_cost(one, rest) == pytest.approx(4 * CALL_USD)
        assert nothing_left
        assert await max_cost(one, released) == pytest.approx(3 * CALL_USD)


async def test_quota_reserved_before_the_limit_was_removed_is_released_once(tmp_path: Path) -> None:
    async with priced_stack(tmp_path) as (one, _):
        first = await post_init(one)
        await set_daily_calls(one, None)
        unlimited = await post_init(one)
        await set_daily_calls(one, 10)
        still_reserved = is_refused(await post_init(one))
        for created in (first, unlimited):
            await one.cancel(created.json()["job_id"])
        again = await post_init(one)

        assert await max_cost(one, unlimited) is None
        assert still_reserved
        assert await max_cost(one, again) == pytest.approx(10 * CALL_USD)
        assert is_refused(await post_init(one))


async def test_quota_set_while_jobs_are_created_is_set_and_refuses_none(tmp_path: Path) -> None:
    async with priced_stack(tmp_path, calls_per_day=None) as (one, _):
        requests = [post_init(one, max_cost_usd=CALL_USD) for _ in range(9)]
        limits = [set_daily_calls(one, 10) for _ in range(5)]
        replies, _ = await asyncio.gather(asyncio.gather(*requests), asyncio.gather(*limits))

    assert not any(is_refused(reply) for reply in replies)


async def test_quota_for_one_request_sent_twenty_times_at_once_is_reserved_once(tmp_path: Path) -> None:
    async with priced_stack(tmp_path) as (one, _):
        replies = await asyncio.gather(*[post_init(one, headers={"Idempotency-Key": "k"}) for _ in range(20)])

    assert {reply.status_code for reply in replies} == {202}
    assert len({reply.json()["job_id"] for reply in replies}) == 1


async def test_quota_for_a_repeated_request_is_reserved_once_and_accepted_when_exhausted(tmp_path: Path) -> None:
    async with priced_stack(tmp_path) as (one, _):
        requests = [post_init(one, headers={"Idempotency-Key": "k"}, max_cost_usd=9 * CALL_USD) for _ in range(4)]
        job_ids = {(await each).json()["job_id"] for each in requests}
        more = await post_init(one, max_cost_usd=9 * CALL_USD)
        again = await post_init(one, headers={"Idempotency-Key": "k"}, max_cost_usd=9 * CALL_USD)

        assert job_ids == {again.json()["job_id"]}
        assert await max_cost(one, more) == pytest.approx(CALL_USD)
        assert is_refused(await post_init(one))


async def test_quota_exhausted_and_request_of_deleted_job_returns_job_deleted(tmp_path: Path) -> None:
    async with priced_stack(tmp_path, calls_per_day=5) as (one, _):
        status = await run_created(one, await post_init(one, headers={"Idempotency-Key": "k"}), 5)
        await one.delete(status["job_id"])
        again = await post_init(one, headers={"Idempotency-Key": "k"})

        assert is_refused(await post_init(one))
        assert (again.status_code, again.json()["code"]) == (409, "job_deleted")


async def test_quota_requires_a_price_and_may_be_changed_and_removed(tmp_path: Path) -> None:
    async with priced_stack(tmp_path, calls_per_day=1) as (one, _):
        unpriced = await post_init(one, model="other")
        first = await post_init(one)
        assert is_refused(await post_init(one))
        await set_daily_calls(one, 2)
        second = await post_init(one)
        assert is_refused(await post_init(one))
        for _ in range(2):
            await set_daily_calls(one, None)
        unlimited = await post_init(one, model="other")
        ended = await run_created(one, first, 1)

    assert (unpriced.status_code, unpriced.json()["code"]) == (422, "price_unknown")
    assert (second.status_code, unlimited.status_code, ended["status"]) == (202, 202, "COMPLETED")
