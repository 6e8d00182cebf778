"""The same jobs with all four providers: a fake server uses the format of each one and injects faults."""

import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.fakes import provider_faults
from tests.fakes.provider import FakeProvider, Fault, Script, answer_all, serve_provider
from tests.fakes.provider_formats import CANARY, FORMATS, AnyFormat
from tests.harness.in_process import InProcessStack, in_process_stack
from tests.harness.lines import Line, prompts

KEY = "CANARY-key"
FORBIDDEN = ("CANARY", "prompt 1", "PROMPT 1")


@pytest.fixture(params=FORMATS)
def wire(request: pytest.FixtureRequest) -> AnyFormat:
    return FORMATS[request.param]


@asynccontextmanager
async def provider_stack(
    folder: Path, wire: AnyFormat, act: Script, **settings: Any
) -> AsyncIterator[tuple[InProcessStack, FakeProvider]]:
    async with serve_provider(FakeProvider(wire, act)) as provider:
        keys: dict[str, Any] = {"provider_keys": {wire.name: KEY}, "provider_urls": {wire.name: provider.url}}
        async with in_process_stack(folder, **keys, **settings) as one:
            yield one, provider


async def outcome(one: InProcessStack, job_id: str) -> tuple[Line, list[Line], list[Line]]:
    """Return the status, the results and the errors of a finished job.

    No document and no error contains a prompt, an answer, a key or a text of the provider.
    """
    status, results, errors = await one.status(job_id), await one.results(job_id), await one.errors(job_id)
    rows = await one.database.read(lambda c: c.execute("select * from documents").fetchall())
    stored = json.dumps([status, errors, str(rows)])
    assert not [word for word in FORBIDDEN if word in stored]
    assert CANARY not in json.dumps(results)
    assert KEY not in json.dumps(results)
    return status, results, errors


def always(response: web.Response | Fault) -> Script:
    async def act(prompt: str, call: int) -> web.Response | Fault:
        return response

    return act


async def test_provider_job_makes_one_call_per_prompt_and_counts_every_token(tmp_path: Path, wire: AnyFormat) -> None:
    async with provider_stack(tmp_path, wire, answer_all) as (one, provider):
        job_id = await one.run(prompts(500), provider=wire.name, model="model-1")
        status, results, errors = await outcome(one, job_id)

    assert set(provider.call_counts.values()) == {1}
    assert len(provider.call_log) == 500
    assert [line["result"] for line in results] == [f"PROMPT {number}" for number in range(500)]
    assert [line["usage"] for line in results] == [{"input_tokens": 5, "output_tokens": 7}] * 500
    assert {(line["model"], line["tokens_used"], line["finish_reason"]) for line in results} == {
        ("model-1", 12, "stop")
    }
    assert (status["input_tokens"], status["output_tokens"], status["tokens_used"]) == (2500, 3500, 6000)
    assert errors == []


async def test_provider_job_with_some_faults_and_throttling_completes_every_prompt(
    tmp_path: Path, wire: AnyFormat
) -> None:
    rng = random.Random(4)

    async def act(prompt: str, call: int) -> Fault | None:
        chance = rng.random()
        if chance < 0.1:
            return provider_faults.error_status(500)
        return provider_faults.error_status(429, retry_after=0.5) if chance < 0.2 else None

    async with provider_stack(tmp_path, wire, act) as (one, provider):
        job_id = await one.run(prompts(500), provider=wire.name, max_retries=6)
        status, results, errors = await outcome(one, job_id)

    assert [line["prompt_id"] for line in results] == [f"id-{number}" for number in range(500)]
    assert (status["status"], errors) == ("COMPLETED", [])
    faulty = sum(call.status == 500 for call in provider.call_log)
    assert sum(line["attempts"] for line in results) == 500 + faulty
    assert len(provider.call_log) > 500 + faulty


@pytest.mark.parametrize("status", [401, 402, "spent"])
async def test_provider_account_failure_stops_after_one_call_and_names_the_remedy(
    tmp_path: Path, wire: AnyFormat, status: int | str
) -> None:
    async def act(prompt: str, call: int) -> web.Response:
        return wire.error_response(status) if isinstance(status, int) else wire.quota_exhausted()

    async with provider_stack(tmp_path, wire, act, chunk_lines=10) as (one, provider):
        jobs = [await one.run(prompts(100), provider=wire.name) for _ in range(2)]
        for job_id in jobs:
            shown, results, errors = await outcome(one, job_id)

            assert (shown["status"], shown["error"]["code"], results) == ("FAILED", "provider_account", [])
            assert any(word in shown["error"]["message"] for word in ("check", "raise", "start the job again"))
            assert len(errors) == 100
            assert {line["error"] for line in errors} == {"provider_account"}
    assert len(provider.call_log) == 1


