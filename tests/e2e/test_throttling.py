"""A job waits for a throttled, unreachable or unconfigured provider; its status shows the reason."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.fakes.provider import FakeProvider, answer_all, fake_provider, openai_error, serve_provider
from tests.fakes.provider_formats import OpenAIFormat
from tests.harness.clock import ManualClock
from tests.harness.in_process import InProcessStack, in_process_stack
from tests.harness.lines import Line, prompts


def settings_for(url: str) -> dict[str, Any]:
    return {"provider_keys": {"openai": "CANARY-key"}, "provider_urls": {"openai": url}, "max_inline_wait_seconds": 0.1}


@asynccontextmanager
async def deliveries(stack: InProcessStack, job_id: str) -> AsyncIterator[None]:
    """Make deliveries inside, and at the end until the job has finished."""
    finishing = asyncio.create_task(stack.wait_until_finished(job_id))
    try:
        yield
        await finishing
    finally:
        finishing.cancel()


async def wait_until_finished(stack: InProcessStack, job_id: str) -> None:
    async with asyncio.timeout(30):
        while (await stack.job(job_id)).open:
            await asyncio.sleep(0.01)


async def wait_until_waiting(stack: InProcessStack, job_id: str) -> Line:
    """Return the reason that the status shows, once it shows one."""
    async with asyncio.timeout(30):
        while not (waiting := (await stack.status(job_id))["waiting"]):
            await asyncio.sleep(0.01)
    reason: Line = waiting
    return reason


async def test_throttling_is_shown_while_the_job_waits_and_not_afterwards(tmp_path: Path) -> None:
    seen = asyncio.Event()

    async def act(prompt: str, call: int) -> web.Response | None:
        return None if seen.is_set() else openai_error(429, **{"Retry-After": "0.5"})

    async with fake_provider(act) as provider, in_process_stack(tmp_path, **settings_for(provider.url)) as stack:
        job_id = await stack.submit(prompts(5), provider="openai", max_retries=0)
        async with deliveries(stack, job_id):
            reason = await wait_until_waiting(stack, job_id)
            seen.set()
        after = await stack.status(job_id)

    assert reason == {"code": "throttled", "message": "OpenAI throttled the call."}
    assert (after["status"], after["completed_count"], after["waiting"]) == ("COMPLETED", 5, None)


async def test_throttling_reason_is_not_shown_after_its_time(tmp_path: Path) -> None:
    async def act(prompt: str, call: int) -> web.Response:
        return openai_error(429, **{"Retry-After": "30"})

    clock = ManualClock()
    async with fake_provider(act) as provider, in_process_stack(tmp_path, clock, **settings_for(provider.url)) as stack:
        job_id = await stack.submit(prompts(5), provider="openai")
        finishing = asyncio.create_task(stack.wait_until_finished(job_id))
        await wait_until_waiting(stack, job_id)
        finishing.cancel()
        await asyncio.gather(finishing, return_exceptions=True)
        clock.advance(29.0)
        during = await stack.status(job_id)
        clock.advance(30.0)
        after = await stack.status(job_id)

    assert during["waiting"]["code"] == "throttled"
    assert (after["status"], after["waiting"]) == ("PROCESSING", None)


async def test_throttling_never_counts_as_an_attempt(tmp_path: Path) -> None:
    async def act(prompt: str, call: int) -> web.Response | None:
        return openai_error(429, **{"Retry-After": "0.5"}) if call <= 3 else None

    async with fake_provider(act) as provider:
        settings = {**settings_for(provider.url), "max_inline_wait_seconds": 5}
        async with in_process_stack(tmp_path, **settings) as stack:
            results = await stack.results(await stack.run(prompts(2), provider="openai", max_retries=0))

    assert [line["prompt_id"] for line in results] == ["id-0", "id-1"]
    assert set(provider.call_counts.values()) == {4}


async def test_throttling_for_long_releases_the_chunk_until_a_scheduled_task(tmp_path: Path) -> None:
    throttled_until: list[float] = []

    async def act(prompt: str, call: int) -> web.Response | None:
        now = asyncio.get_running_loop().time()
        if not throttled_until:
            throttled_until.append(now + 1.0)
        return openai_error(429, **{"Retry-After": "1"}) if now < throttled_until[0] else None

    async with fake_provider(act) as provider, in_process_stack(tmp_path, **settings_for(provider.url)) as stack:
        job_id = await stack.run(prompts(20), provider="openai", max_retries=0)
        results = await stack.results(job_id)
        names = await stack.database.read(lambda c: c.execute("select name from task_names").fetchall())

    assert len(results) == 20
    assert any(name.startswith(f"resume-{job_id}") for (name,) in names)


async def test_throttling_unreachable_provider_costs_no_attempt(tmp_path: Path) -> None:
    async with serve_provider(FakeProvider(OpenAIFormat(), answer_all)) as provider:
        url = provider.url
    async with in_process_stack(tmp_path, **settings_for(url)) as stack:
        job_id = await stack.submit(prompts(5), provider="openai", max_retries=0)
        async with deliveries(stack, job_id):
            reason = await wait_until_waiting(stack, job_id)
            port = int(url.rpartition(":")[2].removesuffix("/v1"))
            async with serve_provider(FakeProvider(OpenAIFormat(), answer_all), port):
                await wait_until_finished(stack, job_id)
        after, results = await stack.status(job_id), await stack.results(job_id)

    message = f"Connection refused by 127.0.0.1:{port}: check that the server runs and the base URL."
    assert reason == {"code": "provider_unreachable", "message": message}
    assert (after["status"], after["waiting"]) == ("COMPLETED", None)
    assert [line["attempts"] for line in results] == [1] * 5


async def test_worker_with_another_address_makes_no_call_and_the_job_continues_at_its_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with fake_provider(answer_all) as first, fake_provider(answer_all) as second:
        async with in_process_stack(tmp_path, **settings_for(first.url)) as one:
            job_id = await one.submit(prompts(5), provider="openai")
        clock = ManualClock(time.time())
        async with in_process_stack(tmp_path, clock, **settings_for(second.url)) as other:
            other.key = one.key
            delivering = asyncio.create_task(other.wait_until_finished(job_id))
            reason = await wait_until_waiting(other, job_id)
            delivering.cancel()
        calls = first.call_counts.total(), second.call_counts.total()
        clock.advance(61)
        async with in_process_stack(tmp_path, clock, **settings_for(first.url)) as again:
            again.key = one.key
            async with deliveries(again, job_id):
                await wait_until_finished(again, job_id)
            results = await again.results(job_id)

    assert reason["code"] == "provider_address_changed"
    assert first.url in reason["message"]
    assert second.url in reason["message"]
    assert calls == (0, 0)
    assert second.call_counts.total() == 0
    assert len(results) == 5
    assert caplog.messages.count("job_waiting") == 1


async def test_throttling_worker_without_key_names_the_variable_to_set(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path, provider_keys={"openai": "CANARY-key"}) as stack:
        job_id = await stack.submit(prompts(5), provider="openai")
    async with in_process_stack(tmp_path) as keyless:
        keyless.key = stack.key
        async with deliveries(keyless, job_id):
            reason = await wait_until_waiting(keyless, job_id)
            during = await keyless.status(job_id)
            await keyless.cancel(job_id)
        after = await keyless.status(job_id)

    assert reason["code"] == "provider_key_missing"
    assert "OPENAI_API_KEY" in reason["message"]
    assert (during["status"], during["error"]) == ("PROCESSING", None)
    assert (after["status"], after["waiting"]) == ("CANCELLED", None)
