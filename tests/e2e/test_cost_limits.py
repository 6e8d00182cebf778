"""What a job costs, and where it ends when it may cost only so much."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web
from tests.fakes.openai_server import OpenAIServer, openai_server
from tests.fakes.provider_formats import INPUT_TOKENS, OUTPUT_TOKENS, OpenAIFormat
from tests.harness.clock import HandClock
from tests.harness.in_process import InProcessStack, Line, in_process_stack, prompts

from promptforge.bootstrap import build_context, set_current
from promptforge.domain.commands import ProcessChunk
from promptforge.domain.timeouts import COST_UNKNOWN_SECONDS
from promptforge.errors import Unavailable
from promptforge.pipeline.split import split
from promptforge.ports.documents import Documents
from promptforge.worker import cost_budget
from promptforge.worker.process_chunk import process_chunk

CALL_USD = (INPUT_TOKENS + 2 * OUTPUT_TOKENS) / 1000
PRICES = {"openai/m": (1000.0, 2000.0), "openai/dear": (100_000.0, 200_000.0)}
PADDING = b" " * 100_000  # makes for one chunk


def priced(provider: OpenAIServer, **more: Any) -> dict[str, Any]:
    keys = {"provider_keys": {"openai": "k"}, "provider_urls": {"openai": provider.url}}
    return {"prices": PRICES, **keys, **more}


async def _slow(prompt: str, call: int) -> None:
    await asyncio.sleep(0.05)


async def ended(one: InProcessStack, content: bytes, **order: Any) -> tuple[Line, list[Line], list[Line]]:
    """A job for the priced model that is run to its end: its status, results and errors."""
    job_id = await one.run(content, provider="openai", **{"model": "m", **order})
    return await one.status(job_id), await one.results(job_id), await one.errors(job_id)


async def test_a_job_tells_what_it_costs_where_there_is_a_price(tmp_path: Path) -> None:
    async with openai_server() as provider, in_process_stack(tmp_path, **priced(provider)) as one:
        before = await one.status((await one.init(provider="openai", model="m"))["job_id"])
        status, _, _ = await ended(one, prompts(5))
        unpriced, _, _ = await ended(one, prompts(5), model="other")

    assert before["cost_usd"] == 0
    assert status["cost_usd"] == pytest.approx(5 * CALL_USD)
    assert (unpriced["status"], unpriced["cost_usd"]) == ("COMPLETED", None)


async def test_a_limit_needs_a_price(tmp_path: Path) -> None:
    order = {"provider": "openai", "model": "other", "max_cost_usd": 1}
    async with openai_server() as provider, in_process_stack(tmp_path, **priced(provider)) as one:
        refused = await one.http.post("/v1/jobs/init", json=order, headers=one.headers)
        for wrong in (0, 0.0099, -1, "1", True, 1e9):
            reply = await one.http.post("/v1/jobs/init", json={**order, "max_cost_usd": wrong}, headers=one.headers)
            assert (reply.status_code, reply.json()["code"]) == (422, "invalid_field")
            assert "max_cost_usd" in reply.json()["detail"]

    assert (refused.status_code, refused.json()["code"]) == (422, "price_unknown")


@pytest.mark.parametrize("in_flight", [1, 4, 64])
async def test_a_process_makes_no_call_once_its_own_calls_have_cost_the_limit(tmp_path: Path, in_flight: int) -> None:
    async with (
        openai_server(_slow) as provider,
        in_process_stack(tmp_path, max_in_flight=in_flight, **priced(provider)) as one,
    ):
        status, results, errors = await ended(one, prompts(100) + PADDING, max_cost_usd=10 * CALL_USD)

        assert (status["status"], status["error"]["code"]) == ("FAILED", "cost_limit")
        assert provider.calls.total() == len(results) == 10
        assert {line["error"] for line in errors} == {"cost_limit"}
        assert status["cost_usd"] == pytest.approx(len(results) * CALL_USD)
        lines = Counter(line["prompt_id"] for line in results + errors)
        assert lines == Counter(f"id-{n}" for n in range(100))


async def test_a_job_that_costs_just_what_it_may_is_completed(tmp_path: Path) -> None:
    async with openai_server() as provider, in_process_stack(tmp_path, **priced(provider)) as one:
        status, results, errors = await ended(one, prompts(10), max_cost_usd=10 * CALL_USD)

    assert (status["status"], len(results), errors) == ("COMPLETED", 10, [])


async def test_answers_that_are_of_no_use_cost_as_well(tmp_path: Path) -> None:
    shape = {"type": "json_schema", "schema": {"type": "object"}}
    async with openai_server() as provider, in_process_stack(tmp_path, max_in_flight=1, **priced(provider)) as one:
        order = {"response_format": shape, "max_retries": 10}
        status, results, errors = await ended(one, prompts(2) + PADDING, max_cost_usd=3 * CALL_USD, **order)

        assert (results, {line["error"] for line in errors}) == ([], {"cost_limit"})
        assert provider.calls.total() == 3
        assert status["cost_usd"] == pytest.approx(3 * CALL_USD)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"message": {"role": "assistant", "content": None}, "finish_reason": "tool_calls"}, "tool_call"),
        ({"message": {"role": "assistant", "content": ""}, "finish_reason": "length"}, "empty_answer"),
        ({"message": {"role": "assistant", "refusal": "no"}}, "refused"),
        ({"message": {}}, "provider_bad_response"),
    ],
)
async def test_replies_that_are_no_answers_cost_what_the_provider_bills(
    tmp_path: Path, changes: dict[str, Any], code: str
) -> None:
    async def useless(prompt: str, call: int) -> web.Response:
        usage = {"prompt_tokens": INPUT_TOKENS, "completion_tokens": OUTPUT_TOKENS}
        return web.json_response({"choices": [{"index": 0, **changes}], "usage": usage})

    async with openai_server(useless) as provider, in_process_stack(tmp_path, **priced(provider)) as one:
        status, results, errors = await ended(one, prompts(100), max_cost_usd=10 * CALL_USD, max_retries=0)

        assert (provider.calls.total(), results) == (10, [])
        assert Counter(line["error"] for line in errors) == {code: 10, "cost_limit": 90}
        assert status["cost_usd"] == pytest.approx(10 * CALL_USD)
        assert status["tokens_used"] == 0


async def test_a_refused_key_costs_one_call_also_where_there_is_a_limit(tmp_path: Path) -> None:
    async def refuse(prompt: str, call: int) -> web.Response:
        await asyncio.sleep(0.05)
        return OpenAIFormat().refusal(401)

    async with (
        openai_server(refuse) as provider,
        in_process_stack(tmp_path, max_in_flight=64, **priced(provider)) as one,
    ):
        status, _, _ = await ended(one, prompts(200) + PADDING, max_cost_usd=1)

        assert (status["error"]["code"], provider.calls.total()) == ("provider_account", 1)


class SlowSums:
    """The documents, whose sums take a while; or cannot be had."""

    def __init__(self, inner: Documents) -> None:
        self._inner = inner
        self.out_of_reach = False
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def sum(self, collection: str, fields: Sequence[str]) -> dict[str, int]:
        self.asked += 1
        if self.out_of_reach:
            raise Unavailable(collection)
        sums = await self._inner.sum(collection, fields)
        await asyncio.sleep(0.05)
        return sums


@asynccontextmanager
async def slow_sums(one: InProcessStack) -> AsyncIterator[SlowSums]:
    """Have the machine's functions work with such documents."""
    documents = SlowSums(one.app.documents)
    app = replace(one.app, documents=cast(Documents, documents), release=lambda: None)
    set_current(app)
    yield documents
    await app.close()


