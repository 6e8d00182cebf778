"""While a job waits for its provider or its operator, its status says for what."""

import asyncio
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from tests.fakes.provider_formats import OpenAIFormat
from tests.fakes.scripted_provider import ScriptedProvider, good, scripted
from tests.harness.clock import HandClock
from tests.harness.in_process import InProcessStack, Line, in_process_stack, prompts

from promptforge.context import MAX_CIRCUIT_BREAKERS


@asynccontextmanager
async def running(one: InProcessStack, job_id: str) -> AsyncIterator[None]:
    """Deliveries are brought inside, and at the end until the job has ended."""
    ending = asyncio.create_task(one.until_ended(job_id))
    try:
        yield
        await ending
    finally:
        ending.cancel()


async def ended(one: InProcessStack, job_id: str) -> None:
    async with asyncio.timeout(30):
        while (await one.job(job_id)).open:
            await asyncio.sleep(0.01)


async def waiting(one: InProcessStack, job_id: str) -> Line:
    """What the job waits for, once it says so."""
    async with asyncio.timeout(30):
        while not (said := (await one.status(job_id))["waiting"]):
            await asyncio.sleep(0.01)
    problem: Line = said
    return problem


def settings_for(url: str) -> dict[str, Any]:
    return {"provider_keys": {"openai": "k"}, "provider_urls": {"openai": url}, "max_inline_wait_seconds": 0.1}


async def test_a_throttled_job_says_that_the_provider_asked_to_wait_and_then_no_more(tmp_path: Path) -> None:
    seen = asyncio.Event()

    async def act(prompt: str, call: int) -> web.Response | None:
        return None if seen.is_set() else OpenAIFormat().refusal(429, **{"Retry-After": "0.5"})

    async with (
        scripted(ScriptedProvider(OpenAIFormat(), act)) as provider,
        in_process_stack(tmp_path, **settings_for(provider.url)) as one,
    ):
        job_id = await one.submit(prompts(5), provider="openai", max_retries=0)
        async with running(one, job_id):
            problem = await waiting(one, job_id)
            seen.set()
        after = await one.status(job_id)

    assert problem == {"code": "throttled", "message": "OpenAI asked to wait."}
    assert (after["status"], after["completed_count"], after["waiting"]) == ("COMPLETED", 5, None)


async def test_a_job_that_has_long_gone_on_does_not_say_that_it_waits(tmp_path: Path) -> None:
    async def act(prompt: str, call: int) -> web.Response:
        return OpenAIFormat().refusal(429, **{"Retry-After": "30"})

    clock = HandClock()
    async with (
        scripted(ScriptedProvider(OpenAIFormat(), act)) as provider,
        in_process_stack(tmp_path, clock, **settings_for(provider.url)) as one,
    ):
        job_id = await one.submit(prompts(5), provider="openai")
        working = asyncio.create_task(one.until_ended(job_id))
        await waiting(one, job_id)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        clock.move(29.0)
        during = await one.status(job_id)
        clock.move(30.0)
        after = await one.status(job_id)

    assert during["waiting"]["code"] == "throttled"
    assert (after["status"], after["waiting"]) == ("PROCESSING", None)


async def test_models_that_clients_make_up_are_not_kept_for_good(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        first = weakref.ref(one.app.circuit_breaker("echo", "first"))
        assert one.app.circuit_breaker("echo", "first") is first()
        for number in range(2 * MAX_CIRCUIT_BREAKERS):
            one.app.circuit_breaker("echo", f"model-{number}")

        assert first() is None


async def test_an_unreachable_provider_costs_no_try_and_the_job_goes_on_when_it_is_there(tmp_path: Path) -> None:
    async with scripted(ScriptedProvider(OpenAIFormat(), good)) as provider:
        url = provider.url
    async with in_process_stack(tmp_path, **settings_for(url)) as one:
        job_id = await one.submit(prompts(5), provider="openai", max_retries=0)
        async with running(one, job_id):
            problem = await waiting(one, job_id)
            port = int(url.rpartition(":")[2].removesuffix("/v1"))
            async with scripted(ScriptedProvider(OpenAIFormat(), good), port):
                await ended(one, job_id)
        after, results = await one.status(job_id), await one.results(job_id)

    assert problem == {"code": "provider_unreachable", "message": "The provider could not be reached."}
    assert (after["status"], after["waiting"]) == ("COMPLETED", None)
    assert [line["attempts"] for line in results] == [1] * 5


async def test_a_job_whose_worker_has_no_key_says_which_variable_to_set(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path, provider_keys={"openai": "k"}) as one:
        job_id = await one.submit(prompts(5), provider="openai")
    async with in_process_stack(tmp_path) as keyless:
        keyless.key = one.key
        async with running(keyless, job_id):
            problem = await waiting(keyless, job_id)
            during = await keyless.status(job_id)
            await keyless.cancel(job_id)
        after = await keyless.status(job_id)

    assert problem["code"] == "provider_key_missing"
    assert "OPENAI_API_KEY" in problem["message"]
    assert (during["status"], during["error"]) == ("PROCESSING", None)
    assert (after["status"], after["waiting"]) == ("CANCELLED", None)