def _forbidden(wire: AnyFormat) -> web.Response:
    """Return the error for an action that the API key does not permit, or that requires billing."""
    if wire.name != "gemini":
        return wire.error_response(403)
    error = {"code": 400, "message": CANARY, "status": "FAILED_PRECONDITION", "details": []}
    return web.json_response({"error": error}, status=400)


@pytest.mark.parametrize("override", [{"model": "model-2"}, {"extra": {"tier": "x"}}])
async def test_provider_rejection_of_an_overridden_line_fails_that_line_only(
    tmp_path: Path, wire: AnyFormat, override: dict[str, Any]
) -> None:
    async def act(prompt: str, call: int) -> web.Response | None:
        return _forbidden(wire) if prompt == "overridden" else None

    overridden = json.dumps({"prompt_id": "overridden", "prompt": "overridden", **override}).encode() + b"\n"
    async with provider_stack(tmp_path, wire, act, max_in_flight=1) as (one, _):
        job_id = await one.run(overridden + prompts(20), provider=wire.name)
        status, results, errors = await outcome(one, job_id)

    assert [(line["prompt_id"], line["error"]) for line in errors] == [("overridden", "prompt_rejected")]
    assert (len(results), status["status"], status["error"]) == (20, "COMPLETED", None)


async def test_provider_rejection_of_the_jobs_model_stops_the_job_after_one_call(
    tmp_path: Path, wire: AnyFormat
) -> None:
    async def act(prompt: str, call: int) -> web.Response:
        return _forbidden(wire)

    async with provider_stack(tmp_path, wire, act) as (one, provider):
        job_id = await one.run(prompts(20), provider=wire.name)
        status, _, _ = await outcome(one, job_id)

    assert (status["status"], status["error"]["code"], len(provider.call_log)) == ("FAILED", "provider_account", 1)


@pytest.mark.parametrize("overloaded", [False, True])
async def test_provider_throttling_uses_no_attempt(tmp_path: Path, wire: AnyFormat, overloaded: bool) -> None:
    async def act(prompt: str, call: int) -> web.Response | None:
        refusal = wire.overloaded() if overloaded else wire.error_response(429)
        return refusal if len(provider.call_log) == 1 else None

    async with provider_stack(tmp_path, wire, act) as (one, provider):
        job_id = await one.run(prompts(5), provider=wire.name, max_retries=0)
        _, results, _ = await outcome(one, job_id)

    assert [line["attempts"] for line in results] == [1] * 5
    assert len(provider.call_log) == 6


async def too_large(exchange: Any) -> web.StreamResponse:
    """Send a valid answer followed by 50 MB of blanks."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(exchange.request)
    for _ in range(50):
        await response.write(b" " * 1024**2)
    return response


async def empty(exchange: Any) -> web.StreamResponse:
    response: web.Response = exchange.format.empty_response()
    await response.prepare(exchange.request)
    await response.write_eof()
    return response


@pytest.mark.parametrize(
    ("play", "code"),
    [
        (provider_faults.truncated, "provider_bad_response"),
        (provider_faults.html, "provider_bad_response"),
        (empty, "provider_bad_response"),
        (too_large, "provider_answer_too_large"),
        (provider_faults.reset_before_response, "provider_connection_lost"),
        (provider_faults.reset_during_response, "provider_connection_lost"),
        (provider_faults.error_status(500), "provider_error"),
        (provider_faults.no_response, "provider_timeout"),
        (provider_faults.error_status(400), "prompt_rejected"),
    ],
)
async def test_provider_fault_gives_its_documented_code(
    tmp_path: Path, wire: AnyFormat, play: Fault, code: str
) -> None:
    async with provider_stack(tmp_path, wire, always(play), call_timeout_seconds=0.5) as (one, provider):
        job_id = await one.run(prompts(2), provider=wire.name, max_retries=1)
        status, _, errors = await outcome(one, job_id)

    attempts = 1 if code == "prompt_rejected" else 2
    assert [(line["error"], line["attempts"]) for line in errors] == [(code, attempts)] * 2
    assert set(provider.call_counts.values()) == {attempts}
    assert status["error"]["code"] == "all_prompts_failed"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_provider_redirect_is_not_followed(tmp_path: Path, wire: AnyFormat, status: int) -> None:
    async with serve_provider(FakeProvider(wire, answer_all)) as elsewhere:
        away = web.Response(status=status, headers={"Location": elsewhere.url + "/v1/chat/completions"})

        async def act(prompt: str, call: int) -> web.Response:
            return web.Response(status=away.status, headers=away.headers)

        async with provider_stack(tmp_path, wire, act) as (one, _):
            job_id = await one.run(prompts(1), provider=wire.name, max_retries=0)
            _, _, errors = await outcome(one, job_id)

    assert [line["error"] for line in errors] == ["provider_bad_response"]
    assert elsewhere.call_log == []