async def test_what_is_flushed_while_the_sum_is_read_does_not_end_a_job_below_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost_budget, "TOTAL_REFRESH_SECONDS", 0.1)
    spans: dict[str, Any] = {"max_in_flight": 8, "flush_count": 5, "flush_seconds": 0.02}
    async with (
        openai_server() as provider,
        in_process_stack(tmp_path, **spans, **priced(provider)) as one,
        slow_sums(one),
    ):
        status, results, _ = await ended(one, prompts(600), max_cost_usd=604 * CALL_USD)

    assert (status["status"], len(results)) == ("COMPLETED", 600)


async def test_while_costs_cannot_be_told_the_chunk_rests_and_the_client_is_told(tmp_path: Path) -> None:
    clock = HandClock()
    async with openai_server() as provider, in_process_stack(tmp_path, clock, **priced(provider)) as one:
        async with slow_sums(one) as documents:
            documents.out_of_reach = True
            job_id = await one.submit(prompts(3) + PADDING, provider="openai", model="m", max_cost_usd=1)
            await one.deliver_all()
            asked = documents.asked
            documents.out_of_reach = False
            status = await one.status(job_id)
            clock.move(COST_UNKNOWN_SECONDS)
            await one.until_ended(job_id)

        assert (status["waiting"]["code"], asked, provider.calls.total()) == ("cost_unknown", 1, 3)
        assert (await one.status(job_id))["status"] == "COMPLETED"


