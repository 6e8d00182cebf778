import asyncio

from promptforge.domain.retry import FailureKind
from promptforge.ports.provider import CallFailure, Completion, CompletionRequest
from tests.contract.provider_adapters import ProviderAdapter

REQUEST = CompletionRequest("gpt-x", "Why is the sky blue?")
TIMEOUT_SECONDS = 10.0


async def test_provider_complete_returns_text_model_and_tokens(adapter: ProviderAdapter) -> None:
    answer = await adapter.answering().complete(REQUEST, TIMEOUT_SECONDS)

    assert isinstance(answer, Completion)
    assert answer.text
    assert answer.model.startswith("gpt-x")
    assert answer.input_tokens > 0
    assert answer.output_tokens > 0


async def test_provider_concurrent_calls_are_answered(adapter: ProviderAdapter) -> None:
    provider = adapter.answering()

    answers = await asyncio.gather(*(provider.complete(REQUEST, TIMEOUT_SECONDS) for _ in range(100)))

    assert all(isinstance(answer, Completion) for answer in answers)


async def test_provider_call_ends_at_timeout(adapter: ProviderAdapter) -> None:
    provider, loop = adapter.hanging(), asyncio.get_running_loop()

    began_at = loop.time()
    failure = await provider.complete(REQUEST, 0.1)

    assert loop.time() - began_at < 2.0
    assert isinstance(failure, CallFailure)
    assert (failure.kind, failure.code) == (FailureKind.TIMEOUT, "provider_timeout")


async def test_provider_cancelled_call_ends_at_once(adapter: ProviderAdapter) -> None:
    call = asyncio.create_task(adapter.hanging().complete(REQUEST, TIMEOUT_SECONDS))
    await asyncio.wait([call], timeout=0.05)

    call.cancel()
    await asyncio.wait([call], timeout=2.0)

    assert call.cancelled()


async def test_provider_429_is_throttled(adapter: ProviderAdapter) -> None:
    failure = await adapter.throttling().complete(REQUEST, TIMEOUT_SECONDS)

    assert isinstance(failure, CallFailure)
    assert (failure.kind, failure.code) == (FailureKind.THROTTLED, "throttled")


async def test_provider_server_error_is_a_fault_of_the_provider(adapter: ProviderAdapter) -> None:
    failure = await adapter.failing().complete(REQUEST, TIMEOUT_SECONDS)

    assert isinstance(failure, CallFailure)
    assert (failure.kind, failure.code) == (adapter.fault_kind, "provider_error")


async def test_provider_failure_does_not_contain_prompt(adapter: ProviderAdapter) -> None:
    for provider in (adapter.throttling(), adapter.failing()):
        failure = await provider.complete(REQUEST, TIMEOUT_SECONDS)

        assert isinstance(failure, CallFailure)
        assert REQUEST.prompt not in repr(failure)
        assert failure.message.endswith(".")


async def test_provider_close_is_idempotent(adapter: ProviderAdapter) -> None:
    unused, used, other = adapter.answering(), adapter.answering(), adapter.answering()
    await used.complete(REQUEST, TIMEOUT_SECONDS)

    for provider in (unused, used):
        await provider.close()
        await provider.close()

    assert isinstance(await other.complete(REQUEST, TIMEOUT_SECONDS), Completion)
