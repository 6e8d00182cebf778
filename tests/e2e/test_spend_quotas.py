"""What a client may spend in a day: promised when a job is opened, free again when it did not need it."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.fakes.openai_server import OpenAIServer, openai_server
from tests.fakes.provider_formats import INPUT_TOKENS, OUTPUT_TOKENS
from tests.harness.clock import HandClock
from tests.harness.in_process import InProcessStack, in_process_stack, prompts

from promptforge.pipeline.split import split
from promptforge.state.spend_quotas import set_limit

CALL_USD = (INPUT_TOKENS + 2 * OUTPUT_TOKENS) / 1000
DAY = 24 * 60 * 60


def priced(provider: OpenAIServer) -> dict[str, Any]:
    keys = {"provider_keys": {"openai": "k"}, "provider_urls": {"openai": provider.url}}
    return {"prices": {"openai/m": (1000.0, 2000.0)}, "max_in_flight": 1, **keys}


async def opened(one: InProcessStack, key: str = "", model: str = "m", **more: Any) -> httpx.Response:
    headers = {"X-API-Key": key or one.key, **more.pop("headers", {})}
    order = {"provider": "openai", "model": model, **more}
    return await one.http.post("/v1/jobs/init", json=order, headers=headers)


async def ran(one: InProcessStack, ticket: httpx.Response, count: int) -> dict[str, Any]:
    assert ticket.status_code == 202, ticket.text
    await one.put(ticket.json()["upload_url"], prompts(count))
    await one.until_ended(ticket.json()["job_id"])
    return await one.status(ticket.json()["job_id"])


def refused(reply: httpx.Response) -> bool:
    if reply.status_code == 429:
        assert reply.json()["code"] == "spend_limit"
        assert 0 < int(reply.headers["retry-after"]) <= DAY
    return reply.status_code == 429


async def test_a_client_spends_no_more_in_a_day_than_it_may_whatever_its_keys(tmp_path: Path) -> None:
    clock = HandClock()
    async with openai_server() as provider, in_process_stack(tmp_path, clock, **priced(provider)) as one:
        second, stranger = await one.app.api_keys.create("tests"), await one.app.api_keys.create("stranger")
        await set_limit(one.app.documents, "tests", 10 * CALL_USD)
        first = await ran(one, await opened(one), 4)
        rest = await ran(one, await opened(one, second), 50)
        spent = [refused(await opened(one, key)) for key in (one.key, second)]
        again, theirs = await opened(one), await opened(one, stranger)
        clock.move(DAY)
        tomorrow = await ran(one, await opened(one), 3)

        assert (first["status"], first["max_cost_usd"]) == ("COMPLETED", pytest.approx(10 * CALL_USD))
        assert (rest["error"]["code"], rest["max_cost_usd"]) == ("cost_limit", pytest.approx(6 * CALL_USD))
        assert spent == [True, True]
        assert again.headers["retry-after"] == str(DAY - 8 * 60 * 60)
        assert theirs.status_code == 202
        assert tomorrow["status"] == "COMPLETED"
        assert provider.calls.total() == 10 + 3


async def test_many_small_shares_exceed_the_days_limit_by_one_call_each_at_most(tmp_path: Path) -> None:
    async def slow(prompt: str, call: int) -> None:
        await asyncio.sleep(0.01)

    async with (
        openai_server(slow) as provider,
        in_process_stack(tmp_path, **{**priced(provider), "max_in_flight": 8}) as one,
    ):
        await set_limit(one.app.documents, "tests", 10 * CALL_USD)
        replies = [await opened(one, max_cost_usd=0.01) for _ in range(20)]
        good = [reply for reply in replies if not refused(reply)]
        for ticket in good:
            await one.put(ticket.json()["upload_url"], prompts(50))
        for ticket in good:
            await one.until_ended(ticket.json()["job_id"])

        assert len(good) == 19  # shares of 0.01 of 0.19
        assert provider.calls.total() == len(good)
        assert refused(await opened(one))


async def test_what_is_promised_to_open_jobs_cannot_be_promised_again(tmp_path: Path) -> None:
    async with openai_server() as provider, in_process_stack(tmp_path, **priced(provider)) as one:
        await set_limit(one.app.documents, "tests", 10 * CALL_USD)
        replies = await asyncio.gather(*[opened(one, max_cost_usd=3 * CALL_USD) for _ in range(8)])
        good = [reply for reply in replies if not refused(reply)]
        shares = [(await one.status(reply.json()["job_id"]))["max_cost_usd"] for reply in good]
        await one.cancel(good[0].json()["job_id"])
        after = await opened(one)
        waiting = await opened(one)

        assert refused(waiting)
        assert waiting.headers["retry-after"] == "30"  # one of these jobs may end and leave something
        assert sum(shares) == pytest.approx(10 * CALL_USD)
        assert len(good) == 4
        assert not refused(after)


async def test_to_delete_a_job_gives_nothing_back_that_was_spent(tmp_path: Path) -> None:
    async with openai_server() as provider, in_process_stack(tmp_path, **priced(provider)) as one:
        await set_limit(one.app.documents, "tests", 10 * CALL_USD)
        for _ in range(2):
            status = await ran(one, await opened(one, max_cost_usd=5 * CALL_USD), 5)
            await one.delete(status["job_id"])
            await one.deliver_all()
        assert refused(await opened(one))


async def test_a_job_that_is_deleted_before_any_call_gives_back_what_it_was_promised(tmp_path: Path) -> None:
    async with openai_server() as provider, in_process_stack(tmp_path, **priced(provider)) as one:
        await set_limit(one.app.documents, "tests", 10 * CALL_USD)
        for uploaded in (False, True):
            ticket = (await opened(one)).json()
            if uploaded:
                await one.put(ticket["upload_url"], prompts(1))
            await one.delete(ticket["job_id"])
            await one.deliver_all()
        ticket = (await opened(one)).json()
        await one.put(ticket["upload_url"], prompts(1))
        await split(one.app, ticket["job_id"])  # from now on calls may be under way
        await one.delete(ticket["job_id"])

        assert refused(await opened(one))


async def test_an_order_of_before_midnight_that_comes_through_after_it_counts_on_the_new_day(tmp_path: Path) -> None:
    clock = HandClock()
    async with openai_server() as provider, in_process_stack(tmp_path, clock, **priced(provider)) as one:
        await set_limit(one.app.documents, "tests", 10 * CALL_USD)
        assert not refused(await opened(one))
        clock.move(DAY - 8 * 60 * 60)
        assert not refused(await opened(one, max_cost_usd=3 * CALL_USD))
        clock.move(-1)
        late = await opened(one, max_cost_usd=3 * CALL_USD)
        clock.move(1)
        rest = await opened(one)
        nothing_left = refused(await opened(one))
        await one.cancel(late.json()["job_id"])
        given_back = await opened(one)

        assert (await one.status(rest.json()["job_id"]))["max_cost_usd"] == pytest.approx(4 * CALL_USD)
        assert nothing_left
        assert (await one.status(given_back.json()["job_id"]))["max_cost_usd"] == pytest.approx(3 * CALL_USD)


async def test_what_was_promised_before_a_limit_was_lifted_is_not_given_back_twice(tmp_path: Path) -> None:
    async with openai_server() as provider, in_process_stack(tmp_path, **priced(provider)) as one:
        await set_limit(one.app.documents, "tests", 10 * CALL_USD)
        first = await opened(one)
        await set_limit(one.app.documents, "tests", None)
        free = await opened(one)
        await set_limit(one.app.documents, "tests", 10 * CALL_USD)
        still_promised = refused(await opened(one))
        for ticket in (first, free):
            await one.cancel(ticket.json()["job_id"])
        again = await opened(one)

        assert (await one.status(free.json()["job_id"]))["max_cost_usd"] is None
        assert still_promised
        assert (await one.status(again.json()["job_id"]))["max_cost_usd"] == pytest.approx(10 * CALL_USD)
        assert refused(await opened(one))


async def test_a_limit_is_set_however_many_orders_come_at_that_moment(tmp_path: Path) -> None:
    async with openai_server() as provider, in_process_stack(tmp_path, **priced(provider)) as one:
        limits = [set_limit(one.app.documents, "tests", 10 * CALL_USD) for _ in range(5)]
        orders = [opened(one, max_cost_usd=CALL_USD) for _ in range(9)]
        replies, _ = await asyncio.gather(asyncio.gather(*orders), asyncio.gather(*limits))

    assert not any(refused(reply) for reply in replies)


async def test_one_order_sent_many_times_at_once_is_promised_once_and_never_refused(tmp_path: Path) -> None:
    async with openai_server() as provider, in_process_stack(tmp_path, **priced(provider)) as one:
        await set_limit(one.app.documents, "tests", 10 * CALL_USD)
        replies = await asyncio.gather(*[opened(one, headers={"Idempotency-Key": "k"}) for _ in range(20)])

    assert {reply.status_code for reply in replies} == {202}
    assert len({reply.json()["job_id"] for reply in replies}) == 1


async def test_a_repeated_order_is_promised_once_and_answered_when_all_is_spent(tmp_path: Path) -> None:
    async with openai_server() as provider, in_process_stack(tmp_path, **priced(provider)) as one:
        await set_limit(one.app.documents, "tests", 10 * CALL_USD)
        tries = [opened(one, headers={"Idempotency-Key": "k"}, max_cost_usd=9 * CALL_USD) for _ in range(4)]
        tickets = {(await each).json()["job_id"] for each in tries}
        more = await opened(one, max_cost_usd=9 * CALL_USD)
        again = await opened(one, headers={"Idempotency-Key": "k"}, max_cost_usd=9 * CALL_USD)

        assert tickets == {again.json()["job_id"]}
        assert (await one.status(more.json()["job_id"]))["max_cost_usd"] == pytest.approx(CALL_USD)
        assert refused(await opened(one))


async def test_a_deleted_jobs_order_is_said_to_be_deleted_when_all_is_spent_too(tmp_path: Path) -> None:
    async with openai_server() as provider, in_process_stack(tmp_path, **priced(provider)) as one:
        await set_limit(one.app.documents, "tests", 5 * CALL_USD)
        status = await ran(one, await opened(one, headers={"Idempotency-Key": "k"}), 5)
        await one.delete(status["job_id"])
        again = await opened(one, headers={"Idempotency-Key": "k"})

        assert refused(await opened(one))
        assert (again.status_code, again.json()["code"]) == (409, "job_deleted")


async def test_a_limit_needs_prices_may_be_changed_and_lifted(tmp_path: Path) -> None:
    async with openai_server() as provider, in_process_stack(tmp_path, **priced(provider)) as one:
        await set_limit(one.app.documents, "tests", CALL_USD)
        unpriced = await opened(one, model="other")
        first = await opened(one)
        assert refused(await opened(one))
        await set_limit(one.app.documents, "tests", 2 * CALL_USD)
        second = await opened(one)
        assert refused(await opened(one))
        await set_limit(one.app.documents, "tests", None)
        await set_limit(one.app.documents, "tests", None)
        free = await opened(one, model="other")
        ended = await ran(one, first, 1)

    assert (unpriced.status_code, unpriced.json()["code"]) == (422, "price_unknown")
    assert (second.status_code, free.status_code, ended["status"]) == (202, 202, "COMPLETED")
