"""What the provider does, and what becomes of the prompt: retries, throttles, refused accounts, bad answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from tests.fakes.openai_server import Act, OpenAIServer, good, openai_server, refusal
from tests.harness.in_process import InProcessStack, in_process_stack, prompts


@asynccontextmanager
async def openai_machine(folder: Path, act: Act, **settings: Any) -> AsyncIterator[tuple[InProcessStack, OpenAIServer]]:
    async with openai_server(act) as provider:
        keys: dict[str, Any] = {"provider_keys": {"openai": "CANARY-key"}, "provider_urls": {"openai": provider.url}}
        async with in_process_stack(folder, **keys, **settings) as one:
            yield one, provider


async def test_a_prompt_is_asked_once_and_its_answer_kept_whole(tmp_path: Path) -> None:
    async with openai_machine(tmp_path, good) as (one, provider):
        job_id = await one.run(prompts(50), provider="openai", model="gpt-test")
        results = await one.results(job_id)

    assert [line["result"] for line in results] == [f"PROMPT {number}" for number in range(50)]
    assert {(line["model"], line["tokens_used"]) for line in results} == {("gpt-test", 12)}
    assert provider.calls.total() == 50


async def test_a_server_fault_is_retried_as_often_as_the_job_says(tmp_path: Path) -> None:
    async def act(prompt: str, call: int) -> web.Response | None:
        return refusal(500) if prompt == "prompt 1" or call == 1 else None

    async with openai_machine(tmp_path, act) as (one, provider):
        job_id = await one.run(prompts(3), provider="openai", max_retries=2)
        errors, results, status = await one.errors(job_id), await one.results(job_id), await one.status(job_id)

    assert provider.calls == {"prompt 0": 2, "prompt 1": 3, "prompt 2": 2}
    assert [(line["prompt_id"], line["error"], line["attempts"]) for line in errors] == [("id-1", "provider_error", 3)]
    assert [line["prompt_id"] for line in results] == ["id-0", "id-2"]
    assert (status["status"], status["failed_count"]) == ("COMPLETED", 1)


async def test_throttles_never_use_up_the_retries(tmp_path: Path) -> None:
    async def act(prompt: str, call: int) -> web.Response | None:
        return refusal(429, **{"Retry-After": "0.5"}) if call <= 3 else None

    async with openai_machine(tmp_path, act) as (one, provider):
        job_id = await one.run(prompts(2), provider="openai", max_retries=0)
        results = await one.results(job_id)

    assert [line["prompt_id"] for line in results] == ["id-0", "id-1"]
    assert set(provider.calls.values()) == {4}


async def test_a_long_wait_is_not_sat_out_but_handed_to_a_task(tmp_path: Path) -> None:
    throttled_until: list[float] = []

    async def act(prompt: str, call: int) -> web.Response | None:
        now = asyncio.get_running_loop().time()
        if not throttled_until:
            throttled_until.append(now + 1.0)
        return refusal(429, **{"Retry-After": "1"}) if now < throttled_until[0] else None

    async with openai_machine(tmp_path, act, max_inline_wait_seconds=0.1) as (one, _):
        job_id = await one.run(prompts(20), provider="openai", max_retries=0)
        results = await one.results(job_id)
        names = await one.database.read(lambda c: c.execute("select name from task_names").fetchall())

    assert len(results) == 20
    assert any(name.startswith(f"resume-{job_id}") for (name,) in names)


async def test_a_refused_account_stops_the_job_and_keeps_what_was_done(tmp_path: Path) -> None:
    asked: list[str] = []

    async def act(prompt: str, call: int) -> web.Response | None:
        asked.append(prompt)
        return refusal(429, "insufficient_quota") if len(asked) > 50 else None

    async with openai_machine(tmp_path, act, max_in_flight=4, chunk_lines=10) as (one, provider):
        job_id = await one.run(prompts(100), provider="openai")
        status, errors, results = await one.status(job_id), await one.errors(job_id), await one.results(job_id)

    assert (status["status"], status["error"]["code"]) == ("FAILED", "provider_account")
    assert status["completed_count"] == len(results) == 50
    assert status["completed_count"] + status["failed_count"] == 100 == len(results) + len(errors)
    assert {line["error"] for line in errors} == {"provider_account"}
    assert {line["attempts"] for line in errors} == {0, 1}
    assert sum(line["attempts"] for line in errors) == provider.calls.total() - 50 <= 12


async def test_a_refused_prompt_fails_at_once_and_alone(tmp_path: Path) -> None:
    async def act(prompt: str, call: int) -> web.Response | None:
        return refusal(400, "context_length_exceeded") if prompt == "prompt 1" else None

    async with openai_machine(tmp_path, act) as (one, provider):
        job_id = await one.run(prompts(3), provider="openai")
        errors = await one.errors(job_id)

    assert [(line["prompt_id"], line["error"], line["attempts"]) for line in errors] == [("id-1", "prompt_rejected", 1)]
    assert provider.calls.total() == 3


async def test_when_nothing_is_answered_the_job_has_failed(tmp_path: Path) -> None:
    async def act(prompt: str, call: int) -> web.Response | None:
        return web.Response(text="<html>CANARY proxy</html>", content_type="text/html")

    async with openai_machine(tmp_path, act) as (one, _):
        job_id = await one.run(prompts(3), provider="openai", max_retries=1)
        status, errors = await one.status(job_id), await one.errors(job_id)

    assert (status["status"], status["error"]["code"]) == ("FAILED", "all_prompts_failed")
    assert {(line["error"], line["attempts"]) for line in errors} == {("provider_bad_response", 2)}
    assert "CANARY" not in str(errors) + str(status)


async def test_no_more_calls_are_in_flight_than_was_set(tmp_path: Path) -> None:
    async def act(prompt: str, call: int) -> None:
        await asyncio.sleep(0.01)

    async with openai_machine(tmp_path, act, max_in_flight=5) as (one, provider):
        await one.run(prompts(100), provider="openai")

    assert provider.peak == 5


async def test_answers_beyond_the_memory_limit_are_read_back_in_order(tmp_path: Path) -> None:
    async def act(prompt: str, call: int) -> web.Response | None:
        text = f"{prompt} " + "x" * 1_500_000
        return web.json_response({"choices": [{"message": {"content": text}}], "usage": {}})

    async with openai_machine(tmp_path, act, chunk_lines=40, flush_count=2) as (one, _):
        content = b"".join(b'{"prompt_id": "%d", "prompt": "p%d%s"}\n' % (n, n, b" " * 3000) for n in range(640))
        job_id = await one.run(content[: 60 * 3040], provider="openai")
        results = await one.results(job_id)

    assert [line["prompt_id"] for line in results] == [str(number) for number in range(len(results))]
    assert all(line["result"].startswith(f"p{line['prompt_id']} ") for line in results)
