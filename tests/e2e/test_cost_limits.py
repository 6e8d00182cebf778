"""The cost of a job as the client sees it, and the end of a job at its cost limit."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from promptforge.bootstrap import build_context, build_worker_runtime
from promptforge.domain.commands import ProcessChunk
from promptforge.domain.timeouts import COST_UNKNOWN_SECONDS, TOTAL_REFRESH_SECONDS
from promptforge.pipeline.split import split
from promptforge.worker.process_chunk import process_chunk
from tests.fakes.faulty_documents import SlowSums
from tests.fakes.provider import FakeProvider, answer_after, fake_provider
from tests.fakes.provider_formats import INPUT_TOKENS, OUTPUT_TOKENS, OpenAIFormat
from tests.harness.chunk_scenario import PADDING
from tests.harness.clock import ManualClock
from tests.harness.context import replaced_adapters
from tests.harness.in_process import InProcessStack, in_process_stack
from tests.harness.lines import Line, prompts

CALL_USD = (INPUT_TOKENS + 2 * OUTPUT_TOKENS) / 1000
PRICES = {"openai/m": (1000.0, 2000.0), "openai/costly": (100_000.0, 200_000.0)}


def priced(provider: FakeProvider, **more: Any) -> dict[str, Any]:
    keys = {"provider_keys": {"openai": "k"}, "provider_urls": {"openai": provider.url}}
    return {"prices": PRICES, **keys, **more}


async def run_job(stack: InProcessStack, content: bytes, **fields: Any) -> tuple[Line, list[Line], list[Line]]:
    """Run a job for the priced model and return its status, results and errors."""
    job_id = await stack.run(content, provider="openai", **{"model": "m", **fields})
    return await stack.status(job_id), await stack.results(job_id), await stack.errors(job_id)


async def test_cost_limit_status_shows_the_cost_of_a_priced_model(tmp_path: Path) -> None:
    async with fake_provider() as provider, in_process_stack(tmp_path, **priced(provider)) as stack:
        before = await stack.status((await stack.init(provider="openai", model="m"))["job_id"])
        status, _, _ = await run_job(stack, prompts(5))
        unpriced, _, _ = await run_job(stack, prompts(5), model="other")

    assert before["cost_usd"] == 0
    assert status["cost_usd"] == pytest.approx(5 * CALL_USD)
    assert (unpriced["status"], unpriced["cost_usd"]) == ("COMPLETED", None)


async def test_cost_limit_without_price_or_out_of_range_is_rejected(tmp_path: Path) -> None:
    fields = {"provider": "openai", "model": "other", "max_cost_usd": 1}
    async with fake_provider() as provider, in_process_stack(tmp_path, **priced(provider)) as stack:
        rejected = await stack.http.post("/v1/jobs/init", json=fields, headers=stack.headers)
        for invalid in (0, 0.0099, -1, "1", True, 1e9):
            reply = await stack.http.post(
                "/v1/jobs/init", json={**fields, "max_cost_usd": invalid}, headers=stack.headers
            )
            assert (reply.status_code, reply.json()["code"]) == (422, "invalid_field")
            assert "max_cost_usd" in reply.json()["detail"]

    assert (rejected.status_code, rejected.json()["code"]) == (422, "price_unknown")


@pytest.mark.parametrize("in_flight", [1, 4, 64])
async def test_cost_limit_reached_stops_the_calls_of_a_process(tmp_path: Path, in_flight: int) -> None:
    async with (
        fake_provider(answer_after(0.05)) as provider,
        in_process_stack(tmp_path, max_in_flight=in_flight, **priced(provider)) as stack,
    ):
        status, results, errors = await run_job(stack, prompts(100) + PADDING, max_cost_usd=10 * CALL_USD)

        assert (status["status"], status["error"]["code"]) == ("FAILED", "cost_limit")
        assert provider.call_counts.total() == len(results) == 10
        assert {line["error"] for line in errors} == {"cost_limit"}
        assert status["cost_usd"] == pytest.approx(len(results) * CALL_USD)
        lines = Counter(line["prompt_id"] for line in results + errors)
        assert lines == Counter(f"id-{n}" for n in range(100))


async def test_cost_limit_equal_to_the_cost_completes_the_job(tmp_path: Path) -> None:
    async with fake_provider() as provider, in_process_stack(tmp_path, **priced(provider)) as stack:
        status, results, errors = await run_job(stack, prompts(10), max_cost_usd=10 * CALL_USD)

    assert (status["status"], len(results), errors) == ("COMPLETED", 10, [])


async def test_cost_limit_includes_unusable_answers(tmp_path: Path) -> None:
    shape = {"type": "json_schema", "schema": {"type": "object"}}
    async with fake_provider() as provider, in_process_stack(tmp_path, max_in_flight=1, **priced(provider)) as stack:
        fields = {"response_format": shape, "max_retries": 10}
        status, results, errors = await run_job(stack, prompts(2) + PADDING, max_cost_usd=3 * CALL_USD, **fields)

        assert (results, {line["error"] for line in errors}) == ([], {"cost_limit"})
        assert provider.call_counts.total() == 3
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
async def test_cost_limit_includes_replies_without_text(tmp_path: Path, changes: dict[str, Any], code: str) -> None:
    async def without_text(prompt: str, call: int) -> web.Response:
        usage = {"prompt_tokens": INPUT_TOKENS, "completion_tokens": OUTPUT_TOKENS}
        return web.json_response({"choices": [{"index": 0, **changes}], "usage": usage})

    async with fake_provider(without_text) as provider, in_process_stack(tmp_path, **priced(provider)) as stack:
        status, results, errors = await run_job(stack, prompts(100), max_cost_usd=10 * CALL_USD, max_retries=0)

        assert (provider.call_counts.total(), results) == (10, [])
        assert Counter(line["error"] for line in errors) == {code: 10, "cost_limit": 90}
        assert status["cost_usd"] == pytest.approx(10 * CALL_USD)
        assert status["tokens_used"] == 0


async def test_cost_limit_with_rejected_key_makes_one_call(tmp_path: Path) -> None:
    async def reject(prompt: str, call: int) -> web.Response:
        await asyncio.sleep(0.05)
        return OpenAIFormat().error_response(401)

    async with (
        fake_provider(reject) as provider,
        in_process_stack(tmp_path, max_in_flight=64, **priced(provider)) as stack,
    ):
        status, _, _ = await run_job(stack, prompts(200) + PADDING, max_cost_usd=1)

        assert (status["error"]["code"], provider.call_counts.total()) == ("provider_account", 1)


async def test_cost_limit_flush_during_a_sum_does_not_end_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("promptforge.worker.cost_budget.TOTAL_REFRESH_SECONDS", 0.1)
    spans: dict[str, Any] = {"max_in_flight": 8, "flush_count": 5, "flush_seconds": 0.02}
    async with (
        fake_provider() as provider,
        in_process_stack(tmp_path, **spans, **priced(provider)) as stack,
        replaced_adapters(stack, documents=SlowSums(stack.context.documents)),
    ):
        status, results, _ = await run_job(stack, prompts(600), max_cost_usd=604 * CALL_USD)

    assert (status["status"], len(results)) == ("COMPLETED", 600)


async def test_cost_limit_with_unknown_cost_defers_the_chunk_and_shows_the_reason(tmp_path: Path) -> None:
    clock = ManualClock()
    async with fake_provider() as provider, in_process_stack(tmp_path, clock, **priced(provider)) as stack:
        documents = SlowSums(stack.context.documents)
        async with replaced_adapters(stack, documents=documents):
            documents.unavailable = True
            job_id = await stack.submit(prompts(3) + PADDING, provider="openai", model="m", max_cost_usd=1)
            await stack.deliver_all()
            sums = documents.sum_count
            documents.unavailable = False
            status = await stack.status(job_id)
            clock.advance(COST_UNKNOWN_SECONDS)
            await stack.wait_until_finished(job_id)

        assert (status["waiting"]["code"], sums, provider.call_counts.total()) == ("cost_unknown", 1, 3)
        assert (await stack.status(job_id))["status"] == "COMPLETED"


async def test_cost_limit_uses_the_price_of_a_lines_own_model(tmp_path: Path) -> None:
    lines = b'{"prompt_id":"a","prompt":"x","model":"costly"}\n{"prompt_id":"b","prompt":"x","model":"other"}\n'
    async with fake_provider() as provider, in_process_stack(tmp_path, **priced(provider)) as stack:
        status, results, errors = await run_job(stack, lines + prompts(1), max_cost_usd=1000)
        free, _, none = await run_job(stack, lines + prompts(1))

    assert [line["prompt_id"] for line in results] == ["a", "id-0"]
    assert [(line["prompt_id"], line["error"]) for line in errors] == [("b", "price_unknown")]
    assert status["cost_usd"] == free["cost_usd"] == pytest.approx(101 * CALL_USD)
    assert none == []


async def test_cost_limit_includes_calls_of_an_earlier_process(tmp_path: Path) -> None:
    async with fake_provider(answer_after(0.05)) as provider:
        async with in_process_stack(tmp_path, max_in_flight=2, **priced(provider)) as stack:
            limit = {"model": "m", "max_cost_usd": 12 * CALL_USD}
            job_id = await stack.submit(prompts(100) + PADDING, provider="openai", **limit)
            await split(stack.context, job_id)
            working = asyncio.create_task(process_chunk(stack.runtime, ProcessChunk(job_id=job_id, chunk=0)))
            while provider.call_counts.total() < 8:
                await asyncio.sleep(0.005)
            stack.context.stopping.set()
            await working
        async with in_process_stack(tmp_path, max_in_flight=2, **priced(provider)) as two:
            await two.wait_until_finished(job_id)
            results = await two.results(job_id)

        assert (
            12 <= provider.call_counts.total() == len(results) <= 13
        )  # the reply to a call may be lost with its process


async def test_cost_limit_is_shared_by_processes_within_a_refresh(tmp_path: Path) -> None:
    limit, answered_at, called_at = 60, list[float](), list[float]()
    now = asyncio.get_running_loop().time

    async def act(prompt: str, call: int) -> web.Response:
        called_at.append(now())
        await asyncio.sleep(0.1)
        answered_at.append(now())
        return OpenAIFormat().completion_response("yes", "m")

    spans: dict[str, Any] = {"max_in_flight": 2, "flush_seconds": 0.5, "chunk_lines": 500}
    async with fake_provider(act) as provider, in_process_stack(tmp_path, **spans, **priced(provider)) as stack:
        others = [build_worker_runtime(build_context(stack.context.settings)) for _ in range(2)]
        job_id = await stack.submit(prompts(1500), provider="openai", model="m", max_cost_usd=limit * CALL_USD)
        await split(stack.context, job_id)
        commands = [ProcessChunk(job_id=job_id, chunk=number) for number in range(3)]
        await asyncio.gather(*map(process_chunk, [stack.runtime, *others], commands))
        for other in others:
            await other.close()
            await other.context.close()
        await stack.wait_until_finished(job_id)
        status, results = await stack.status(job_id), await stack.results(job_id)

    assert status["error"]["code"] == "cost_limit"
    assert len(results) == len(called_at) >= limit
    reached_at = answered_at[limit - 1]
    assert max(called_at) - reached_at < TOTAL_REFRESH_SECONDS + 0.5 + 1
