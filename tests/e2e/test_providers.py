"""The same runs through all four providers: a scripted server speaks each one's format and plays its faults."""

import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.fakes import provider_faults
from tests.fakes.provider_formats import CANARY, FORMATS, AnyFormat
from tests.fakes.scripted_provider import Act, Play, ScriptedProvider, good, scripted
from tests.harness.in_process import InProcessStack, Line, in_process_stack, prompts

KEY = "CANARY-key"
FORBIDDEN = ("CANARY", "prompt 1", "PROMPT 1")


@pytest.fixture(params=FORMATS)
def wire(request: pytest.FixtureRequest) -> AnyFormat:
    return FORMATS[request.param]


@asynccontextmanager
async def machine_of(
    folder: Path, wire: AnyFormat, act: Act, **settings: Any
) -> AsyncIterator[tuple[InProcessStack, ScriptedProvider]]:
    async with scripted(ScriptedProvider(wire, act)) as provider:
        keys: dict[str, Any] = {"provider_keys": {wire.name: KEY}, "provider_urls": {wire.name: provider.url}}
        async with in_process_stack(folder, **keys, **settings) as one:
            yield one, provider


async def ended(one: InProcessStack, job_id: str) -> tuple[Line, list[Line], list[Line]]:
    """Its status, results and errors, none of which may hold what is not theirs to tell."""
    status, results, errors = await one.status(job_id), await one.results(job_id), await one.errors(job_id)
    rows = await one.database.read(lambda c: c.execute("select * from documents").fetchall())
    told = json.dumps([status, errors, str(rows)])
    assert not [word for word in FORBIDDEN if word in told]
    assert CANARY not in json.dumps(results)
    assert KEY not in json.dumps(results)
    return status, results, errors


def always(response: web.Response | Play) -> Act:
    async def act(prompt: str, call: int) -> web.Response | Play:
        return response

    return act


async def test_every_prompt_is_asked_once_and_every_answer_and_token_kept(tmp_path: Path, wire: AnyFormat) -> None:
    async with machine_of(tmp_path, wire, good) as (one, provider):
        job_id = await one.run(prompts(500), provider=wire.name, model="model-1")
        status, results, errors = await ended(one, job_id)

    assert set(provider.calls.values()) == {1}
    assert len(provider.ledger) == 500
    assert [line["result"] for line in results] == [f"PROMPT {number}" for number in range(500)]
    assert [line["usage"] for line in results] == [{"input_tokens": 5, "output_tokens": 7}] * 500
    assert {(line["model"], line["tokens_used"], line["finish_reason"]) for line in results} == {
        ("model-1", 12, "stop")
    }
    assert (status["input_tokens"], status["output_tokens"], status["tokens_used"]) == (2500, 3500, 6000)
    assert errors == []


async def test_faults_and_throttles_now_and_then_cost_no_prompt(tmp_path: Path, wire: AnyFormat) -> None:
    rng = random.Random(4)

    async def act(prompt: str, call: int) -> Play | None:
        fate = rng.random()
        if fate < 0.1:
            return provider_faults.refused(500)
        return provider_faults.refused(429, retry_after=0.5) if fate < 0.2 else None

    async with machine_of(tmp_path, wire, act) as (one, provider):
        job_id = await one.run(prompts(500), provider=wire.name, max_retries=6)
        status, results, errors = await ended(one, job_id)

    assert [line["prompt_id"] for line in results] == [f"id-{number}" for number in range(500)]
    assert (status["status"], errors) == ("COMPLETED", [])
    faulty = sum(call.status == 500 for call in provider.ledger)
    assert sum(line["attempts"] for line in results) == 500 + faulty
    assert len(provider.ledger) > 500 + faulty


@pytest.mark.parametrize("status", [401, 402, "spent"])
async def test_a_refused_account_costs_one_call_and_the_status_says_what_to_do(
    tmp_path: Path, wire: AnyFormat, status: int | str
) -> None:
    async def act(prompt: str, call: int) -> web.Response:
        return wire.refusal(status) if isinstance(status, int) else wire.spent()

    async with machine_of(tmp_path, wire, act, chunk_lines=10) as (one, provider):
        jobs = [await one.run(prompts(100), provider=wire.name) for _ in range(2)]
        for job_id in jobs:
            said, results, errors = await ended(one, job_id)

            assert (said["status"], said["error"]["code"], results) == ("FAILED", "provider_account", [])
            assert any(word in said["error"]["message"] for word in ("check", "raise", "start the job again"))
            assert len(errors) == 100
            assert {line["error"] for line in errors} == {"provider_account"}
    assert len(provider.ledger) == 1


