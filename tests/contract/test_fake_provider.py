"""The fake provider sends each fault as declared, and records how each call ended."""

import asyncio
import random

import pytest

from promptforge.adapters.llm import openai
from promptforge.ports.provider import CallFailure, Completion, CompletionRequest
from promptforge.settings import Settings
from tests.fakes import provider_faults
from tests.fakes.provider import FakeProvider, Fault, Outcome, answer_after, fake_provider
from tests.harness.clock import ManualClock


async def ask(server: FakeProvider, timeout_seconds: float = 5.0) -> Completion | CallFailure:
    settings = Settings.from_env({}, provider_keys={"openai": "k"}, provider_urls={"openai": server.url})
    provider = openai.build(settings, ManualClock(), random.Random(1))
    try:
        return await provider.complete(CompletionRequest("model-1", "why"), timeout_seconds)
    finally:
        await provider.close()


@pytest.mark.parametrize(
    ("play", "code", "outcome"),
    [
        (provider_faults.error_status(500), "provider_error", Outcome.FAILED),
        (provider_faults.error_status(429), "throttled", Outcome.FAILED),
        (provider_faults.reset_before_response, "provider_connection_lost", Outcome.FAILED),
        (provider_faults.reset_during_response, "provider_connection_lost", Outcome.FAILED),
        (provider_faults.truncated, "provider_bad_response", Outcome.FAILED),
        (provider_faults.html, "provider_error", Outcome.FAILED),
        (provider_faults.no_response, "provider_timeout", Outcome.ABORTED),
    ],
)
async def test_scripted_fault_is_sent_as_declared(play: Fault, code: str, outcome: Outcome) -> None:
    async def act(prompt: str, call: int) -> Fault:
        return play

    async with fake_provider(act) as server:
        reply = await ask(server, timeout_seconds=0.5)
        async with asyncio.timeout(5):
            while server.in_flight:
                await asyncio.sleep(0.005)

    assert isinstance(reply, CallFailure)
    assert reply.code == code
    assert [call.outcome for call in server.call_log] == [outcome]


async def test_scripted_throttle_has_retry_after_if_set() -> None:
    async def act(prompt: str, call: int) -> Fault:
        return provider_faults.error_status(429, retry_after=2.5)

    async with fake_provider(act) as server:
        reply = await ask(server)

    assert isinstance(reply, CallFailure)
    assert reply.retry_after_seconds == 2.5
    assert [call.status for call in server.call_log] == [429]


async def test_scripted_slow_reply_is_complete() -> None:
    async def act(prompt: str, call: int) -> Fault:
        return provider_faults.slow_body(0.1)

    async with fake_provider(act) as server:
        reply = await ask(server)

    assert isinstance(reply, Completion)
    assert reply.text == "WHY"
    (call,) = server.call_log
    assert call.outcome is Outcome.ANSWERED
    assert (call.ended_at or 0.0) - call.started_at >= 0.1


async def test_scripted_call_is_recorded_after_caller_disconnects() -> None:
    async with fake_provider(answer_after(60)) as server:
        asking = asyncio.create_task(ask(server))
        async with asyncio.timeout(5):
            while not server.in_flight:
                await asyncio.sleep(0.005)
            asking.cancel()
            while server.in_flight:
                await asyncio.sleep(0.005)

    assert [(call.prompt, call.number, call.outcome) for call in server.call_log] == [("why", 1, Outcome.ABORTED)]