async def test_a_lines_own_model_costs_its_own_price_and_without_one_costs_the_line(tmp_path: Path) -> None:
    lines = b'{"prompt_id":"a","prompt":"x","model":"dear"}\n{"prompt_id":"b","prompt":"x","model":"other"}\n'
    async with openai_server() as provider, in_process_stack(tmp_path, **priced(provider)) as one:
        status, results, errors = await ended(one, lines + prompts(1), max_cost_usd=1000)
        free, _, none = await ended(one, lines + prompts(1))

    assert [line["prompt_id"] for line in results] == ["a", "id-0"]
    assert [(line["prompt_id"], line["error"]) for line in errors] == [("b", "price_unknown")]
    assert status["cost_usd"] == free["cost_usd"] == pytest.approx(101 * CALL_USD)
    assert none == []


async def test_what_a_process_of_before_has_spent_counts(tmp_path: Path) -> None:
    async with openai_server(_slow) as provider:
        async with in_process_stack(tmp_path, max_in_flight=2, **priced(provider)) as one:
            ticket = await one.init(provider="openai", model="m", max_cost_usd=12 * CALL_USD)
            await one.put(ticket["upload_url"], prompts(100) + PADDING)
            job_id = ticket["job_id"]
            await split(one.app, job_id)
            working = asyncio.create_task(process_chunk(one.runtime, ProcessChunk(job_id=job_id, chunk=0)))
            while provider.calls.total() < 8:
                await asyncio.sleep(0.005)
            one.app.stopping.set()
            await working
        async with in_process_stack(tmp_path, max_in_flight=2, **priced(provider)) as two:
            await two.until_ended(job_id)
            results = await two.results(job_id)

        assert 12 <= provider.calls.total() == len(results) <= 13  # a call may die with its process, untold


async def test_processes_that_share_a_job_hear_of_each_others_costs_in_time(tmp_path: Path) -> None:
    limit, answered_at, called_at = 60, list[float](), list[float]()
    now = asyncio.get_running_loop().time

    async def noting(prompt: str, call: int) -> web.Response:
        called_at.append(now())
        await asyncio.sleep(0.1)
        answered_at.append(now())
        return OpenAIFormat().answer("yes", "m")

    spans: dict[str, Any] = {"max_in_flight": 2, "flush_seconds": 0.5, "chunk_lines": 500}
    async with openai_server(noting) as provider, in_process_stack(tmp_path, **spans, **priced(provider)) as one:
        others = [build_context(one.app.settings) for _ in range(2)]
        ticket = await one.init(provider="openai", model="m", max_cost_usd=limit * CALL_USD)
        await one.put(ticket["upload_url"], prompts(1500))
        job_id = ticket["job_id"]
        await split(one.app, job_id)
        apps = [one.app, *others]
        await asyncio.gather(*[process_chunk(app, ProcessChunk(job_id=job_id, chunk=n)) for n, app in enumerate(apps)])
        for other in others:
            await other.close()
        await one.until_ended(job_id)
        status, results = await one.status(job_id), await one.results(job_id)

    assert status["error"]["code"] == "cost_limit"
    assert len(results) == len(called_at) >= limit
    spent_at = answered_at[limit - 1]
    assert max(called_at) - spent_at < cost_budget.TOTAL_REFRESH_SECONDS + 0.5 + 1