def _not_allowed(wire: AnyFormat) -> web.Response:
    """What an API key may not do, or a project not without billing."""
    if wire.name != "gemini":
        return wire.refusal(403)
    error = {"code": 400, "message": CANARY, "status": "FAILED_PRECONDITION", "details": []}
    return web.json_response({"error": error}, status=400)


@pytest.mark.parametrize("own", [{"model": "model-2"}, {"extra": {"tier": "x"}}])
async def test_what_one_line_may_not_have_does_not_stop_the_job(
    tmp_path: Path, wire: AnyFormat, own: dict[str, Any]
) -> None:
    async def act(prompt: str, call: int) -> web.Response | None:
        return _not_allowed(wire) if prompt == "wish" else None

    wish = json.dumps({"prompt_id": "wish", "prompt": "wish", **own}).encode() + b"\n"
    async with machine_of(tmp_path, wire, act, max_in_flight=1) as (one, _):
        job_id = await one.run(wish + prompts(20), provider=wire.name)
        status, results, errors = await ended(one, job_id)

    assert [(line["prompt_id"], line["error"]) for line in errors] == [("wish", "prompt_rejected")]
    assert (len(results), status["status"], status["error"]) == (20, "COMPLETED", None)


async def test_a_model_that_the_key_may_not_use_stops_a_job_that_is_for_it(tmp_path: Path, wire: AnyFormat) -> None:
    async def act(prompt: str, call: int) -> web.Response:
        return _not_allowed(wire)

    async with machine_of(tmp_path, wire, act) as (one, provider):
        job_id = await one.run(prompts(20), provider=wire.name)
        status, _, _ = await ended(one, job_id)

    assert (status["status"], status["error"]["code"], len(provider.ledger)) == ("FAILED", "provider_account", 1)


@pytest.mark.parametrize("overloaded", [False, True])
async def test_to_be_told_to_wait_never_uses_up_a_try(tmp_path: Path, wire: AnyFormat, overloaded: bool) -> None:
    async def act(prompt: str, call: int) -> web.Response | None:
        refusal = wire.overloaded() if overloaded else wire.refusal(429)
        return refusal if len(provider.ledger) == 1 else None

    async with machine_of(tmp_path, wire, act) as (one, provider):
        job_id = await one.run(prompts(5), provider=wire.name, max_retries=0)
        _, results, _ = await ended(one, job_id)

    assert [line["attempts"] for line in results] == [1] * 5
    assert len(provider.ledger) == 6


async def too_large(exchange: Any) -> web.StreamResponse:
    """A good answer followed by 50 MB of blanks."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(exchange.request)
    for _ in range(50):
        await response.write(b" " * 1024**2)
    return response


async def empty(exchange: Any) -> web.StreamResponse:
    response: web.Response = exchange.format.empty()
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
        (provider_faults.reset_before, "provider_connection_lost"),
        (provider_faults.reset_within, "provider_connection_lost"),
        (provider_faults.refused(500), "provider_error"),
        (provider_faults.hanging, "provider_timeout"),
        (provider_faults.refused(400), "prompt_rejected"),
    ],
)
async def test_each_fault_has_its_documented_code(tmp_path: Path, wire: AnyFormat, play: Play, code: str) -> None:
    async with machine_of(tmp_path, wire, always(play), call_timeout_seconds=0.5) as (one, provider):
        job_id = await one.run(prompts(2), provider=wire.name, max_retries=1)
        status, _, errors = await ended(one, job_id)

    tries = 1 if code == "prompt_rejected" else 2
    assert [(line["error"], line["attempts"]) for line in errors] == [(code, tries)] * 2
    assert set(provider.calls.values()) == {tries}
    assert status["error"]["code"] == "all_prompts_failed"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed_and_the_key_stays(tmp_path: Path, wire: AnyFormat, status: int) -> None:
    async with scripted(ScriptedProvider(wire, good)) as thief:
        away = web.Response(status=status, headers={"Location": thief.url + "/v1/chat/completions"})

        async def act(prompt: str, call: int) -> web.Response:
            return web.Response(status=away.status, headers=away.headers)

        async with machine_of(tmp_path, wire, act) as (one, _):
            job_id = await one.run(prompts(1), provider=wire.name, max_retries=0)
            _, _, errors = await ended(one, job_id)

    assert [line["error"] for line in errors] == ["provider_bad_response"]
    assert thief.ledger == []
