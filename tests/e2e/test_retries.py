"""The retries of a job: which failed calls are repeated, how often, and which error a prompt gets in the end."""

from pathlib import Path

from aiohttp import web

from tests.fakes.provider import Script, answer_all, openai_error
from tests.harness.chunk_scenario import ChunkScenario, chunk_scenario
from tests.harness.lines import prompts


async def run_job(scenario: ChunkScenario, content: bytes, act: Script, **fields: object) -> str:
    scenario.provider.script = act
    return await scenario.stack.run(content, provider="openai", **fields)


async def test_retries_prompt_with_an_answer_is_called_once(tmp_path: Path) -> None:
    async with chunk_scenario(tmp_path) as scenario:
        job_id = await run_job(scenario, prompts(50), answer_all, model="gpt-test")
        results = await scenario.stack.results(job_id)

    assert [line["result"] for line in results] == [f"PROMPT {number}" for number in range(50)]
    assert {(line["model"], line["tokens_used"]) for line in results} == {("gpt-test", 12)}
    assert scenario.provider.call_counts.total() == 50


async def test_retries_server_error_is_repeated_max_retries_times(tmp_path: Path) -> None:
    async def act(prompt: str, call: int) -> web.Response | None:
        return openai_error(500) if prompt == "prompt 1" or call == 1 else None

    async with chunk_scenario(tmp_path) as scenario:
        job_id = await run_job(scenario, prompts(3), act, max_retries=2)
        errors, results = await scenario.stack.errors(job_id), await scenario.stack.results(job_id)
        status = await scenario.stack.status(job_id)

    assert scenario.provider.call_counts == {"prompt 0": 2, "prompt 1": 3, "prompt 2": 2}
    assert [(line["prompt_id"], line["error"], line["attempts"]) for line in errors] == [("id-1", "provider_error", 3)]
    assert [line["prompt_id"] for line in results] == ["id-0", "id-2"]
    assert (status["status"], status["failed_count"]) == ("COMPLETED", 1)


async def test_retries_rejected_prompt_fails_at_once_and_alone(tmp_path: Path) -> None:
    async def act(prompt: str, call: int) -> web.Response | None:
        return openai_error(400, "context_length_exceeded") if prompt == "prompt 1" else None

    async with chunk_scenario(tmp_path) as scenario:
        errors = await scenario.stack.errors(await run_job(scenario, prompts(3), act))

    assert [(line["prompt_id"], line["error"], line["attempts"]) for line in errors] == [
        ("id-1", "context_too_long", 1)
    ]
    assert scenario.provider.call_counts.total() == 3


async def test_retries_rejected_account_stops_the_job_and_keeps_its_results(tmp_path: Path) -> None:
    async def act(prompt: str, call: int) -> web.Response | None:
        return openai_error(429, "insufficient_quota") if scenario.provider.call_counts.total() > 50 else None

    async with chunk_scenario(tmp_path, max_in_flight=4, chunk_lines=10) as scenario:
        job_id = await run_job(scenario, prompts(100), act)
        status, errors = await scenario.stack.status(job_id), await scenario.stack.errors(job_id)
        results, calls = await scenario.stack.results(job_id), scenario.provider.call_counts.total()

    assert (status["status"], status["error"]["code"]) == ("FAILED", "provider_account")
    assert status["completed_count"] == len(results) == 50
    assert status["completed_count"] + status["failed_count"] == 100 == len(results) + len(errors)
    assert {line["error"] for line in errors} == {"provider_account"}
    assert {line["attempts"] for line in errors} == {0, 1}
    assert sum(line["attempts"] for line in errors) == calls - 50 <= 12


async def test_retries_job_without_any_answer_fails(tmp_path: Path) -> None:
    async def act(prompt: str, call: int) -> web.Response | None:
        return web.Response(text="<html>CANARY proxy</html>", content_type="text/html")

    async with chunk_scenario(tmp_path) as scenario:
        job_id = await run_job(scenario, prompts(3), act, max_retries=1)
        status, errors = await scenario.stack.status(job_id), await scenario.stack.errors(job_id)

    assert (status["status"], status["error"]["code"]) == ("FAILED", "all_prompts_failed")
    assert {(line["error"], line["attempts"]) for line in errors} == {("provider_error", 2)}
    assert "CANARY" not in str(errors) + str(status)
